"""The harness: known scores, bit-identity in any order and number of shards, rows that can be scored again, refusals."""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmud.annotations.masks import Mask
from mmud.cli import run
from mmud.dataset.writer import write_dataset
from mmud.errors import MmudError
from mmud.evaluators.base import BUILT_IN
from mmud.evaluators.checking import RefusedPredictions
from mmud.evaluators.collecting import Shard
from mmud.evaluators.evaluation import evaluate, merge_evaluations, rescore
from mmud.evaluators.predictions import PredictionFolder
from mmud.evaluators.protocols import names_of
from mmud.evaluators.rows import RowTable
from mmud.evaluators.signatures import parse
from mmud.records import MaskedObject, PredictedMask, Prediction, Sample, Task

REFERRING, REASONING, CAPTIONING = "referring_segmentation", "reasoning_segmentation", "captioning"
PROTOCOLS = names_of("all")


def values(scores: Any, task: str) -> dict[str, float | None]:
    return {name: figure["value"] for name, figure in scores["tasks"][task]["metrics"].items()}


def test_the_oracle_is_perfect_and_the_empty_system_is_not(made: Any) -> None:
    perfect = evaluate(made.oracle, made.dataset, protocol="all", metrics=["all"]).scores
    nothing = evaluate(made.empty, made.dataset, protocol="all").scores
    for task in (REFERRING, REASONING):
        assert values(perfect, task)["boundary_IoU"] == 1.0
        for name in ("gIoU", "cIoU", "precision@0.9", "mean_Dice", "T-acc"):
            assert values(perfect, task)[name] == 1.0
            assert values(nothing, task)[name] == 0.0
        for protocol in PROTOCOLS:
            # Where objects overlap, GSVA's merged labels lose the shared pixels, so that the labels themselves are not right.
            if (task, protocol) != (REASONING, "gsva"):
                figures = perfect["tasks"][task]["protocols"][protocol]["metrics"]
                assert figures["gIoU"]["value"] == pytest.approx(1.0, abs=1e-6)
                assert figures["cIoU"]["value"] == pytest.approx(1.0, abs=1e-9)
    assert values(perfect, REASONING)["tag_recall"] == values(perfect, REASONING)["tag_precision"] == 1.0
    assert values(nothing, REASONING)["tag_recall"] == 0.0
    for task in (REASONING, CAPTIONING):
        assert values(perfect, task)["cider_d"] == pytest.approx(10.0)
        assert values(perfect, task)["bleu_4"] == pytest.approx(1.0)
        assert values(perfect, task)["rouge_l"] == pytest.approx(1.0)
        assert values(nothing, task)["cider_d"] == 0.0
        assert values(nothing, task)["bleu_1"] == 0.0


def test_spoilt_labels_lie_between_and_more_spoilt_ones_lower(made: Any) -> None:
    mild, strong = (evaluate(folder, made.dataset).scores for folder in (made.perturbed, made.worse))
    for task, metric in ((REFERRING, "gIoU"), (REASONING, "cIoU"), (CAPTIONING, "cider_d")):
        top = 10.0 if metric == "cider_d" else 1.0
        low, high = values(strong, task)[metric], values(mild, task)[metric]
        assert low is not None
        assert high is not None
        assert 0 < low < high < top


def test_every_figure_has_interval_n_and_signature(made: Any) -> None:
    scores = evaluate(made.perturbed, made.dataset, protocol="all").scores
    json.dumps(scores, allow_nan=False)
    for task, result in scores["tasks"].items():
        assert result["images"] < result["samples"] == 30
        for name, figure in result["metrics"].items():
            fields = parse(figure["signature"])
            assert fields["metric"] == name
            assert fields["n"] == str(figure["n"])
            if figure["value"] is not None and name not in ("distinct_1", "distinct_2"):
                assert figure["low"] <= figure["value"] <= figure["high"], (task, name)
    assert scores["dataset"]["fingerprint"] == made.dataset.fingerprint
    assert scores["partial"] is False
    assert scores["protocol"] == "mmud"
    assert set(scores["versions"]) >= {"mmud", "numpy", "scipy", "python"}


def shuffled(source: Path, target: Path, seed: int) -> Path:
    shutil.copytree(source, target)
    for file in target.glob("*.jsonl"):
        lines = file.read_text().splitlines()
        random.Random(seed).shuffle(lines)
        file.write_text("\n".join(lines) + "\n\n")
    return target


def test_rows_in_any_order_and_shards_are_bit_identical(made: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"protocol": "all", "metrics": ["all"], "by": ["source", "size"]}
    whole = evaluate(made.perturbed, made.dataset, **options)
    expected = json.dumps(whole.scores, sort_keys=True)
    again = evaluate(shuffled(made.perturbed, tmp_path / "shuffled", 1), made.dataset, **options)
    assert json.dumps(again.scores, sort_keys=True) == expected
    for of in (1, 2, 7):
        folders = []
        for index in range(1, of + 1):
            part = evaluate(made.perturbed, made.dataset, protocol="all", metrics=["all"], shard=Shard(index, of))
            folder = tmp_path / f"{index}-{of}"
            part.save(folder)
            folders.append(folder)
            assert part.scores["shard"] == (None if of == 1 else {"index": index, "of": of})
        random.Random(of).shuffle(folders)
        merged = merge_evaluations(folders, by=["source", "size"])
        assert json.dumps(merged.scores, sort_keys=True) == expected
        assert merged.rows.table.equals(whole.rows.table)


def test_shards_that_do_not_belong_together_are_refused(made: Any, tmp_path: Path) -> None:
    def part(name: str, index: int, of: int, predictions: Path, **options: Any) -> Path:
        evaluate(predictions, made.dataset, shard=Shard(index, of), **options).save(tmp_path / name)
        return tmp_path / name

    one, two = part("a", 1, 2, made.perturbed), part("b", 2, 2, made.perturbed)
    other = part("c", 2, 2, made.worse)
    match = part("d", 2, 2, made.perturbed, match="tag")
    evaluate(made.perturbed, made.dataset).save(tmp_path / "whole")
    for parts in ([one], [one, one], [one, two, two], [one, other], [one, match], [tmp_path / "whole", one]):
        with pytest.raises(MmudError, match="MM822"):
            merge_evaluations(parts)
    with pytest.raises(MmudError, match="MM820"):
        merge_evaluations([tmp_path])


def test_rows_are_enough_to_score_again(made: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"by": ["source", "category", "size", "objects", "length"]}
    first = evaluate(made.perturbed, made.dataset, protocol="all", **options)
    first.save(tmp_path)
    rows = RowTable.read(tmp_path)
    assert len(rows) == 90
    again = rescore(rows, **options)
    assert again.scores == first.scores
    for protocol in PROTOCOLS:
        alone = rescore(rows, protocol=protocol).scores
        fresh = evaluate(made.perturbed, made.dataset, protocol=protocol).scores
        for task in (REFERRING, REASONING):
            assert values(alone, task) == values(fresh, task)
    table = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert {row["task"] for row in table} == {REFERRING, REASONING, CAPTIONING}
    assert isinstance(table[-1]["segmentation"]["units"][0]["intersection"], int)


def test_rows_say_what_they_lack(made: Any) -> None:
    rows = evaluate(made.perturbed, made.dataset, tasks=[REFERRING]).rows
    with pytest.raises(MmudError, match="MM821"):
        rescore(rows, protocol="rela")
    assert rescore(rows, protocol="seem").scores["protocol"] == "seem"


def test_slices_partition_the_units_and_equal_a_filter(made: Any) -> None:
    """A slice's figure is that of an evaluation of those samples, or objects, alone."""
    found = evaluate(made.perturbed, made.dataset, by=["source", "objects", "category", "size", "length"])
    result = found.scores["tasks"][REFERRING]
    total = result["metrics"]["gIoU"]
    for by in ("source", "objects", "category", "size", "length"):
        parts = [part["metrics"]["gIoU"] for part in result["slices"][by].values()]
        assert sum(part["n"] for part in parts) == total["n"]
        assert sum(part["n"] * part["value"] for part in parts) == pytest.approx(total["n"] * total["value"])
    samples = [sample for sample in made.dataset.samples("test") if sample.source == "other"]
    predictions = [
        prediction
        for prediction in PredictionFolder(made.perturbed).read(Task.REFERRING_SEGMENTATION, lambda finding: None)
        if prediction.sample_id in {sample.sample_id for sample in samples}
    ]
    assert len(predictions) == len(samples)
    alone = _evaluate_samples(samples, {Task.REFERRING_SEGMENTATION: predictions})
    defined = {name: one for name, one in alone["tasks"][REFERRING]["metrics"].items() if one["value"] is not None}
    assert result["slices"]["source"]["other"]["metrics"] == defined
    captions = found.scores["tasks"][CAPTIONING]
    assert set(captions["slices"]) == {"source", "objects", "length"}
    assert any(finding.code.id == "MM826" for finding in found.findings)


def _evaluate_samples(samples: list[Sample], predictions: Any) -> Any:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        dataset = write_dataset(Path(folder) / "d", {"test": samples}, images="link")
        return evaluate(predictions, dataset).scores


SQUARE = (20, 20)


def square(top: int, left: int, side: int = 8) -> Mask:
    array = np.zeros(SQUARE, dtype=bool)
    array[top : top + side, left : left + side] = True
    return Mask.from_array(array)


def reasoning_sample(objects: list[Mask], answer: str, name: str = "s") -> Sample:
    return Sample(
        sample_id=name,
        width=SQUARE[1],
        height=SQUARE[0],
        source="made",
        question="which?",
        answer=answer,
        objects=tuple(MaskedObject(phrases=("x",), segmentation=mask.to_record()) for mask in objects),
    )


def answer_of(answer: str, masks: dict[int, Mask], name: str = "s") -> Prediction:
    return Prediction(
        sample_id=name,
        task=Task.REASONING_SEGMENTATION,
        answer=answer,
        masks=tuple(PredictedMask(segmentation=mask.to_record(), tag=tag) for tag, mask in masks.items()),
    )


def reasoning(objects: list[Mask], answer: str, prediction: Prediction, match: str = "hungarian") -> dict[str, Any]:
    sample = reasoning_sample(objects, answer)
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        dataset = write_dataset(Path(folder) / "d", {"test": [sample]}, images="link")
        scores = evaluate({Task.REASONING_SEGMENTATION: [prediction]}, dataset, match=match).scores
    return dict(scores["tasks"][REASONING]["metrics"])


def test_free_tags_are_matched_by_mask_or_by_number() -> None:
    """The right masks under swapped numbers: all right by assignment, all wrong by tag."""
    objects = [square(0, 0), square(10, 10)]
    said = answer_of("<LCL-2> and <LCL-1>", {1: objects[1], 2: objects[0]})
    assert reasoning(objects, "<LCL-1> and <LCL-2>", said)["gIoU"]["value"] == 1.0
    assert reasoning(objects, "<LCL-1> and <LCL-2>", said, "tag")["gIoU"]["value"] == 0.0


def test_unmatched_masks_count_on_both_sides() -> None:
    """One right, one object missed, two masks too many: IoUs 1, 0, 0, 0 where the masks' number leaves two over."""
    objects = [square(0, 0), square(10, 10)]
    said = answer_of("<LCL-1> <LCL-2> <LCL-3>", {1: objects[0], 2: square(0, 12, 4), 3: square(15, 0, 4)})
    found = reasoning(objects, "<LCL-1> <LCL-2>", said)
    assert found["gIoU"]["value"] == pytest.approx(1 / 3)
    assert found["gIoU"]["n"] == 3
    assert found["cIoU"]["value"] == pytest.approx(64 / (64 + 64 + 16 + 16))
    assert found["tag_recall"]["value"] == 1 / 2
    assert found["tag_precision"]["value"] == pytest.approx(1 / 3)
    missed = reasoning(objects, "<LCL-1> <LCL-2>", answer_of("<LCL-1>", {1: objects[0]}))
    assert missed["gIoU"]["value"] == 1 / 2
    assert missed["cIoU"]["value"] == 1 / 2
    assert missed["tag_precision"]["value"] == 1.0


def test_a_tag_without_a_mask_counts_as_predicted() -> None:
    objects = [square(0, 0)]
    found = reasoning(objects, "<LCL-1>", answer_of("<LCL-1> or <LCL-2>", {1: objects[0]}))
    assert found["tag_precision"]["value"] == 1 / 2
    assert found["gIoU"]["value"] == 1.0


def test_only_tagged_objects_are_asked_for() -> None:
    objects = [square(0, 0), square(10, 10)]
    found = reasoning(objects, "only <LCL-2>", answer_of("<LCL-2>", {2: objects[1]}), "tag")
    assert found["gIoU"] == {**found["gIoU"], "value": 1.0, "n": 1}


def test_extra_and_missing_masks_in_referring(tmp_path: Path) -> None:
    objects = [square(0, 0), square(10, 10)]
    dataset = write_dataset(tmp_path / "d", {"test": [reasoning_sample(objects, "")]}, images="link")

    def score(masks: list[Mask | None]) -> Any:
        given = tuple(PredictedMask(segmentation=None if mask is None else mask.to_record()) for mask in masks)
        prediction = Prediction(sample_id="s", task=Task.REFERRING_SEGMENTATION, masks=given)
        found = evaluate({Task.REFERRING_SEGMENTATION: [prediction]}, dataset)
        return found.scores["tasks"][REFERRING]["metrics"], [finding.code.id for finding in found.findings]

    few, findings = score([objects[0]])
    assert (few["gIoU"]["value"], few["cIoU"]["value"]) == (1 / 2, 1 / 2)
    assert findings == ["MM809"]
    many, findings = score([objects[0], objects[1], square(0, 12, 4)])
    assert many["gIoU"]["value"] == pytest.approx(2 / 3)
    assert many["cIoU"]["value"] == pytest.approx(128 / 144)
    assert findings == ["MM809"]


def drop_line(folder: Path, task: str, position: int = 3) -> str:
    file = folder / f"{task}.jsonl"
    lines = file.read_text().splitlines()
    gone = json.loads(lines.pop(position))["sample_id"]
    file.write_text("\n".join(lines) + "\n")
    return str(gone)


def test_missing_predictions_refuse_the_whole_unless_allowed(made: Any, tmp_path: Path) -> None:
    folder = shuffled(made.perturbed, tmp_path / "p", 0)
    gone = drop_line(folder, CAPTIONING)
    with pytest.raises(RefusedPredictions, match="MM801") as caught:
        evaluate(folder, made.dataset)
    assert [finding.place.sample for finding in caught.value.findings] == [gone]
    assert caught.value.exit_code == 5
    found = evaluate(folder, made.dataset, allow_partial=True).scores
    assert found["partial"] is True
    assert found["samples"][CAPTIONING] == {"required": 30, "scored": 29, "missing": [gone]}
    assert evaluate(folder, made.dataset, tasks=[REFERRING]).scores["partial"] is False


def test_limit_marks_the_result_as_partial(made: Any) -> None:
    found = evaluate(made.perturbed, made.dataset, limit=10).scores
    assert found["partial"] is True
    assert found["tasks"][REFERRING]["samples"] == 10
    assert evaluate(made.perturbed, made.dataset, limit=30).scores["partial"] is False


def test_captions_of_a_shard_are_weighed_as_in_the_whole(made: Any) -> None:
    """Document frequencies come from the split, so a sample's CIDEr does not depend on who is scored with it."""
    whole = {
        row["sample_id"]: row
        for row in evaluate(made.perturbed, made.dataset).rows.table.to_pylist()
        if row["captions"]
    }
    part = evaluate(made.perturbed, made.dataset, shard=Shard(2, 7)).rows.table.to_pylist()
    chosen = [row for row in part if row["captions"]]
    assert chosen
    for row in chosen:
        assert row["captions"] == whole[row["sample_id"]]["captions"]


def test_wrong_arguments_are_named(made: Any) -> None:
    for options, code in (
        ({"protocol": "lisaa"}, "MM004"),
        ({"metrics": ["gIOU"]}, "MM004"),
        ({"match": "greedy"}, "MM001"),
        ({"by": ["colour"]}, "MM001"),
        ({"tasks": ["segmentation"]}, "MM001"),
        ({"evaluators": ["nobody"]}, "MM004"),
        ({"split": "train"}, "MM108"),
        ({"tasks": ["generation"]}, "MM816"),
    ):
        with pytest.raises(MmudError, match=code):
            evaluate(made.perturbed, made.dataset, **options)  # type: ignore[arg-type]


def test_metrics_can_be_chosen(made: Any) -> None:
    found = evaluate(made.perturbed, made.dataset, metrics=["cIoU", "cider_d", "boundary_IoU"]).scores["tasks"]
    assert list(found[REFERRING]["metrics"]) == ["cIoU", "boundary_IoU"]
    assert list(found[CAPTIONING]["metrics"]) == ["cider_d"]
    assert "boundary_IoU" not in evaluate(made.perturbed, made.dataset).scores["tasks"][REFERRING]["metrics"]


def test_the_command(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(made.dataset.path)
    out = tmp_path / "out"
    assert run(["evaluate", str(made.perturbed), "--data", data, "-o", str(out), "--json", "-q"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "scores.json").read_text())
    assert printed["tasks"][REFERRING]["metrics"]["gIoU"].keys() == {"value", "low", "high", "n", "signature"}
    assert run(["evaluate", str(made.perturbed), "--data", data, "-o", str(out)]) == 2
    assert run(["evaluate", str(made.perturbed), "--data", data, "-o", str(out), "--force", "--protocol", "all"]) == 0
    text = capsys.readouterr().out
    assert "referring segmentation by protocol" in text
    assert run(["evaluate", "--rows", str(out), "--by", "size,source", "--protocol", "rela", "-q"]) == 0
    assert "by size" in capsys.readouterr().out
    for index in (1, 2):
        target = str(tmp_path / str(index))
        assert run(["evaluate", str(made.perturbed), "--data", data, "--shard", f"{index}/2", "-o", target, "-q"]) == 0
    assert run(["evaluate", "--merge", str(tmp_path / "2"), str(tmp_path / "1"), "--json", "-q"]) == 0
    merged = capsys.readouterr().out
    assert json.loads(merged[merged.index('{\n  "format"') :])["tasks"] == printed["tasks"]


def test_the_command_lists_what_it_refuses(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shuffled(made.perturbed, tmp_path / "p", 0)
    gone = drop_line(folder, REFERRING)
    assert run(["evaluate", str(folder), "--data", str(made.dataset.path)]) == 5
    shown = capsys.readouterr().err
    assert gone in shown
    assert "MM801" in shown
    assert run(["evaluate", str(folder), "--data", str(made.dataset.path), "--allow-partial"]) == 0
    assert "PARTIAL" in capsys.readouterr().out
    for arguments in (
        [str(folder)],
        ["--merge"],
        ["--rows", "x", "--data", "y"],
        [str(folder), "--data", str(made.dataset.path), "--shard", "0/2"],
    ):
        assert run(["evaluate", *arguments]) == 2


def test_a_dry_run_writes_nothing(made: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(["evaluate", str(made.oracle), "--data", str(made.dataset.path), "-o", str(out), "--dry-run", "-q"]) == 0
    assert not out.exists()


def test_a_blind_evaluation_names_no_sample(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["evaluate", str(made.oracle), "--data", str(made.dataset.path), "--by", "source", "-q"]
    assert run([*common, "-o", str(tmp_path / "open")]) == 0
    assert run([*common, "--blind", "--json", "-o", str(tmp_path / "blind")]) == 0
    assert [path.name for path in (tmp_path / "blind").iterdir()] == ["scores.json"]
    text = (tmp_path / "blind" / "scores.json").read_text("utf-8")
    for sample in made.dataset.samples("test"):
        assert f'"{sample.sample_id}"' not in text
    seen, blind = json.loads((tmp_path / "open" / "scores.json").read_text("utf-8")), json.loads(text)
    assert "slices" in seen["tasks"][CAPTIONING]
    assert "slices" not in blind["tasks"][CAPTIONING]
    assert values(blind, REFERRING) == values(seen, REFERRING)


def test_a_zip_is_scored_as_its_folder_is(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", made.perturbed)
    data = ["--data", str(made.dataset.path), "--json", "-q"]
    assert run(["evaluate", str(made.perturbed), *data]) == 0
    expected = capsys.readouterr().out
    assert run(["evaluate", packed, *data]) == 0
    assert capsys.readouterr().out == expected
    assert run(["compare", packed, str(made.perturbed), *data]) == 0
    task = json.loads(capsys.readouterr().out)["comparisons"][0]["tasks"][REFERRING]
    assert task["metrics"]["gIoU"]["p"] == 1.0
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("../outside.jsonl", "")
    assert run(["evaluate", packed, *data]) == 5
    assert "MM831" in capsys.readouterr().err


def test_an_evaluator_that_is_there_already_is_run_once(made: Any) -> None:
    expected = evaluate(made.perturbed, made.dataset)
    assert evaluate(made.perturbed, made.dataset, evaluators=(*BUILT_IN, "captions")).scores == expected.scores


def test_cider_of_one_text_is_left_out_with_a_warning(made: Any, tmp_path: Path) -> None:
    """CIDEr's paper, equation 1: with one text every inverse document frequency is log(1/1) = 0."""
    sample = next(iter(made.dataset.samples("test", images=True)))
    write_dataset(tmp_path / "one", {"test": iter([sample])})
    said = Prediction(task=Task.CAPTIONING, sample_id=sample.sample_id, caption=sample.caption)
    found = evaluate({Task.CAPTIONING: [said]}, tmp_path / "one")
    assert [finding.code.id for finding in found.findings] == ["MM827"]
    assert str(found.findings[0].severity.label) == "warning"
    assert "cider_d" not in found.scores["tasks"][CAPTIONING]["metrics"]
    assert found.value(CAPTIONING, "bleu_4") == pytest.approx(1.0, abs=1e-9)


def test_a_metric_that_was_named_and_is_not_there_is_said(made: Any) -> None:
    found = evaluate(made.perturbed, made.dataset, tasks=[CAPTIONING], metrics=["gIoU", "cider_d"])
    assert [(finding.code.id, finding.message) for finding in found.findings] == [
        ("MM828", "no task that was scored reports gIoU")
    ]
    assert not evaluate(made.perturbed, made.dataset, tasks=[CAPTIONING], metrics=["all"]).findings
    assert not evaluate(
        made.perturbed, made.dataset, metrics=["gIoU", "cider_d"], tasks=[REFERRING, CAPTIONING]
    ).findings
