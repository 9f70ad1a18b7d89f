"""Neural tuning as a baseline, whole: trained, gone on with, saved, loaded, predicted with; on models made on the spot."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from mmud.annotations import tags  # noqa: E402
from mmud.annotations.masks import Mask  # noqa: E402
from mmud.baselines.base import SilentBar  # noqa: E402
from mmud.baselines.inputs import DatasetInputs  # noqa: E402
from mmud.baselines.neural_tuning import backbones as backbones_module  # noqa: E402
from mmud.baselines.neural_tuning import config as config_module  # noqa: E402
from mmud.baselines.neural_tuning import fitting as fitting_module  # noqa: E402
from mmud.baselines.neural_tuning.baseline import NeuralTuning  # noqa: E402
from mmud.baselines.neural_tuning.examples import Examples, ExampleSource, Learner, index_examples  # noqa: E402
from mmud.baselines.neural_tuning.interfaces import ImageDecoder  # noqa: E402
from mmud.baselines.predicting import Request, predict_into  # noqa: E402
from mmud.baselines.run_folder import FitRequest, fit_into, load_run  # noqa: E402
from mmud.baselines.training.tensor_files import read_tensors  # noqa: E402
from mmud.cli import run as mmud  # noqa: E402
from mmud.dataset.store import Dataset  # noqa: E402
from mmud.errors import MmudError  # noqa: E402
from mmud.evaluators.collecting import Shard  # noqa: E402
from mmud.images import decode_image  # noqa: E402
from mmud.records import Task  # noqa: E402
from tests.baselines.neural_tuning import small_models as small  # noqa: E402

SHORT = {"max_new_tokens": 10, "predict_batch": 6}


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("backbones")
    return saved(root, small.language_model(initializer_range=0.2), small.tokenizer())


def saved(root: Path, language_model: Any, tokenizer: Any) -> dict[str, str]:
    """Models as folders, as transformers writes them."""
    language_model.save_pretrained(root / "language")
    tokenizer.save_pretrained(root / "language")
    small.tower().network.save_pretrained(root / "vision")
    return {"language_model": str(root / "language"), "vision_tower": str(root / "vision")}


@pytest.fixture(scope="session")
def options(backbones: dict[str, str]) -> dict[str, Any]:
    return {
        "preset": "default",
        **backbones,
        "precision": "fp32",
        "steps": 6,
        "batch": 6,
        "accumulate": 2,
        "learning_rate": 0.003,
        "warmup": 2,
        "dimension": 8,
        "valid_limit": 2,
        "validations": 2,
        "log_every": 1,
        "task_shares": "[2, 2, 1, 1]",
        "changes": {"mask_decoder.width": 16, "mask_decoder.mlp": 16, "global_decoder.hidden": 16},
    }


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path_factory.getbasetemp() / "tuning-cache"))
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, scenes: Dataset, options: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("tuned") / "run"
    fit_into(folder, scenes, FitRequest("neural-tuning", options, seed=3), command="mmud train …")
    return folder


def predictions(folder: Path, scenes: Dataset, out: Path, request: Request | None = None, **more: Any) -> Path:
    baseline, _ = load_run(folder, {**SHORT, **more})
    predict_into(out, baseline, DatasetInputs(scenes, "test"), request or Request())
    return out


def lines(folder: Path, task: Task) -> dict[str, dict[str, Any]]:
    rows = (folder / f"{task.value}.jsonl").read_text().splitlines()
    return {row["sample_id"]: row for row in map(json.loads, rows)}


# -- training ---------------------------------------------------------------------------------------------------------------


def test_train_json_says_everything(fitted: Path, scenes: Dataset) -> None:
    said = json.loads((fitted / "model" / "train.json").read_bytes())
    assert said["status"] == "done"
    assert said["steps"] == 6
    assert said["dataset"]["fingerprint"] == scenes.fingerprint
    assert said["command"] == "mmud train …"
    assert said["seed"] == 3
    assert set(said["digests"]) == {"language_model", "tokenizer", "vision_tower"}
    assert {"torch", "transformers", "safetensors"} <= said["versions"].keys()
    steps = [line["step"] for line in said["losses"] if "loss/total" in line]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in said["losses"] if "valid/total" in line] == [3, 6]
    assert said["selected"]["step"] in (3, 6)
    # Every sample of the scenes has objects, a question and a caption.
    assert set(said["examples"].values()) == {scenes.length("train")}
    assert not [path for path in fitted.rglob("*") if path.suffix in (".pt", ".pth", ".bin", ".pkl")]


class Interrupted(KeyboardInterrupt):
    pass


def interrupted_after(count: int) -> Callable[[str, int | None], Any]:
    """Progress that ends the process's work after so many steps."""

    @contextmanager
    def progress(label: str, total: int | None) -> Iterator[Any]:
        class Bar(SilentBar):
            done = 0

            def advance(self, steps: int = 1) -> None:
                self.done += steps
                if label == "steps" and self.done == count:
                    raise Interrupted

        yield Bar()

    return progress


def test_interrupted_and_gone_on_with_ends_in_the_same_weights(
    tmp_path: Path, scenes: Dataset, options: dict[str, Any], fitted: Path
) -> None:
    request = FitRequest("neural-tuning", {**options, "save_minutes": 0}, seed=3)
    with pytest.raises(Interrupted):
        fit_into(tmp_path / "run", scenes, request, progress=interrupted_after(5))
    with pytest.raises(MmudError, match="MM941"):
        load_run(tmp_path / "run")
    info = fit_into(tmp_path / "run", scenes, request)
    assert info.status == "done"
    one, other = (read_tensors(folder / "model" / "model.safetensors") for folder in (tmp_path / "run", fitted))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert json.loads((tmp_path / "run/model/train.json").read_bytes())["resumed_from"] == 4


def test_going_on_takes_neither_a_changed_preset_nor_other_frozen_parts(
    tmp_path: Path, scenes: Dataset, options: dict[str, Any]
) -> None:
    request = FitRequest("neural-tuning", {**options, "save_minutes": 0}, seed=3)
    with pytest.raises(Interrupted):
        fit_into(tmp_path / "run", scenes, request, progress=interrupted_after(5))
    before = config_module.PRESETS["default"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(config_module.PRESETS, "default", lambda: {**before(), "loss": {"feature": 2.5}})
        with pytest.raises(MmudError, match=r"MM943.*loss\.feature 10\.0, now 2\.5"):
            fit_into(tmp_path / "run", scenes, request)
    for part in ("vision_tower", "feature"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fitting_module, "load_parts", with_another(part))
            with pytest.raises(MmudError, match=rf"MM943.*began with {part}"):
                fit_into(tmp_path / "run", scenes, request)
    start = tmp_path / "run" / "work" / "start.json"
    noted = start.read_bytes()
    for damaged in (b"", b"[]", b'{"config": null, "parts": {}}'):
        start.write_bytes(damaged)
        with pytest.raises(MmudError, match=r"MM943.*does not tell"):
            fit_into(tmp_path / "run", scenes, request)
    # A setting that an earlier version did not have is no difference: its default changes nothing.
    older = json.loads(noted)
    del older["config"]["loss"]["mask_ce"]
    start.write_text(json.dumps(older))
    assert fit_into(tmp_path / "run", scenes, request).status == "done"


def with_another(part: str) -> Callable[..., Any]:
    """`load_parts`, one of whose parts has another digest than the one that it gives now."""

    def load(*settings: Any, **more: Any) -> Any:
        parts = backbones_module.load_parts(*settings, **more)
        if part == "feature":
            described = {**parts.feature.describe(), "feature": "another"}
            parts.feature.describe = lambda: described
            return parts
        return dataclasses.replace(parts, digests={**parts.digests, part: "0" * 64})

    return load


def test_features_are_computed_once_and_change_nothing(
    tmp_path: Path, scenes: Dataset, options: dict[str, Any], fitted: Path
) -> None:
    seen: list[str] = []

    @contextmanager
    def progress(label: str, total: int | None) -> Iterator[Any]:
        seen.append(label)
        yield SilentBar()

    fit_into(tmp_path / "again", scenes, FitRequest("neural-tuning", options, seed=3), progress=progress)
    assert not [label for label in seen if "image" in label]
    live = {**options, "cache_features": False}
    fit_into(tmp_path / "live", scenes, FitRequest("neural-tuning", live, seed=3), progress=progress)
    expected = (fitted / "model" / "model.safetensors").read_bytes()
    assert (tmp_path / "again/model/model.safetensors").read_bytes() == expected
    one = read_tensors(tmp_path / "live/model/model.safetensors")
    for name, tensor in read_tensors(fitted / "model" / "model.safetensors").items():
        torch.testing.assert_close(one[name], tensor, rtol=1e-3, atol=1e-5)


def test_checkpointing_gives_the_same_gradients(
    tmp_path: Path, scenes: Dataset, options: dict[str, Any], fitted: Path
) -> None:
    assert json.loads((fitted / "model/config.json").read_bytes())["training"]["gradient_checkpointing"]
    kept = {**options, "checkpointing": False}
    fit_into(tmp_path / "kept", scenes, FitRequest("neural-tuning", kept, seed=3))
    one = read_tensors(tmp_path / "kept/model/model.safetensors")
    for name, tensor in read_tensors(fitted / "model" / "model.safetensors").items():
        torch.testing.assert_close(one[name], tensor, rtol=1e-3, atol=1e-5)


def test_bf16_trains_and_answers(tmp_path: Path, scenes: Dataset, options: dict[str, Any]) -> None:
    half = {**options, "precision": "bf16", "steps": 3}
    fit_into(tmp_path / "run", scenes, FitRequest("neural-tuning", half, seed=3))
    baseline, _ = load_run(tmp_path / "run", SHORT)
    assert isinstance(baseline, NeuralTuning)
    model = baseline._ready().model
    assert next(model.language_model.parameters()).dtype == torch.bfloat16
    assert {weight.dtype for group in model.parameter_groups().values() for weight in group} == {torch.float32}
    report = predict_into(tmp_path / "out", baseline, DatasetInputs(scenes, "test"), Request(limit=4))
    assert set(report.tasks.values()) == {4}


@pytest.fixture(scope="module")
def examples(scenes: Dataset) -> tuple[Any, Any, Examples]:
    model = small.model()
    index = index_examples(scenes, "train", model)
    features = model.image_features([torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()])[0]
    target = torch.randn(small.FEATURE)
    return model, index, Examples(scenes, index, model, lambda position: features, lambda position: target)


def test_pieces_of_a_step_add_up_to_the_step(examples: tuple[Any, Any, Examples]) -> None:
    model, index, made = examples
    learner = Learner(model)

    def gradients(accumulate: int) -> tuple[dict[str, float], list[Any]]:
        model.zero_grad()
        sums: dict[str, float] = {}
        source = ExampleSource(made, index, model.config, 9, accumulate, seed=1)
        for piece, share in source.micro_batches(4):
            losses = learner.loss(piece)
            (losses["total"] * share).backward()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + float(value.detach()) * share
        own = [weight.grad.clone() for group in model.parameter_groups().values() for weight in group]
        return sums, own

    whole, expected = gradients(1)
    piece, _ = next(iter(ExampleSource(made, index, model.config, 9, 1, seed=1).micro_batches(4)))
    reference = {name: float(value.detach()) for name, value in model.loss(piece.batch).items()}
    assert whole == pytest.approx(reference, rel=1e-5)
    summed, found = gradients(4)
    assert summed == pytest.approx(whole, rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=5e-6)
    model.zero_grad()


def test_a_step_is_a_function_of_seed_and_step(examples: tuple[Any, Any, Examples]) -> None:
    model, index, made = examples

    def said(seed: int, step: int) -> list[Any]:
        source = ExampleSource(made, index, model.config, 8, 2, seed)
        return [instance for piece, _ in source.micro_batches(step) for instance in piece.batch.instances]

    assert said(1, 7) == said(1, 7)
    assert said(1, 7) != said(2, 7)
    assert {instance.task for instance in said(1, 0)} == set(Task)
    assert len(said(1, 0)) == 8


class Stripped:
    """A dataset whose samples lack something."""

    def __init__(self, dataset: Dataset, **fields: Any) -> None:
        self._samples = [sample.model_copy(update=fields) for sample in dataset.samples("train")]

    def length(self, split: str) -> int:
        return len(self._samples)

    def samples(self, split: str) -> list[Any]:
        return self._samples


def test_samples_without_objects_are_counted_and_the_rest_is_trained_on(scenes: Dataset) -> None:
    model = small.model()
    stripped: Any = Stripped(scenes, objects=())
    index = index_examples(stripped, "train", model)
    assert index.positions["referring_segmentation"] == []
    assert len(index.positions["captioning"]) == len(index.positions["generation"]) == stripped.length("train")
    assert index.report.to_dict()["left_out"]["referring_segmentation: samples without objects"] == 36
    config = model.config.changed({"training.task_shares": [1, 0, 0, 0]})
    with pytest.raises(MmudError, match="MM947"):
        ExampleSource(None, index, config, 4, 1, 0)  # type: ignore[arg-type]
    empty: Any = Stripped(scenes, objects=(), caption="", question="", answer="")
    with pytest.raises(MmudError, match=r"MM947.*without a caption"):
        index_examples(empty, "train", model)


# -- predicting -------------------------------------------------------------------------------------------------------------


def test_predictions_do_not_depend_on_batch_cache_or_shard(tmp_path: Path, fitted: Path, scenes: Dataset) -> None:
    some = Request(limit=9)
    whole = predictions(fitted, scenes, tmp_path / "whole", some)
    others = {
        "alone": predictions(fitted, scenes, tmp_path / "alone", some, predict_batch=1),
        "anew": predictions(fitted, scenes, tmp_path / "anew", some, use_cache=False),
    }
    parts = [predictions(fitted, scenes, tmp_path / f"part{n}", Request(limit=9, shard=Shard(n, 2))) for n in (1, 2)]
    for task in Task:
        expected = lines(whole, task)
        assert len(expected) == 9
        striped = lines(parts[0], task) | lines(parts[1], task)
        assert not lines(parts[0], task).keys() & lines(parts[1], task).keys()
        for found in (*(lines(folder, task) for folder in others.values()), striped):
            assert found.keys() == expected.keys()
            for sample_id, row in found.items():
                if task is Task.GENERATION:
                    assert row["feature"] == pytest.approx(expected[sample_id]["feature"], rel=1e-3, abs=1e-5)
                else:
                    assert row == expected[sample_id]


def test_every_answer_has_the_form_that_its_task_asks_for(tmp_path: Path, fitted: Path, scenes: Dataset) -> None:
    folder = predictions(fitted, scenes, tmp_path / "out")
    samples = {sample.sample_id: sample for sample in scenes.samples("test")}
    for sample_id, row in lines(folder, Task.REFERRING_SEGMENTATION).items():
        sample = samples[sample_id]
        assert len(row["masks"]) == len(sample.objects)
        assert all(mask is None or mask["size"] == [sample.height, sample.width] for mask in row["masks"])
    for row in lines(folder, Task.REASONING_SEGMENTATION).values():
        assert [mask["tag"] for mask in row["masks"]] == sorted(tags.indices(row["answer"]))
    for row in lines(folder, Task.CAPTIONING).values():
        assert tags.indices(row["caption"]) == []
    for row in lines(folder, Task.GENERATION).values():
        assert len(row["feature"]) == small.TOWER_WIDTH
    said = json.loads((folder / "submission.json").read_bytes())["system"]
    assert said["tags_emitted"]["generation"]["wanted"] == scenes.length("test")
    assert said["trainable_parameters"].keys() == {"vision", "adapter", "mask_decoder", "global_decoder", "tokens"}
    assert mmud(["evaluate", str(folder), "--data", str(scenes.path), "-o", str(tmp_path / "scores"), "-q"]) == 0


def test_every_tag_that_is_said_becomes_one_mask(
    fitted: Path, scenes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a trained model would say: here the answers are given, with a repeated tag among them."""
    from mmud.baselines.neural_tuning import answering

    baseline, _ = load_run(fitted, SHORT)
    assert isinstance(baseline, NeuralTuning)
    model = baseline._ready().model
    first = model.tags.first
    word = model.tokenizer("star", add_special_tokens=False)["input_ids"]
    said = [*word, first + 1, *word, first, *word, first + 1]
    monkeypatch.setattr(answering, "generate", lambda model, batch, *_, **__: [said] * len(batch))
    for task in (Task.REASONING_SEGMENTATION, Task.REFERRING_SEGMENTATION):
        inputs = DatasetInputs(scenes, "test").samples(task, images=True, labels=False)
        asked = [sample for _, sample in inputs][:3]
        for output in baseline.predict(iter(asked), task):
            masks = output.prediction.masks
            sample = next(one for one in asked if one.sample_id == output.prediction.sample_id)
            found = [Mask.of(mask.segmentation).size if mask.segmentation else None for mask in masks]
            if task is Task.REASONING_SEGMENTATION:
                assert output.prediction.answer == "star <LCL-2>star <LCL-1>star <LCL-2>"
                assert [mask.tag for mask in masks] == [1, 2]
                assert found == [(sample.height, sample.width)] * 2
            else:
                assert found[:2] == [(sample.height, sample.width)] * min(2, len(found))
                assert found[2:] == [None] * (len(found) - 2)


class Painter(ImageDecoder):
    """Paints one colour, drawn from the sample's own seed."""

    def __init__(self) -> None:
        self.features: list[Any] = []

    def decode(self, features: Any, seeds: Any) -> list[Any]:
        assert len(features) == len(seeds)
        self.features += features.tolist()
        return [np.full((32, 32, 3), np.random.default_rng(seed).integers(0, 256, 3), np.uint8) for seed in seeds]


def test_every_sample_has_its_image_whatever_the_model_says(
    tmp_path: Path, fitted: Path, scenes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    painters = [Painter(), Painter()]
    waiting = iter(painters)
    monkeypatch.setattr(backbones_module, "load_image_decoder", lambda config, device: next(waiting))
    request = Request(tasks=(Task.GENERATION,), limit=5)
    folders = [predictions(fitted, scenes, tmp_path / f"b{size}", request, predict_batch=size) for size in (1, 4)]
    rows = [lines(folder, Task.GENERATION) for folder in folders]
    for sample in list(scenes.samples("test"))[:5]:
        one, other = (
            (folder / found[sample.sample_id]["image"]).read_bytes()
            for folder, found in zip(folders, rows, strict=True)
        )
        assert one == other
        assert decode_image(one).shape == (sample.height, sample.width, 3)
    for painter, found in zip(painters, rows, strict=True):
        assert sorted(painter.features) == sorted(row["feature"] for row in found.values())
    # Six steps of training teach nobody to say <GLB>; the feature is that of the tag put at the answer's end.
    said = json.loads((folders[0] / "submission.json").read_bytes())["system"]["tags_emitted"]
    assert said == {"generation": {"wanted": 5, "emitted": 0}}


# -- what does not fit ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_belongs_to_its_backbones(tmp_path: Path, fitted: Path) -> None:
    other = saved(tmp_path / "other", small.language_model(seed=9), small.tokenizer())
    with pytest.raises(MmudError, match=r"MM903.*another language model"):
        load_run(fitted, {"language_model": other["language_model"]})
    moved = saved(tmp_path / "moved", small.language_model(initializer_range=0.2), small.tokenizer())
    load_run(fitted, moved)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "parts.json", "train.json"])
def test_a_damaged_run_is_told(tmp_path: Path, fitted: Path, name: str) -> None:
    import shutil

    shutil.copytree(fitted, tmp_path / "run", ignore=shutil.ignore_patterns("work"))
    file = tmp_path / "run" / "model" / name
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(MmudError, match="MM904"):
        load_run(tmp_path / "run")
    file.unlink()
    with pytest.raises(MmudError, match="MM904"):
        load_run(tmp_path / "run")


def test_backbones_that_are_not_there_or_do_not_fit(
    tmp_path: Path, scenes: Dataset, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def fit(**more: Any) -> MmudError:
        with pytest.raises(MmudError) as raised:
            fit_into(tmp_path / "run", scenes, FitRequest("neural-tuning", {**options, **more}), force=True)
        return raised.value

    assert (fit(language_model=str(tmp_path / "nowhere"))).code.id == "MM923"
    assert fit(vision_tower=str(tmp_path / "nowhere")).exit_code == 4
    cut = saved(tmp_path / "cut", small.language_model(), small.tokenizer())
    weights = tmp_path / "cut" / "language" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    assert fit(**cut).code.id == "MM923"
    # A tokenizer with more tokens than the model has embeddings.
    narrow = saved(tmp_path / "narrow", small.language_model(rows=400), small.tokenizer())
    assert fit(language_model=narrow["language_model"]).code.id == "MM910"
    assert fit(device="nonsense").code.id == "MM922"
    assert fit(learning_rates={"tail": 1.0}).code.id == "MM905"
    for rate in (-0.001, 0.0, float("nan")):
        # A negative rate of a part would climb the loss without a word.
        assert fit(learning_rates={"adapter": rate}).exit_code == 2
    arguments = [
        f"--set={name}={json.dumps(value) if isinstance(value, dict) else value}" for name, value in options.items()
    ]
    command = ["train", "neural-tuning", "--data", str(scenes.path), "-o", str(tmp_path / "cli")]
    assert mmud([*command, "--preset", "nonsense"]) == 2
    assert mmud([*command, *arguments, "--set", "batches=3"]) == 2
    assert mmud([*command, "--set", "changes={", "--preset", "default"]) == 2
    assert "MM905" in capsys.readouterr().err


# -- arms and presets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", ["lora", "heads-only", "full"])
def test_the_arms_differ_in_the_adapter_alone(
    tmp_path: Path, scenes: Dataset, options: dict[str, Any], fitted: Path, arm: str
) -> None:
    if arm == "lora":
        pytest.importorskip("peft", reason="peft is not installed")
    given = {**options, "steps": 2}
    fit_into(tmp_path / "run", scenes, FitRequest(arm, given))
    said = json.loads((tmp_path / "run/model/train.json").read_bytes())["parameters"]["trainable"]
    ours = json.loads((fitted / "model/train.json").read_bytes())["parameters"]["trainable"]
    assert {part: said[part] for part in said if part != "adapter"} == {
        part: ours[part] for part in ours if part != "adapter"
    }
    if arm == "heads-only":
        assert said["adapter"] == 0
    elif arm == "lora":
        assert abs(said["adapter"] - ours["adapter"]) <= ours["adapter"] / 4
    else:
        assert said["adapter"] > 5 * ours["adapter"]
    out = predictions(tmp_path / "run", scenes, tmp_path / "out", Request(limit=3), preset="default")
    assert (out / "submission.json").exists()


def test_the_papers_table_counts_what_method_md_says(
    tmp_path: Path, scenes: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "neural-tuning", "--data", str(scenes.path), "-o", str(tmp_path / "run")]
    assert mmud([*command, "--preset", "paper", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["parameters"]
    # A linear map 1024 -> 4096 without bias.
    assert found["trainable"]["vision"] == 1024 * 4096
    # 16 layers of 4096 -> 128 -> 2 x 4096 with an RMSNorm of 128 between.
    assert found["trainable"]["adapter"] == 16 * (4096 * 128 + 128 + 2 * 128 * 4096)
    # Embedding and head of 32,000 tokens, five <LCL-i> and <GLB>.
    assert found["trainable"]["tokens"] == 2 * (32000 + 6) * 4096
    # Meta's own count of LLaMA-2-7B is 6,738,415,616, of which embedding and head are trained here.
    assert found["frozen"]["language_model"] == 6_738_415_616 - 2 * 32000 * 4096
    assert not (tmp_path / "run").exists()
    assert mmud([*command, "--preset", "paper", "--dry-run"]) == 0
    assert "25,167,872" in capsys.readouterr().out


def test_lora_has_the_papers_budget(tmp_path: Path, scenes: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("peft", reason="peft is not installed")
    command = ["train", "lora", "--data", str(scenes.path), "-o", str(tmp_path / "run")]
    assert mmud([*command, "--preset", "paper", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["parameters"]["trainable"]["adapter"]
    # Two factors of 4096 for query and value in 16 layers: 262,144 a rank; the network has 25,167,872, 96.007 times as many.
    assert found == 96 * 16 * 2 * 2 * 4096
