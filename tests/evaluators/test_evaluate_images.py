"""`mmud evaluate` and `mmud metric images` on image files: the cache of real images' features, Inception Score, captions.

The stand-in networks count what they are asked for; the expected figures are the room's own functions on the features that they
give, which other tests compare with torchmetrics, torch-fidelity and scipy.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmud.baselines.floors.labels import Oracle
from mmud.baselines.predicting import write_predictions
from mmud.cli import run
from mmud.dataset.store import Dataset
from mmud.errors import MmudError
from mmud.evaluators.captions.codes import COCO_FILE_BROKEN
from mmud.evaluators.collecting import Shard
from mmud.evaluators.evaluation import Evaluation, evaluate, merge_evaluations, rescore
from mmud.evaluators.generation import extractors
from mmud.evaluators.generation.clip_scores import clip_score_rows
from mmud.evaluators.generation.inception_score import inception_score
from mmud.files import cache_folder
from mmud.records import ImageReference, Task

GENERATION = "generation"


class Quarters:
    """Mean colours of both halves; says how many images it looked at."""

    looked_at = 0
    weights = "0" * 64

    def __init__(self, options: extractors.ExtractorOptions) -> None:
        self.limits = options.limits
        mode = extractors.mode_label("plain", options.limits)
        self.identity = extractors.ExtractorIdentity("quarters", "none", self.weights, mode)
        self.setting = options.device

    def extract(self, sources: Any, progress: Any = None) -> np.ndarray:
        rows = []
        for source in sources:
            type(self).looked_at += 1
            pixels = source.pixels(self.limits).astype(np.float32)
            half = pixels.shape[0] // 2
            rows.append(np.concatenate([pixels[:half].mean((0, 1)), pixels[half:].mean((0, 1))]))
        return np.stack(rows)


class Classes(Quarters):
    """Class probabilities besides."""

    def probabilities(self, sources: Any, progress: Any = None) -> np.ndarray:
        rows = self.extract(sources)[:, :3].astype(np.float64) + 1
        return (rows / rows.sum(1, keepdims=True)).astype(np.float32)


class Reader(Quarters):
    """A text side that reads ten tokens, one a word."""

    def embed_texts(self, texts: Any, prompt: str = "A photo depicts ") -> tuple[np.ndarray, list[Any]]:
        return np.array([[len(prompt + text), 1, 2, 3, 4, 5] for text in texts], np.float32), []

    def text_lengths(self, texts: Any, prompt: str = "A photo depicts ") -> tuple[list[int], int]:
        return [len((prompt + text).split()) for text in texts], 10


NETWORKS = {"quarters": Quarters, "classes": Classes, "reader": Reader}


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extractors.EXTRACTORS, "get", NETWORKS.__getitem__)
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    for network in NETWORKS.values():
        network.looked_at = 0


@pytest.fixture(scope="module")
def generated(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real images darkened, so that no figure is zero."""
    folder = write_predictions(tmp_path_factory.mktemp("generated"), made.dataset, Oracle(), tasks=[Task.GENERATION])
    for index, path in enumerate(sorted((folder / "images").iterdir())):
        with Image.open(path) as image:
            Image.eval(image.convert("RGB"), lambda value, shift=index: max(0, value - 10 - shift)).save(path)
    return Path(folder)


def score(made: Any, folder: Path, extractor: str = "quarters", **settings: Any) -> Evaluation:
    metrics = settings.pop("metrics", None)
    shared = {key: settings.pop(key) for key in ("shard", "limit") if key in settings}
    data = settings.pop("data", made.dataset)
    extras = {"generation": {"extractor": extractor, **settings}}
    return evaluate(folder, data, tasks=["generation"], extras=extras, metrics=metrics, **shared)


def samples(made: Any) -> int:
    return int(made.dataset.length("test"))


def test_real_images_are_looked_at_once_and_figures_stay_the_same(made: Any, generated: Path) -> None:
    without = score(made, generated, cache=False)
    assert not cache_folder("features").exists()
    first = score(made, generated)
    before = Quarters.looked_at
    again = score(made, generated)
    assert Quarters.looked_at - before == samples(made)  # those that were generated, and no other
    assert without.scores == first.scores == again.scores
    assert without.rows.table.equals(again.rows.table)


@pytest.mark.parametrize("change", [{"device": "other"}, {"exif": True}])
def test_another_setting_or_mode_is_another_file(made: Any, generated: Path, change: dict[str, Any]) -> None:
    score(made, generated)
    before = Quarters.looked_at
    score(made, generated, **change)
    assert Quarters.looked_at - before == 2 * samples(made)
    assert len(list(cache_folder("features").iterdir())) == 2


def test_networks_without_a_hash_are_not_kept(made: Any, generated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Quarters, "weights", None)
    score(made, generated)
    assert not cache_folder("features").exists()


def test_shards_and_limits_add_what_they_made(made: Any, generated: Path, tmp_path: Path) -> None:
    whole = score(made, generated, cache=False)
    score(made, generated, limit=3)
    for index in (1, 2):
        score(made, generated, shard=Shard(index, 2)).save(tmp_path / str(index))
    before = Quarters.looked_at
    assert merge_evaluations([tmp_path / "1", tmp_path / "2"]).scores == whole.scores
    assert score(made, generated).scores == whole.scores
    assert Quarters.looked_at - before == samples(made)


def test_a_linked_image_that_was_edited_is_looked_at_again(made: Any, generated: Path, tmp_path: Path) -> None:
    """A fingerprint is of labels: it does not change with an image that lies outside."""
    from mmud.dataset.writer import write_dataset

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    listed = []
    for number, sample in enumerate(made.dataset.samples("test", images=True)):
        path = pictures / f"{number}.png"
        path.write_bytes(sample.image_bytes())
        listed.append(sample.model_copy(update={"image": ImageReference(path=str(path))}))
    dataset = write_dataset(tmp_path / "linked", {"test": iter(listed)}, images="link")
    first = score(made, generated, data=dataset)
    with Image.open(pictures / "0.png") as image:
        size = image.size
    Image.new("RGB", size, (1, 2, 3)).save(pictures / "0.png")
    dataset = Dataset(tmp_path / "linked")
    edited, anew = score(made, generated, data=dataset), score(made, generated, data=dataset, cache=False)
    assert edited.scores == anew.scores
    assert edited.scores["tasks"] != first.scores["tasks"]


def test_a_damaged_file_is_reported_and_replaced(made: Any, generated: Path) -> None:
    whole = score(made, generated)
    (file,) = cache_folder("features").iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    found = score(made, generated)
    assert [finding.code.id for finding in found.findings if finding.code.id == "MM873"] == ["MM873"]
    assert found.scores["tasks"] == whole.scores["tasks"]
    assert not [finding for finding in score(made, generated).findings if finding.code.id == "MM873"]


def test_a_cache_that_cannot_be_written_costs_no_figure(made: Any, generated: Path) -> None:
    cache_folder("features").parent.mkdir(exist_ok=True)
    cache_folder("features").write_text("a file where the folder should be")
    found = score(made, generated)
    assert "MM008" in {finding.code.id for finding in found.findings}
    assert found.scores["tasks"] == score(made, generated, cache=False).scores["tasks"]


def test_the_inception_score_is_that_of_the_generated_images(made: Any, generated: Path, tmp_path: Path) -> None:
    found = score(made, generated, "classes", metrics=["inception_score", "kid"])
    metrics = found.scores["tasks"][GENERATION]["metrics"]
    lines = [json.loads(line) for line in (generated / "generation.jsonl").read_text().splitlines()]
    network = Classes(extractors.ExtractorOptions())
    classes = network.probabilities([extractors.ImageSource("", generated / line["image"]) for line in lines])
    expected = inception_score(classes)
    assert metrics["inception_score"]["value"] == expected.mean
    assert metrics["inception_score"]["low"] < expected.mean < metrics["inception_score"]["high"]
    assert "|classes:3|splits:10|split_seed:2020|" in metrics["inception_score"]["signature"]
    assert set(metrics) == {"inception_score", "kid"}
    found.save(tmp_path / "kept")
    assert rescore(found.rows).scores["tasks"] == found.scores["tasks"]


def test_all_is_what_the_extractor_can_give(made: Any, generated: Path, tmp_path: Path, capsys: Any) -> None:
    of_sets = {"frechet_distance", "kid", "kid_subsets", "cmmd"}
    arguments, _ = folders_with_captions(made, generated, tmp_path)
    texts = ["--captions", str(tmp_path / "captions.jsonl")]
    for extractor, given, more in (
        ("quarters", [], set()),
        ("classes", [], {"inception_score"}),
        ("reader", [], set()),
        ("reader", texts, {"clip_score", "clip_similarity"}),
    ):
        changed = [extractor if word == "reader" else word for word in arguments]
        assert run([*changed, "--metrics", "all", *given]) == 0
        assert json.loads(capsys.readouterr().out)["metrics"].keys() == of_sets | more
    evaluated = score(made, generated, "classes", metrics=["all"]).scores["tasks"][GENERATION]["metrics"]
    assert evaluated.keys() == of_sets | {"inception_score", "feature_mae", "feature_cosine"}
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(ord(name)).normal(size=(12, 3)))
    files = [str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]
    assert run(["metric", "features", *files, "--metrics", "all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"].keys() == of_sets


@pytest.mark.parametrize("metric", ["inception_score", "clip_score", "clip_similarity", "fid"])
def test_what_an_extractor_cannot_give_is_refused_as_in_metric_images(
    made: Any, generated: Path, metric: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, metrics = ["--extractor", "quarters"], ["--metrics", f"kid,{metric}"]
    captions = tmp_path / "captions.jsonl"
    captions.write_text("".join(f'{{"image": "{path.name}", "caption": "a"}}\n' for path in generated.glob("images/*")))
    folder = str(generated / "images")
    texts = ["--captions", str(captions)] if metric.startswith("clip") else []
    assert run(["metric", "images", folder, folder, *network, *metrics, *texts]) == 2
    refused = capsys.readouterr().err
    assert "MM872" in refused
    Quarters.looked_at = 0
    data = ["--data", str(made.dataset.path), "--tasks", "generation", "-q"]
    assert run(["evaluate", str(generated), *data, *network, *metrics]) == 2
    assert capsys.readouterr().err.splitlines()[0] == refused.splitlines()[0]
    assert not Quarters.looked_at
    assert score(made, generated, metrics=["all"]).value(GENERATION, "kid") is not None
    if metric != "fid":
        with pytest.raises(MmudError, match="MM821"):
            rescore(score(made, generated).rows, metrics=[metric])


def test_few_images_have_no_inception_score(made: Any, generated: Path) -> None:
    found = score(made, generated, "classes", metrics=["inception_score", "kid"], limit=4)
    assert set(found.scores["tasks"][GENERATION]["metrics"]) == {"kid"}
    assert any("Inception Score" in finding.message for finding in found.findings)


def test_captions_that_are_cut_off_are_reported(made: Any, generated: Path, tmp_path: Path) -> None:
    found = score(made, generated, "reader", metrics=["clip_score"])
    lengths = [len(f"A photo depicts {sample.caption}".split()) for sample in made.dataset.samples("test")]
    cut = [length - 10 for length in lengths if length > 10]
    assert cut
    (finding,) = [finding for finding in found.findings if finding.code.id == "MM874"]
    assert f"{len(cut)} of {len(lengths)} captions" in finding.message
    assert f"{sum(cut)} tokens" in finding.message
    for index in (1, 2):
        score(made, generated, "reader", metrics=["clip_score"], shard=Shard(index, 2)).save(tmp_path / str(index))
    assert merge_evaluations([tmp_path / "1", tmp_path / "2"]).scores == found.scores


def test_the_command_line(made: Any, generated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", str(generated), "--data", str(made.dataset.path), "--tasks", "generation", "--json"]
    arguments += ["--extractor", "reader", "--metrics", "clip_score,kid"]
    assert run([*arguments, "--no-cache"]) == 0
    output = capsys.readouterr()
    assert "MM874" in output.err
    assert not cache_folder("features").exists()
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(output.out)
    assert cache_folder("features").exists()
    assert run([*arguments, "--exif"]) == 0
    metrics = json.loads(capsys.readouterr().out)["tasks"][GENERATION]["metrics"]
    assert "mode:plain+exif" in metrics["kid"]["signature"]


def folders_with_captions(made: Any, generated: Path, tmp_path: Path) -> tuple[list[str], list[float]]:
    """Two folders of images and the CLIP scores that A's should have."""
    real = tmp_path / "real"
    real.mkdir()
    captions = {}
    for sample in made.dataset.samples("test", images=True):
        (real / f"{sample.sample_id}.png").write_bytes(sample.image_bytes())
        captions[sample.sample_id] = sample.caption
    rows = [json.loads(line) for line in (generated / "generation.jsonl").read_text().splitlines()]
    lines = [{"image": row["image"].removeprefix("images/"), "caption": captions[row["sample_id"]]} for row in rows]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    images = [{"id": index, "file_name": line["image"]} for index, line in enumerate(lines)]
    said = [{"id": index, "image_id": index, "caption": line["caption"]} for index, line in enumerate(lines)]
    said.append({"id": len(said), "image_id": 0, "caption": "a second caption, which does not count"})
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "annotations": said}))
    network = Reader(extractors.ExtractorOptions())
    features = network.extract([extractors.ImageSource("", generated / row["image"]) for row in rows])
    expected = clip_score_rows(features, network.embed_texts([line["caption"] for line in lines])[0])
    return [
        "metric",
        "images",
        str(generated / "images"),
        str(real),
        "--extractor",
        "reader",
        "--json",
    ], expected.tolist()


@pytest.mark.parametrize("file", ["captions.jsonl", "coco.json"])
def test_captions_of_a_folder(
    made: Any, generated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    arguments, expected = folders_with_captions(made, generated, tmp_path)
    assert run([*arguments, "--captions", str(tmp_path / file), "--replicates", "50"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics["clip_score"]["value"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert list(metrics) == ["frechet_distance", "kid", "clip_score", "clip_similarity"]
    assert run([*arguments, "--captions", str(tmp_path / file), "--metrics", "clip_score"]) == 0
    assert list(json.loads(capsys.readouterr().out)["metrics"]) == ["clip_score"]


def test_captions_that_do_not_fit_the_folder(made: Any, generated: Path, tmp_path: Path) -> None:
    arguments, _ = folders_with_captions(made, generated, tmp_path)
    assert run([*arguments, "--metrics", "clip_score"]) == 5  # no captions
    file = tmp_path / "captions.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    for broken in (lines[1:], [*lines, lines[0]], ['{"image": "x.png"}\n'], ["nothing\n"]):
        file.write_text("".join(broken))
        assert run([*arguments, "--captions", str(file)]) == 5
    for content, code in (
        ("[]", 5),
        ('{"images": [], "annotations": [{"image_id": 1}]}', 5),
        ("{", COCO_FILE_BROKEN.exit_code),
    ):
        (tmp_path / "coco.json").write_text(content)
        assert run([*arguments, "--captions", str(tmp_path / "coco.json")]) == code
    assert run([*arguments, "--captions", str(tmp_path / "none.jsonl")]) == 2


def test_the_cache_of_folders_can_be_left_alone(made: Any, generated: Path, tmp_path: Path) -> None:
    arguments, _ = folders_with_captions(made, generated, tmp_path)
    assert run([*arguments, "--no-cache"]) == 0
    assert not cache_folder("features").exists()
    assert run(arguments) == 0
    assert len(list(cache_folder("features").iterdir())) == 1
