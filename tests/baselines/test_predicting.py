"""Predicting into a folder: any interruption ends in the same bytes, any split into parts too, and nothing sees a label."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mmud.annotations.asking import has_labels
from mmud.annotations.masks import Mask
from mmud.baselines.base import Baseline, Output
from mmud.baselines.floors.constant import CentreBox, Empty
from mmud.baselines.floors.labels import Oracle
from mmud.baselines.inputs import DatasetInputs, inputs_alone, open_inputs
from mmud.baselines.merging import merge_parts
from mmud.baselines.predicting import Request, predict_into, write_predictions
from mmud.baselines.task_log import TaskLog, log_file
from mmud.cli import run
from mmud.dataset.store import Dataset
from mmud.errors import MmudError
from mmud.evaluators.collecting import Shard
from mmud.evaluators.evaluation import evaluate
from mmud.evaluators.predictions import task_file
from mmud.evaluators.submissions.check import check_submission
from mmud.evaluators.submissions.expectations import expectations
from mmud.records import Prediction, Sample, Task

ROOT = Path(__file__).resolve().parents[2]


class Stumbling(Baseline):
    """Says how long each caption's id is, backwards in pairs, and fails after so many answers."""

    name: ClassVar[str] = "stumbling"
    tasks: ClassVar[tuple[Task, ...]] = (Task.CAPTIONING,)

    def __init__(self, after: int | None = None, **faults: Any) -> None:
        super().__init__()
        self.after = after
        self.asked: list[str] = []
        self.leave_out = faults.get("leave_out")
        self.twice = faults.get("twice")

    def predict(self, samples: Iterator[Sample], task: Task) -> Iterator[Output]:
        pair: list[Sample] = []
        for sample in samples:
            pair.append(sample)
            if len(pair) == 2:
                yield from self.pair(pair)
                pair = []
        yield from self.pair(pair)

    def pair(self, pair: list[Sample]) -> Iterator[Output]:
        for sample in reversed(pair):
            if self.after is not None and len(self.asked) >= self.after:
                raise ConnectionError("gone")
            if sample.sample_id == self.leave_out:
                continue
            self.asked.append(sample.sample_id)
            prediction = Prediction(sample_id=sample.sample_id, task=Task.CAPTIONING, caption=sample.sample_id[::-1])
            output = Output(prediction, tags=(3, said_of(sample.sample_id)))
            yield output
            if sample.sample_id == self.twice:
                yield output


def said_of(sample_id: str) -> int:
    """How many of three tags are said: 0 to 2."""
    return int(sample_id[-1]) % 3


def counted(folder: Path) -> Any:
    return json.loads((folder / "submission.json").read_bytes())["system"]["tags_emitted"]


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything but submission.json, whose measured rates differ from run to run."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "submission.json"
    }


def ids(dataset: Dataset, task: Task = Task.CAPTIONING) -> list[str]:
    return [sample.sample_id for sample in dataset.samples("test") if has_labels(sample, task)]


def test_a_submission_is_one_that_the_scorer_takes(scenes: Dataset, tmp_path: Path) -> None:
    folder = write_predictions(tmp_path / "p", scenes, Oracle(), name="A name")
    report = check_submission(folder, expectations(scenes.path, "test"))
    assert report.accepted
    assert report.log.kept == []
    said = json.loads((folder / "submission.json").read_bytes())
    assert (said["name"], said["split"], said["dataset_fingerprint"]) == ("A name", "test", scenes.fingerprint)
    assert said["system"]["reads_labels"] is True
    assert set(said["system"]["throughput"]) == set(Task)
    assert all(rate > 0 for rate in said["system"]["throughput"].values())


def test_lines_come_in_the_split_order_whatever_order_answers_had(scenes: Dataset, tmp_path: Path) -> None:
    folder = write_predictions(tmp_path / "p", scenes, Stumbling())
    lines = [json.loads(line) for line in (folder / "captioning.jsonl").read_text().splitlines()]
    assert [line["sample_id"] for line in lines] == ids(scenes)
    assert all(line["caption"] == line["sample_id"][::-1] for line in lines)


@pytest.mark.parametrize("after", [0, 1, 5])
def test_what_was_said_before_a_failure_is_kept(scenes: Dataset, tmp_path: Path, after: int) -> None:
    whole = files_of(write_predictions(tmp_path / "whole", scenes, Stumbling()))
    first, second = Stumbling(after), Stumbling()
    with pytest.raises(ConnectionError):
        write_predictions(tmp_path / "p", scenes, first)
    assert not (tmp_path / "p" / "captioning.jsonl").exists()
    write_predictions(tmp_path / "p", scenes, second)
    assert len(first.asked) == after
    assert sorted(first.asked + second.asked) == sorted(ids(scenes))
    assert files_of(tmp_path / "p") == whole
    said = sum(map(said_of, ids(scenes)))
    assert said
    assert counted(tmp_path / "p") == {"captioning": {"wanted": 3 * len(ids(scenes)), "emitted": said}}


def test_a_log_cut_anywhere_is_gone_on_with(scenes: Dataset, tmp_path: Path) -> None:
    whole = files_of(write_predictions(tmp_path / "whole", scenes, Stumbling()))
    with pytest.raises(ConnectionError):
        write_predictions(tmp_path / "p", scenes, Stumbling(3))
    log = log_file(tmp_path / "p", Task.CAPTIONING)
    kept = log.read_bytes()
    for length in range(len(kept) + 1):
        log.write_bytes(kept[:length])
        with TaskLog(tmp_path / "p", Task.CAPTIONING) as opened:
            assert len(opened) == kept[:length].count(b"\n")
    # Counts that were spoilt are a line that was cut off; lines without counts tell nothing of the whole.
    log.write_bytes(kept[:-2] + b"\x00\n")
    with TaskLog(tmp_path / "p", Task.CAPTIONING) as opened:
        assert (len(opened), opened.tags is None) == (2, False)
    first, others = kept.split(b"\n", 1)
    log.write_bytes(first.partition(b"\t")[0] + b"\n" + others)
    with TaskLog(tmp_path / "p", Task.CAPTIONING) as opened:
        assert (len(opened), opened.tags) == (3, None)
    log.write_bytes(kept[:-7] + b"\xff\xfe")
    write_predictions(tmp_path / "p", scenes, Stumbling())
    assert files_of(tmp_path / "p") == whole


def test_killed_processes_go_on(scenes: Dataset, tmp_path: Path) -> None:
    whole = files_of(write_predictions(tmp_path / "whole", scenes, Oracle()))
    command = [
        sys.executable,
        "cli.py",
        "predict",
        "oracle",
        "--data",
        str(scenes.path),
        "-o",
        str(tmp_path / "p"),
        "-q",
    ]
    kills = 0
    for _ in range(6):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        before = set(files_of(tmp_path / "p")) if (tmp_path / "p").exists() else set()
        # Killed as soon as it has written anything new, wherever it then is.
        while process.poll() is None and (
            not (tmp_path / "p").exists() or set(files_of_quietly(tmp_path / "p")) <= before
        ):
            time.sleep(0.002)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
        if process.returncode == 0:
            break
    assert kills
    if not (tmp_path / "p" / "submission.json").exists():
        assert subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL).returncode == 0
    assert files_of(tmp_path / "p") == whole


def files_of_quietly(folder: Path) -> list[str]:
    return [name for parent, _, names in os.walk(folder) for name in (os.path.join(parent, one) for one in names)]


def test_wrong_answers_are_refused(scenes: Dataset, tmp_path: Path) -> None:
    first = ids(scenes)[0]
    with pytest.raises(MmudError, match="MM944.*left out 1 of"):
        write_predictions(tmp_path / "a", scenes, Stumbling(leave_out=first))
    with pytest.raises(MmudError, match="MM944"):
        write_predictions(tmp_path / "b", scenes, Stumbling(twice=first))
    assert not (tmp_path / "a" / "captioning.jsonl").exists()
    with pytest.raises(MmudError, match="MM945"):
        write_predictions(tmp_path / "c", scenes, Stumbling(), tasks=[Task.GENERATION])


class NoPicture(Oracle):
    def answer(self, sample: Sample, task: Task) -> Output:
        return Output(super().answer(sample, task).prediction, b"GIF? no")


def test_an_image_that_is_none_is_refused(scenes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MmudError, match="MM944.*no PNG"):
        write_predictions(tmp_path / "p", scenes, NoPicture(), tasks=[Task.GENERATION])


def test_nothing_is_mixed_or_overwritten(scenes: Dataset, tmp_path: Path) -> None:
    inputs = DatasetInputs(scenes, "test")
    predict_into(tmp_path / "p", Empty(), inputs)
    with pytest.raises(MmudError, match="MM003"):
        predict_into(tmp_path / "p", Empty(), inputs)
    kept = predict_into(tmp_path / "p", Empty(), inputs, resume=True)
    assert kept.predicted == {}
    assert kept.tasks["captioning"] == len(ids(scenes))
    with pytest.raises(MmudError, match="MM943.*baseline 'empty', now 'centre-box'"):
        predict_into(tmp_path / "p", CentreBox(), inputs, resume=True)
    predict_into(tmp_path / "p", CentreBox(), inputs, force=True)
    assert not (tmp_path / "p" / "captioning.jsonl").exists()
    with pytest.raises(ConnectionError):
        predict_into(tmp_path / "q", Stumbling(2), inputs)
    with pytest.raises(MmudError, match="MM943.*limit None, now 3"):
        predict_into(tmp_path / "q", Stumbling(), inputs, Request(limit=3))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(MmudError, match="MM003.*other things"):
        predict_into(tmp_path / "mine", Empty(), inputs, force=True)
    assert (tmp_path / "mine" / "thesis.tex").exists()


@pytest.mark.parametrize("of", [2, 3, 40])
def test_parts_join_into_the_same_files(scenes: Dataset, tmp_path: Path, of: int) -> None:
    inputs = DatasetInputs(scenes, "test")
    whole = files_of(write_predictions(tmp_path / "whole", scenes, Oracle()))
    parts = []
    for index in range(1, of + 1):
        if index > scenes.length("test"):
            with pytest.raises(MmudError, match="MM945"):
                predict_into(tmp_path / str(index), Oracle(), inputs, Request(shard=Shard(index, of)))
            return
        predict_into(tmp_path / str(index), Oracle(), inputs, Request(shard=Shard(index, of)))
        parts.append(tmp_path / str(index))
    counts = [len((part / "captioning.jsonl").read_text().splitlines()) for part in parts]
    assert sum(counts) == len(ids(scenes))
    assert max(counts) - min(counts) <= 1
    merge_parts(parts[::-1], inputs, tmp_path / "joined")
    assert files_of(tmp_path / "joined") == whole
    assert evaluate(tmp_path / "joined", scenes).value("captioning", "cider_d") == pytest.approx(10.0)
    for wrong in (parts[:-1], [*parts, parts[0]]):
        with pytest.raises(MmudError, match="MM948"):
            merge_parts(wrong, inputs, tmp_path / "wrong")
    others = [tmp_path / f"stumbling {index}" for index in range(1, of + 1)]
    for index, part in enumerate(others, start=1):
        predict_into(part, Stumbling(), inputs, Request(shard=Shard(index, of)))
    merge_parts(others, inputs, tmp_path / "stumbling")
    assert counted(tmp_path / "stumbling")["captioning"] == {
        "wanted": 3 * len(ids(scenes)),
        "emitted": sum(map(said_of, ids(scenes))),
    }
    (parts[0] / "captioning.jsonl").unlink()
    with pytest.raises(MmudError, match="MM948.*captioning"):
        merge_parts(parts, inputs, tmp_path / "wrong")
    assert not any((tmp_path / "wrong").rglob("*.jsonl"))


def test_a_part_scores_as_that_part(scenes: Dataset, tmp_path: Path) -> None:
    """`mmud evaluate --shard` and `mmud predict --shard` count alike."""
    predict_into(tmp_path / "p", Oracle(), DatasetInputs(scenes, "test"), Request(shard=Shard(2, 3)))
    found = evaluate(tmp_path / "p", scenes, shard=Shard(2, 3))
    assert found.value("referring_segmentation", "gIoU") == 1.0


def test_a_limit_is_marked(scenes: Dataset, tmp_path: Path) -> None:
    predict_into(tmp_path / "p", Empty(), DatasetInputs(scenes, "test"), Request(limit=4))
    assert len((tmp_path / "p" / "captioning.jsonl").read_text().splitlines()) == 4
    assert json.loads((tmp_path / "p" / "submission.json").read_bytes())["partial"] is True


class Spy(Baseline):
    """Keeps what it is shown."""

    name: ClassVar[str] = "spy"

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[Task, list[Sample]] = {task: [] for task in Task}

    def answer(self, sample: Sample, task: Task) -> Output:
        self.seen[task].append(sample)
        masks = Empty().answer(sample, task).prediction.masks if task is not Task.GENERATION else ()
        feature = (0.0,) if task is Task.GENERATION else None
        return Output(Prediction(sample_id=sample.sample_id, task=task, masks=masks, feature=feature))


def test_a_baseline_sees_no_label(scenes: Dataset, tmp_path: Path) -> None:
    spy = Spy()
    write_predictions(tmp_path / "p", scenes, spy)
    truth = {sample.sample_id: sample for sample in scenes.samples("test", images=True)}
    for task in Task:
        assert [sample.sample_id for sample in spy.seen[task]] == ids(scenes, task)
        for sample in spy.seen[task]:
            label = truth[sample.sample_id]
            assert sample.answer == ""
            assert sample.provenance == {}
            assert (sample.source_image_id, sample.image.path) == ("", None)
            assert all(item.segmentation is None and item.area == 0 and not item.category for item in sample.objects)
            assert sample.caption == (label.caption if task is Task.GENERATION else "")
            assert sample.question == (label.question if task is Task.REASONING_SEGMENTATION else "")
            assert (sample.image.bytes is None) == (task is Task.GENERATION)
            phrases = tuple(item.phrases for item in label.objects) if task is Task.REFERRING_SEGMENTATION else ()
            assert tuple(item.phrases for item in sample.objects) == phrases


def test_the_published_half_is_enough(scenes: Dataset, tmp_path: Path) -> None:
    """Predictions made from the questions alone are those made beside the labels, and are scored with them."""
    questions = tmp_path / "questions"
    assert run(["export", str(scenes.path), "--to", "questions", "--split", "test", "-o", str(questions), "-q"]) == 0
    beside = write_predictions(tmp_path / "beside", scenes, CentreBox())
    for number, folder in enumerate((questions, questions / "dataset")):
        predict_into(tmp_path / str(number), CentreBox(), open_inputs(folder, "test"))
        assert files_of(tmp_path / str(number)) == files_of(beside)
    assert evaluate(tmp_path / "0", scenes).value("referring_segmentation", "gIoU") is not None
    spy = Spy()
    predict_into(tmp_path / "spy", spy, open_inputs(questions, "test"))
    shown = {sample.sample_id: sample.image.bytes for sample in scenes.samples("test", images=True)}
    assert {sample.sample_id: sample.image.bytes for sample in spy.seen[Task.CAPTIONING]} == shown
    with pytest.raises(MmudError, match="MM946"):
        predict_into(tmp_path / "o", Oracle(), open_inputs(questions, "test"))
    with pytest.raises(MmudError, match="MM001"):
        open_inputs(questions, "other")


@pytest.mark.parametrize("image", ["/etc/hostname", "../secret.png", "images/none.png", 7])
def test_strange_questions_are_refused(scenes: Dataset, tmp_path: Path, image: Any) -> None:
    questions = tmp_path / "questions"
    assert run(["export", str(scenes.path), "--to", "questions", "--split", "test", "-o", str(questions), "-q"]) == 0
    file = questions / "test" / task_file(Task.CAPTIONING)
    lines = file.read_text().splitlines()
    file.write_text("\n".join([json.dumps({**json.loads(lines[0]), "image": image}), *lines[1:]]) + "\n")
    with pytest.raises(MmudError, match="MM825"):
        predict_into(tmp_path / "p", Stumbling(), open_inputs(questions, "test"))


def test_objects_without_phrases_are_asked_for_by_category(real: dict[str, Dataset], tmp_path: Path) -> None:
    spy = Spy()
    write_predictions(tmp_path / "p", real["coco_mini"], spy, tasks=[Task.REFERRING_SEGMENTATION])
    first = spy.seen[Task.REFERRING_SEGMENTATION][0]
    label = real["coco_mini"].find(first.sample_id)
    assert [item.phrases for item in first.objects] == [(item.category,) for item in label.objects]


def test_inputs_of_a_linked_image_keep_its_path() -> None:
    linked = Sample(sample_id="a", image={"path": "somewhere.jpg"}, width=1, height=1, source="s")
    assert inputs_alone(linked, Task.CAPTIONING).image.path == "somewhere.jpg"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_an_error_and_no_loss(scenes: Dataset, tmp_path: Path) -> None:
    with TaskLog(tmp_path, Task.CAPTIONING) as log:
        log.append({"sample_id": "a", "caption": "x"})
        log._stream.close()
        log._stream = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed with the log
        with pytest.raises(MmudError, match="MM008"):
            log.append({"sample_id": "b", "caption": "y"})
        assert "b" not in log
    with TaskLog(tmp_path, Task.CAPTIONING) as log:
        assert ("a" in log, len(log)) == (True, 1)


def test_masks_of_a_centre_box_have_the_image_size(scenes: Dataset) -> None:
    sample = scenes.first("test")
    mask = CentreBox().answer(sample, Task.REFERRING_SEGMENTATION).prediction.masks[0].segmentation
    assert mask is not None
    assert Mask.of(mask).size == (sample.height, sample.width)
