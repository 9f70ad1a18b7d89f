"""The port of the published way says what `mmud predict` says; its loop is checked against transformers' own generation.

Models are made on the spot, so that answers are of any kind: tags, none, ends, and answers that run into the bound.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from mmud.annotations.instructions import task_instances  # noqa: E402
from mmud.annotations.masks import Mask  # noqa: E402
from mmud.baselines.inputs import DatasetInputs  # noqa: E402
from mmud.baselines.neural_tuning.fitting import load_fitted  # noqa: E402
from mmud.baselines.predicting import Request, predict_into  # noqa: E402
from mmud.baselines.run_folder import FitRequest, fit_into, load_run  # noqa: E402
from mmud.baselines.training.tensor_files import read_tensors, write_tensors  # noqa: E402
from mmud.dataset.build import build  # noqa: E402
from mmud.dataset.recipe import Recipe  # noqa: E402
from mmud.dataset.store import Dataset  # noqa: E402
from mmud.evaluators.predictions import parse_row  # noqa: E402
from mmud.images import decode_image  # noqa: E402
from mmud.records import Task  # noqa: E402
from tests.baselines.neural_tuning import small_models as small  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
WORLD = {"type": "scenes", "samples": 24, "seed": 7, "width": 64, "height": 64, "max_objects": 4}
SETTINGS = {
    "preset": "default",
    "precision": "fp32",
    "batch": 4,
    "accumulate": 1,
    "learning_rate": 0.003,
    "warmup": 1,
    "dimension": 8,
    "valid_limit": 2,
    "validations": 1,
    "max_new_tokens": 12,
    "changes": '{"mask_decoder.width": 16, "mask_decoder.mlp": 16, "global_decoder.hidden": 16}',
}


@pytest.fixture(scope="module")
def claims() -> Iterator[SimpleNamespace]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        names = {"command": "claims", "runs": "claims_runs", "throughput": "claims_throughput", "way": "published_way"}
        yield SimpleNamespace(**{name: importlib.import_module(module) for name, module in names.items()})
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path_factory.getbasetemp() / "claims-cache"))
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("claims") / "scenes"
    report = build(Recipe(sources=(WORLD,), split={"train": 0.5, "valid": 0.2, "test": 0.3}), folder)
    assert report.dataset is not None
    return report.dataset


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("backbones")
    small.language_model(initializer_range=0.2).save_pretrained(root / "language")
    small.tokenizer().save_pretrained(root / "language")
    small.tower().network.save_pretrained(root / "vision")
    return {**SETTINGS, "language_model": str(root / "language"), "vision_tower": str(root / "vision")}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, world: Dataset, settings: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    fit_into(folder, world, FitRequest("neural-tuning", {**settings, "steps": 6}, seed=1))
    # Six steps teach nothing; with a head of larger rows the tags are said often, and not always.
    file = folder / "model" / "model.safetensors"
    tensors = read_tensors(file)
    write_tensors(file, {**tensors, "tokens.head": 8 * tensors["tokens.head"]})
    return folder


def test_the_port_says_what_mmud_predict_says(
    claims: SimpleNamespace, run: Path, world: Dataset, tmp_path: Path
) -> None:
    baseline, _ = load_run(run)
    inputs = DatasetInputs(world, "test")
    predict_into(tmp_path / "predictions", baseline, inputs, Request())
    fitted = load_fitted(run / "model", baseline.options, "stn")
    way = claims.way.PublishedWay(fitted.model, max_new_tokens=12)
    masks, texts = Counter[Task](), 0
    for task in Task:
        lines = (tmp_path / "predictions" / f"{task.value}.jsonl").read_text().splitlines()
        rows = {row.sample_id: row for row in (parse_row(json.loads(line), task) for line in lines)}
        with claims.way.eager_attention(fitted.model):
            assert fitted.model.language_model.config._attn_implementation == "eager"
            said = {one.sample_id: way.answer(one, task) for _, one in inputs.samples(task, images=True, labels=False)}
        assert said.keys() == rows.keys()
        for name, row in rows.items():
            found = said[name]
            if task in (Task.CAPTIONING, Task.REASONING_SEGMENTATION):
                assert found.text == (row.caption if task is Task.CAPTIONING else row.answer)
                texts += bool(found.text)
            if task is Task.GENERATION:
                assert found.feature == pytest.approx(row.feature, rel=1e-3, abs=1e-4)
            given = {
                number if mask.tag is None else mask.tag: mask.segmentation
                for number, mask in enumerate(row.masks)
                if mask.segmentation is not None
            }
            assert found.masks.keys() == given.keys()
            for number, mask in found.masks.items():
                apart = Mask.of(given[number], *mask.shape).decode().astype(bool) != mask
                assert apart.mean() <= 1e-3
                masks[task] += 1
    # Otherwise nothing was compared.
    assert set(masks) == {Task.REFERRING_SEGMENTATION, Task.REASONING_SEGMENTATION}
    assert texts > 0
    assert fitted.model.language_model.config._attn_implementation != "eager"


def test_the_loop_is_transformers_own_greedy_search_without_a_cache(claims: SimpleNamespace) -> None:
    model = small.model()
    way = claims.way.PublishedWay(model)
    for sample in small.samples():
        (instance, *_) = task_instances(sample, Task.CAPTIONING, tag_limit=5, with_answer=False)
        features = model.image_features([decode_image(sample.image_bytes())])[0]
        batch = model.collate([instance], [features], for_generation=True)
        expected = model.language_model.generate(
            inputs_embeds=model.embed(batch),
            attention_mask=batch.attention_mask,
            max_new_tokens=9,
            do_sample=False,
            use_cache=False,
            eos_token_id=[],
        )
        assert way.generated(instance, features, limit=9, stops=False) == expected[0].tolist()


def test_ways_are_timed_and_their_outputs_compared(claims: SimpleNamespace, run: Path, world: Dataset) -> None:
    baseline, _ = load_run(run)
    model = load_fitted(run / "model", baseline.options, "stn").model
    comparison = claims.throughput.Comparison(model, None, DatasetInputs(world, "test"), baseline.options, 4)
    timing = comparison.timing(Task.CAPTIONING, 1)
    assert timing.samples == 4
    assert 0 < timing.tokens <= 4 * 12
    assert all(seconds > 0 for seconds in timing.seconds.values())
    seconds = timing.seconds
    assert timing.ratio == pytest.approx(seconds[claims.throughput.PUBLISHED] / seconds[claims.throughput.OURS])
    text = claims.throughput.table([timing, claims.throughput.together([timing])], "CPU")
    assert [line.split("|")[2].strip() for line in text.splitlines()[2:4]] == ["4", "4"]


def test_other_outputs_end_the_comparison(claims: SimpleNamespace, run: Path, world: Dataset) -> None:
    baseline, _ = load_run(run)
    model = load_fitted(run / "model", baseline.options, "stn").model
    comparison = claims.throughput.Comparison(model, None, DatasetInputs(world, "test"), baseline.options, 2)
    require_same, different = claims.throughput.require_same, claims.throughput.Different
    task = Task.GENERATION
    ours, theirs = comparison.ours(task), comparison.published(task)
    assert require_same(ours, theirs, task) == 0
    name = next(iter(theirs))
    spoilt = {**theirs, name: replace(theirs[name], feature=theirs[name].feature + 0.1)}
    with pytest.raises(different, match="features differ"):
        require_same(ours, spoilt, task)
    with pytest.raises(different, match="other samples"):
        require_same(ours, {name: theirs[name]}, task)
    task = Task.CAPTIONING
    ours, theirs = comparison.ours(task), comparison.published(task)
    with pytest.raises(different, match="captioning"):
        require_same(ours, {**theirs, name: replace(theirs[name], text="another")}, task)


def test_a_model_with_random_weights_is_timed_at_any_size(claims: SimpleNamespace) -> None:
    """What runs at seven billion parameters on a GPU, at a size for a CPU, where fp32 lets the outputs be compared too."""
    language = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 512,
    }
    vision = {
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    model = claims.throughput.build_large("cpu", language, vision, torch.float32)
    assert torch.get_default_dtype() == torch.float32
    found = claims.throughput.large(model, small.samples(3), 5)
    assert (found.answers, found.tokens, found.same) == (3, 5, 1.0)
    assert found.parameters == sum(one.numel() for one in model.language_model.parameters())
    assert f"{found.ratio:.1f} times" in found.text()


def command(claims: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Run the benchmark's command in this process, where torch is imported already."""
    monkeypatch.setattr(sys, "argv", ["claims.py", *arguments])
    claims.command.main()


def dying(rmtree: Any) -> Any:
    """``rmtree`` that removes the submission of a folder of predictions, and nothing more, before the process dies."""

    def remove(folder: Path, ignore_errors: bool = False) -> None:
        if "predictions-" in folder.name and folder.is_dir():
            (folder / "submission.json").unlink()
            raise KeyboardInterrupt
        rmtree(folder, ignore_errors=ignore_errors)

    return remove


def options_of(settings: dict[str, Any]) -> list[str]:
    """``--set`` of every setting that the command has no option of its own for."""
    return [part for name, value in settings.items() if name != "batch" for part in ("--set", f"{name}={value}")]


def test_the_command_goes_from_data_to_tables(
    claims: SimpleNamespace,
    world: Dataset,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the smallest budgets; a second run of the same command measures nothing again."""
    arguments = ["efficiency", "--data", str(world.path), "-o", str(tmp_path), "--quick", "--arms", "heads-only"]
    with monkeypatch.context() as killed:
        # Killed while the first predictions are removed: the command goes on from there.
        killed.setattr(claims.runs.shutil, "rmtree", dying(claims.runs.shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            command(claims, killed, *arguments, *options_of(settings))
    capsys.readouterr()
    for attempt in range(2):
        command(claims, monkeypatch, *arguments, *options_of(settings))
        said = capsys.readouterr()
        assert "expected time" in said.err
        assert ("on valid" in said.err) == (attempt == 0)
        assert "| heads-only | - | 0 |" in said.out
        assert "and nothing else" in said.out
    assert (tmp_path / "efficiency.md").read_text().count("| heads-only |") == 1
    (setting,) = json.loads((tmp_path / "efficiency.json").read_text())["settings"]
    assert len(setting["scores"]) == 2
    assert all(-0.25 <= score <= 1 for score in setting["scores"])
    # Of each run its model is kept, and neither checkpoints nor predictions.
    kept = {path.name for path in (tmp_path / "runs").glob("*/*")}
    assert kept == {"run.json", "model"}


def test_ablations_end_in_a_table_of_differences(
    claims: SimpleNamespace,
    world: Dataset,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["ablations", "--data", str(world.path), "-o", str(tmp_path), "--quick"]
    command(claims, monkeypatch, *arguments, *options_of(settings))
    said = capsys.readouterr()
    assert "ablations: 6 runs, 6 of them to be done" in said.err
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.out.splitlines() if line.startswith("|")]
    assert [row[:2] for row in rows[2:]] == [["default", ""], ["EMA", "0 (none)"], ["EMA", "0.5"]]
    # The mixing of states has no parameters.
    assert len({row[2] for row in rows[2:]}) == 1
    assert all("±" in row[-1] for row in rows[3:])
    outcomes = json.loads((tmp_path / "ablations.json").read_text())["outcomes"]
    assert [len(outcome["scores"]) for outcome in outcomes] == [2, 2, 2]


def test_when_minutes_are_over_the_command_says_so(
    claims: SimpleNamespace,
    world: Dataset,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["efficiency", "--data", str(world.path), "-o", str(tmp_path), "--quick", "--minutes", "0"]
    with pytest.raises(SystemExit) as ended:
        command(claims, monkeypatch, *arguments, *options_of(settings))
    assert ended.value.code == claims.command.UNFINISHED
    assert "The same command goes on." in capsys.readouterr().err
    assert not (tmp_path / "efficiency.md").exists()


def test_throughput_ends_in_a_table_and_says_that_there_is_no_gpu(
    claims: SimpleNamespace,
    run: Path,
    world: Dataset,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    arguments = ["throughput", "--data", str(world.path), "-o", str(tmp_path), "--quick", "--model", str(run)]
    command(claims, monkeypatch, *arguments, *options_of(settings))
    said = capsys.readouterr()
    assert "4 of 4 tasks to be measured" in said.err
    assert "expected time" in said.err
    command(claims, monkeypatch, *arguments, *options_of(settings))
    again = capsys.readouterr()
    assert "0 of 4 tasks to be measured" in again.err
    assert again.out == said.out
    rows = [line for line in said.out.splitlines() if line.startswith("|")][2:]
    assert [row.split("|")[1].strip().replace(" ", "_") for row in rows] == [*map(str, Task), "all_four"]
    assert "No GPU" in said.out
    data = json.loads((tmp_path / "throughput.json").read_text())
    assert data["large"] is None
    whole = data["timings"][-1]
    assert whole["tokens"] == sum(one["tokens"] for one in data["timings"][:-1]) > 0


@pytest.mark.parametrize("wrong", [["speed"], ["--arms", "adapter"], ["--settings", "width"], ["--steps", "0"]])
def test_what_does_not_exist_is_a_wrong_use(
    claims: SimpleNamespace, wrong: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command(claims, monkeypatch, *wrong, "--data", "nowhere")
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err
