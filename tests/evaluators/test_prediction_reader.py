"""Reading predictions from strangers: every problem has a code, a file and a line, and nothing bad comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmud.annotations.masks import Mask
from mmud.errors import Finding, MmudError
from mmud.evaluators.checking import Expected, FindingLog, RefusedPredictions
from mmud.evaluators.predictions import PredictionFolder, parse_row
from mmud.records import PredictedMask, Prediction, Task

SIZE = (6, 8)
MASK = Mask.from_array(np.arange(48).reshape(SIZE) % 5 == 0)
RLE = MASK.to_json()
EXPECTED = {"a": Expected(*SIZE, 2), "b": Expected(*SIZE, 1)}


def read(
    folder: Path, task: Task, lines: list[Any], expected: Any = EXPECTED
) -> tuple[list[Prediction], list[Finding]]:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    (folder / f"{task}.jsonl").write_bytes(b"\n".join(texts) + b"\n")
    log = FindingLog()
    return list(PredictionFolder(folder).read(task, log, expected)), log.kept


def codes_of(findings: list[Finding]) -> list[str]:
    return [finding.code.id for finding in findings]


def test_a_good_file_of_each_task_makes_the_round_trip(tmp_path: Path) -> None:
    lines: dict[Task, list[dict[str, Any]]] = {
        Task.REFERRING_SEGMENTATION: [{"sample_id": "a", "masks": [RLE, None]}, {"sample_id": "b", "masks": [RLE]}],
        Task.REASONING_SEGMENTATION: [
            {"sample_id": "a", "answer": "the dog <LCL-1>", "masks": [{"tag": 1, "segmentation": RLE}]},
            {"sample_id": "b", "answer": "none", "masks": []},
        ],
        Task.CAPTIONING: [{"sample_id": "a", "caption": "x"}, {"sample_id": "b", "caption": ""}],
        Task.GENERATION: [
            {"sample_id": "a", "image": "images/1.png"},
            {"sample_id": "b", "image": None, "feature": [1.0, 2.5]},
        ],
    }
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(b"x")
    for task, rows in lines.items():
        found, findings = read(tmp_path, task, rows)
        assert [prediction.to_row() for prediction in found] == rows
        assert findings == []
    assert PredictionFolder(tmp_path).tasks == list(Task)


def test_null_and_the_flag_both_say_no_target() -> None:
    row = {"sample_id": "a", "masks": [None, {**RLE, "no_target": True}, RLE]}
    masks = parse_row(row, Task.REFERRING_SEGMENTATION).masks
    assert [mask.no_target for mask in masks] == [True, True, False]
    assert masks[1].segmentation is not None
    assert PredictedMask().no_target


def test_uncompressed_counts_and_runs_of_zero_take_the_one_form(tmp_path: Path) -> None:
    runs = MASK.runs
    with_zeros = [runs[0], runs[1] - 1, 0, 1, *runs[2:]]
    lines = [
        {"sample_id": "a", "masks": [{"size": list(SIZE), "counts": runs}, None]},
        {"sample_id": "b", "masks": [{"size": list(SIZE), "counts": with_zeros}]},
    ]
    found, findings = read(tmp_path, Task.REFERRING_SEGMENTATION, lines)
    assert findings == []
    for prediction in found:
        assert prediction.masks[0].segmentation == MASK.to_record()


BAD_LINES: dict[str, tuple[Task, list[Any], str]] = {
    "no JSON": (Task.CAPTIONING, [b'{"sample_id": "a", "caption": '], "MM804"),
    "no object": (Task.CAPTIONING, [b"[1, 2]"], "MM804"),
    "not UTF-8": (Task.CAPTIONING, [b'{"sample_id": "a", "caption": "\xff"}'], "MM804"),
    "nested too deep": (Task.CAPTIONING, [b'{"a": ' + b"[" * 200_000], "MM804"),
    "number of many digits": (Task.CAPTIONING, [b'{"a": ' + b"1" * 5000 + b"}"], "MM804"),
    "NaN": (Task.GENERATION, [b'{"sample_id": "a", "feature": [NaN]}'], "MM808"),
    "infinity": (Task.GENERATION, [b'{"sample_id": "a", "feature": [1e999]}'], "MM808"),
    "no id": (Task.CAPTIONING, [{"caption": "x"}], "MM805"),
    "id is a number": (Task.CAPTIONING, [{"sample_id": 3, "caption": "x"}], "MM805"),
    "no caption": (Task.CAPTIONING, [{"sample_id": "a"}], "MM805"),
    "caption is null": (Task.CAPTIONING, [{"sample_id": "a", "caption": None}], "MM805"),
    "masks is a mask": (Task.REFERRING_SEGMENTATION, [{"sample_id": "a", "masks": RLE}], "MM805"),
    "mask without counts": (Task.REFERRING_SEGMENTATION, [{"sample_id": "a", "masks": [{"size": [6, 8]}]}], "MM805"),
    "no tag": (
        Task.REASONING_SEGMENTATION,
        [{"sample_id": "a", "answer": "", "masks": [{"segmentation": RLE}]}],
        "MM805",
    ),
    "tag zero": (
        Task.REASONING_SEGMENTATION,
        [{"sample_id": "a", "answer": "", "masks": [{"tag": 0, "segmentation": RLE}]}],
        "MM805",
    ),
    "neither image nor feature": (Task.GENERATION, [{"sample_id": "a"}], "MM805"),
    "unknown sample": (Task.CAPTIONING, [{"sample_id": "z", "caption": "x"}], "MM802"),
    "repeated sample": (Task.CAPTIONING, [{"sample_id": "a", "caption": "x"}] * 2, "MM803"),
    "mask of another size": (
        Task.REFERRING_SEGMENTATION,
        [{"sample_id": "b", "masks": [Mask.from_array(np.ones((8, 6))).to_json()]}],
        "MM806",
    ),
    "mask of absurd size": (
        Task.REFERRING_SEGMENTATION,
        [{"sample_id": "b", "masks": [{"size": [10**9, 10**9], "counts": "0"}]}],
        "MM806",
    ),
    "invalid RLE": (
        Task.REFERRING_SEGMENTATION,
        [{"sample_id": "b", "masks": [{"size": [6, 8], "counts": "zz!"}]}],
        "MM807",
    ),
    "RLE beyond ASCII": (
        Task.REFERRING_SEGMENTATION,
        [{"sample_id": "b", "masks": [{"size": [6, 8], "counts": "é"}]}],
        "MM807",
    ),
    "RLE with a lone surrogate": (
        Task.REFERRING_SEGMENTATION,
        [b'{"sample_id": "b", "masks": [{"size": [6, 8], "counts": "\\ud800"}]}'],
        "MM807",
    ),
    "uncompressed RLE too short": (
        Task.REFERRING_SEGMENTATION,
        [{"sample_id": "b", "masks": [{"size": [6, 8], "counts": [3, 4]}]}],
        "MM807",
    ),
    "fewer masks than objects": (Task.REFERRING_SEGMENTATION, [{"sample_id": "a", "masks": [RLE]}], "MM809"),
    "more masks than objects": (Task.REFERRING_SEGMENTATION, [{"sample_id": "b", "masks": [RLE, RLE]}], "MM809"),
    "two masks for a tag": (
        Task.REASONING_SEGMENTATION,
        [{"sample_id": "a", "answer": "<LCL-1>", "masks": [{"tag": 1, "segmentation": RLE}] * 2}],
        "MM810",
    ),
    "tag that is not mentioned": (
        Task.REASONING_SEGMENTATION,
        [{"sample_id": "a", "answer": "<LCL-1>", "masks": [{"tag": 2, "segmentation": RLE}]}],
        "MM811",
    ),
    "image with a way out": (Task.GENERATION, [{"sample_id": "a", "image": "../x.png"}], "MM814"),
    "image with a whole path": (Task.GENERATION, [{"sample_id": "a", "image": "/etc/passwd"}], "MM814"),
    "image that is not there": (Task.GENERATION, [{"sample_id": "a", "image": "images/none.png"}], "MM814"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    task, lines, code = BAD_LINES[name]
    first = {"sample_id": "other", "caption": "", "masks": [], "answer": "", "feature": [0.0]}
    expected = {**EXPECTED, "other": Expected(*SIZE, 0)}
    found, findings = read(tmp_path, task, [first, *lines], expected)
    named = [finding for finding in findings if finding.code.id == code]
    assert named, codes_of(findings)
    assert named[0].place.file == f"{task}.jsonl"
    assert named[0].place.line == (3 if "repeated" in name else 2)
    if named[0].severity.label == "error" and "repeated" not in name:
        assert [prediction.sample_id for prediction in found] == ["other"]


def test_missing_samples_are_listed(tmp_path: Path) -> None:
    _, findings = read(tmp_path, Task.CAPTIONING, [{"sample_id": "b", "caption": "x"}])
    assert [(finding.code.id, finding.place.sample) for finding in findings] == [("MM801", "a")]


def test_an_image_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    folder = tmp_path / "predictions"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "1.png").symlink_to(tmp_path / "secret")
    _, findings = read(folder, Task.GENERATION, [{"sample_id": "a", "image": "images/1.png"}], None)
    assert codes_of(findings) == ["MM814"]


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_bytes_of_any_kind_never_end_in_anything_but_findings(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for task in Task:
        (folder / f"{task}.jsonl").write_bytes(data)
        log = FindingLog()
        for prediction in PredictionFolder(folder).read(task, log, EXPECTED):
            assert prediction.sample_id in EXPECTED


COUNTS = st.one_of(st.text(max_size=8), st.lists(st.integers(-3, 60), max_size=5), st.none(), st.floats())


@given(st.lists(st.tuples(COUNTS, st.lists(st.integers(-2, 12), max_size=3)), max_size=3))
@settings(max_examples=200, deadline=None)
def test_masks_of_any_kind_come_out_valid_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, masks: list[tuple[Any, list[int]]]
) -> None:
    row = {"sample_id": "a", "masks": [{"size": size, "counts": counts} for counts, size in masks]}
    try:
        text = json.dumps(row).encode()
    except ValueError:
        return
    found, _ = read(tmp_path_factory.mktemp("masks"), Task.REFERRING_SEGMENTATION, [text])
    for prediction in found:
        for mask in prediction.masks:
            assert mask.segmentation is not None
            assert Mask.of(mask.segmentation, *SIZE).to_record() == mask.segmentation


@pytest.mark.parametrize(
    ("content", "ok"),
    [
        (b"{}", True),
        (b'{"name": "x", "authors": ["a"], "system": {"parameters": 3, "gpu": "H100"}, "link": "y"}', True),
        (b"[]", False),
        (b"{", False),
        (b'{"system": {"parameters": -1}}', False),
        (b'{"system": {"parameters": NaN}}', False),
        (b'{"name": 3}', False),
        (b'{"name": "' + b"x" * (2 << 20) + b'"}', False),
    ],
)
def test_submission_json(tmp_path: Path, content: bytes, ok: bool) -> None:
    (tmp_path / "captioning.jsonl").write_bytes(b"")
    (tmp_path / "submission.json").write_bytes(content)
    folder = PredictionFolder(tmp_path)
    if ok:
        assert folder.submission is not None
    else:
        with pytest.raises(MmudError, match="MM813"):
            _ = folder.submission


@pytest.mark.parametrize(
    ("make", "code"), [(lambda path: None, "MM800"), (lambda path: path.rmdir(), "MM002")], ids=["empty", "absent"]
)
def test_no_predictions(tmp_path: Path, make: Callable[[Path], None], code: str) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    make(folder)
    with pytest.raises(MmudError, match=code):
        PredictionFolder(folder)


def test_a_refusal_survives_a_process_boundary() -> None:
    import pickle

    from mmud.errors import Place
    from mmud.evaluators import codes

    error = RefusedPredictions([Finding(codes.MISSING_IDS, Place(sample="a"), "no prediction")], {"MM801": 3})
    again = pickle.loads(pickle.dumps(error))
    assert (again.findings, again.counts, again.exit_code) == (error.findings, error.counts, 5)
