"""`mmud metric`: the evaluators on plain files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmud.annotations.masks import Mask
from mmud.cli import run


def disc(radius: int, size: tuple[int, int] = (40, 50)) -> Mask:
    y, x = np.mgrid[: size[0], : size[1]]
    return Mask.from_array((y - 20) ** 2 + (x - 20) ** 2 <= radius**2)


def write_lines(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    truth = [{"id": number, "segmentation": disc(5 + number).to_json(), "image_id": number // 2} for number in range(8)]
    said = [{"id": number, "segmentation": disc(6 + number).to_json()} for number in range(8)]
    return {"folder": tmp_path, "truth": truth, "said": said}


def masks(files: dict[str, Any], *options: str) -> int:
    references = write_lines(files["folder"] / "r.jsonl", files["truth"])
    predictions = write_lines(files["folder"] / "p.jsonl", files["said"])
    return run(["metric", "masks", "--references", references, "--predictions", predictions, *options])


def test_masks(files: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert masks(files, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    expected = np.mean([disc(5 + number).area / disc(6 + number).area for number in range(8)])
    assert found["metrics"]["gIoU"]["value"] == pytest.approx(expected)
    assert found["metrics"]["gIoU"]["n"] == 8
    assert found["images"] == 4
    assert found["metrics"]["gIoU"]["low"] < expected < found["metrics"]["gIoU"]["high"]
    assert "boundary_IoU" not in found["metrics"]
    assert masks(files, "--json", "--metrics", "all", "--protocol", "all") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["protocols"]) == {"mmud", "lisa", "rela", "gsva", "sa2va", "seem", "official"}
    assert 0 < found["metrics"]["boundary_IoU"]["value"] < 1
    assert masks(files) == 0
    assert "gIoU" in capsys.readouterr().out


def test_the_order_of_lines_does_not_matter(files: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert masks(files, "--json") == 0
    first = capsys.readouterr().out
    files["truth"].reverse()
    files["said"] = files["said"][3:] + files["said"][:3]
    assert masks(files, "--json") == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("side", "change", "code"),
    [
        ("said", lambda rows: rows.pop(), "MM801"),
        ("said", lambda rows: rows.append({"id": 99, "segmentation": None}), "MM802"),
        ("said", lambda rows: rows.append(rows[0]), "MM803"),
        ("truth", lambda rows: rows.append(rows[0]), "MM803"),
        ("said", lambda rows: rows.append("{\n"), "MM804"),
        ("truth", lambda rows: rows[0].pop("segmentation"), "MM805"),
        ("said", lambda rows: rows[0].update(segmentation=7), "MM805"),
        ("said", lambda rows: rows[0].update(segmentation=disc(5, (50, 40)).to_json()), "MM806"),
        ("truth", lambda rows: rows[0].update(ignore=disc(5, (50, 40)).to_json()), "MM806"),
        ("truth", lambda rows: rows[0].update(segmentation=[disc(5).to_json(), disc(5, (50, 40)).to_json()]), "MM806"),
        ("said", lambda rows: rows[0].update(segmentation={"size": [40, 50], "counts": "!"}), "MM807"),
    ],
)
def test_bad_files_end_in_code_five(
    files: dict[str, Any], side: str, change: Any, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(files[side])
    assert masks(files) == 5
    assert code in capsys.readouterr().err


def test_missing_rows_can_be_allowed(files: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    files["said"].pop()
    assert masks(files, "--allow-partial", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["partial"], found["missing"], found["rows"]) == (True, ["7"], 7)


def test_usage(files: dict[str, Any]) -> None:
    assert masks(files, "--protocol", "nobody") == 2
    assert masks(files, "--metrics", "gIOU") == 2
    assert run(["metric", "masks", "--references", "nowhere", "--predictions", "nowhere"]) == 2


def captions(folder: Path, *options: str, drop: int = 0) -> int:
    texts = ["a dog runs over the green field", "two men sit on a bench", "a red bus in the rain", "the cat sleeps"]
    annotations = [
        {"image_id": number, "id": 10 * number + part, "caption": f"{text} {word}"}
        for number, text in enumerate(texts)
        for part, word in enumerate(("today", "again"))
    ]
    results = [{"image_id": number, "caption": text} for number, text in enumerate(texts)][drop:]
    (folder / "r.json").write_text(json.dumps({"annotations": annotations}))
    (folder / "c.json").write_text(json.dumps(results))
    files = ["--references", str(folder / "r.json"), "--candidates", str(folder / "c.json")]
    return run(["metric", "captions", *files, *options])


def test_captions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert captions(tmp_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    from mmud.evaluators.captions.coco_files import read_references, read_results
    from mmud.evaluators.captions.score import score_captions

    expected = score_captions(read_references(tmp_path / "r.json"), read_results(tmp_path / "c.json"))
    for name, value in expected.metrics.items():
        assert found["metrics"][name]["value"] == pytest.approx(value, rel=1e-12)
        assert found["metrics"][name]["signature"] == expected.signature(name)
    assert found["metrics"]["cider_d"]["low"] <= found["metrics"]["cider_d"]["high"]
    assert captions(tmp_path, "--metrics", "cider_d,bleu_4") == 0
    assert captions(tmp_path, drop=1) == 5
    assert captions(tmp_path, "--missing-as-empty", "--json", drop=1) == 0
    assert captions(tmp_path, "--scorers", "bleu") == 2
    assert captions(tmp_path, "--backend", "java") == 2


def test_cider_of_one_image_is_left_out_and_refused_where_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"annotations": [{"id": 1, "image_id": 1, "caption": "a red bus"}]}))
    (tmp_path / "c.json").write_text(json.dumps([{"image_id": 1, "caption": "a red bus"}]))
    files = ["--references", str(tmp_path / "r.json"), "--candidates", str(tmp_path / "c.json")]
    for chosen in ([], ["--metrics", "all"]):
        assert run(["metric", "captions", *files, "--json", *chosen]) == 0
        shown = capsys.readouterr()
        assert "cider_d" not in json.loads(shown.out)["metrics"]
        assert "CIDEr is left out" in shown.err
    assert run(["metric", "captions", *files, "--metrics", "cider"]) == 2
    assert "MM855" in capsys.readouterr().err


def freeze(file: Path, *options: str) -> int:
    return run(["metric", "document-frequencies", "-o", str(file), "--json", "-q", *options])


@pytest.mark.parametrize("name", ["whole.npz", "whole.json"])
def test_frozen_frequencies_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Frozen from the references that are scored, they change no figure; the signature names them."""
    assert captions(tmp_path, "--json") == 0
    own = json.loads(capsys.readouterr().out)["metrics"]
    assert freeze(tmp_path / name, "--references", str(tmp_path / "r.json")) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["documents"] == 4
    assert captions(tmp_path, "--json", "--frequencies", str(tmp_path / name)) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found["cider_d"]["value"] == own["cider_d"]["value"]
    assert f"df:{made['name']}" in found["cider_d"]["signature"]
    assert made["sha256"].startswith(made["name"])


@pytest.mark.parametrize(
    ("task", "metric"), [("captioning", "captioning"), ("reasoning_segmentation", "reasoning_segmentation")]
)
def test_frozen_frequencies_of_a_split_are_those_of_evaluate(
    made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, metric: str
) -> None:
    data = ["--data", str(made.dataset.path)]
    assert freeze(tmp_path / "f.npz", *data, "--task", task) == 0
    frozen = json.loads(capsys.readouterr().out)
    assert run(["evaluate", str(made.perturbed), *data, "--json", "-q", "--replicates", "0"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert f"df:{frozen['name']}" in scores["tasks"][metric]["metrics"]["cider_d"]["signature"]


def test_freezing_refuses(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, data = tmp_path / "f.npz", ["--data", str(made.dataset.path)]
    assert freeze(file) == 2
    assert freeze(file, *data, "--references", "r.json") == 2
    assert freeze(file, *data, "--task", "generation") == 2
    assert freeze(file, *data, "--split", "nowhere") == 2
    assert freeze(file, *data, "--dry-run") == 0
    assert not file.exists()
    assert freeze(file, *data) == 0
    assert freeze(file, *data) == 2
    assert freeze(file, *data, "--force") == 0


@pytest.mark.java
def test_the_oracle_backend_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mmud.evaluators.captions.oracles import why_not

    if (reason := why_not("tokenizer")) is not None:
        pytest.skip(reason)
    assert captions(tmp_path, "--json") == 0
    own = json.loads(capsys.readouterr().out)["metrics"]
    assert captions(tmp_path, "--json", "--backend", "pycocoevalcap", "--scorers", "bleu,rouge_l,cider") == 0
    oracle = json.loads(capsys.readouterr().out)["metrics"]
    assert set(oracle) == {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d"}
    for name, figure in oracle.items():
        assert own[name]["value"] == pytest.approx(figure["value"], abs=1e-9)
        assert "backend:pycocoevalcap" in figure["signature"]


def test_an_interval_of_the_oracle_is_that_of_its_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR's and BLEU's figures are no means over images: of two captions METEOR gave 0.543 where the mean is 0.724."""
    from mmud.evaluators import plain_captions
    from mmud.evaluators.captions.oracles import OracleScores

    each = {"meteor": np.array([0.4476, 1.0]), "bleu_1": np.array([0.5, 1.0]), "rouge_l": np.array([0.25, 0.75])}
    said = OracleScores({"meteor": 0.5427, "bleu_1": 0.7, "rouge_l": 0.5}, each, ("1", "2"))
    monkeypatch.setattr(plain_captions, "score_with_pycocoevalcap", lambda *given: said)
    captions(tmp_path, "--json")
    figures, _ = plain_captions.score_with_oracle(tmp_path / "r.json", tmp_path / "c.json")
    assert {name: figure.low is None for name, figure in figures.items()} == {
        "meteor": True,
        "bleu_1": True,
        "rouge_l": False,
    }


def test_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(60, 8)), generator.normal(0.5, 1, size=(60, 8))
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    files = [str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]
    assert run(["metric", "features", *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    from scipy.linalg import sqrtm

    covariances = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(
        covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real
    )
    assert found["frechet_distance"]["value"] == pytest.approx(expected, abs=1e-8)
    assert set(found["frechet_distance"]) == {"value", "low", "high", "n", "signature"}
    assert run(["metric", "features", *files, "--paired", "--metrics", "feature_cosine"]) == 0
    np.save(tmp_path / "c.npy", np.ones((2, 3), dtype=object), allow_pickle=True)
    assert run(["metric", "features", files[0], str(tmp_path / "c.npy")]) == 5


def test_images_need_their_network(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    assert run(["metric", "images", str(tmp_path / "a"), str(tmp_path / "b")]) == 4
    assert run(["metric", "images", str(tmp_path / "a"), str(tmp_path / "nowhere")]) == 2
    assert run(["metric", "images", str(tmp_path / "a"), str(tmp_path / "b"), "--extractor", "incepton"]) == 2
