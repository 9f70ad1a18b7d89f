"""The leakage audit: every planted leak is found, nothing else is, and evaluation is never touched.

Ground truth is what was planted, and for the RefCOCO family the 10,113 ids that PolyFormer's authors published and the sizes of
RefCOCO's evaluation splits in its paper.
"""

from __future__ import annotations

import io
import json
import pickle
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from altered_images import ALTERATIONS, encoded
from PIL import Image
from real_samples import coco_mini, mini_refcoco

from mmud.cli import run
from mmud.dataset.leakage import codes
from mmud.dataset.leakage.audit import Audit, AuditRequest, audit
from mmud.dataset.leakage.clean import write_clean
from mmud.dataset.leakage.corpus import rank_of
from mmud.dataset.leakage.evaluation_lists import read_evaluation_list
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.errors import Code, MmudError, Severity
from mmud.records import ImageReference, Sample

EVERYTHING = AuditRequest(pixels=True, perceptual=True, text=True)


def picture(seed: int, kind: str = "PNG") -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise).resize((96, 64), Image.Resampling.BICUBIC), kind)


def sample(
    sample_id: str,
    number: int,
    *,
    image: bytes | None = None,
    source: str = "refcoco",
    image_id: str | None = None,
    **texts: str,
) -> Sample:
    return Sample(
        sample_id=sample_id,
        image=ImageReference(bytes=image if image is not None else picture(number), path=f"{number}.png"),
        width=96,
        height=64,
        source=source,
        source_image_id=str(number) if image_id is None else image_id,
        **texts,  # type: ignore[arg-type]
    )


def found_by(result: Audit, code: Code) -> dict[str, str]:
    """Leaked sample -> its counterpart."""
    matches = result.matches.get(code, [])
    names = result.corpus.names({position for match in matches for position in (match.leaked, match.counterpart)})
    return {names[match.leaked]: names[match.counterpart] for match in matches}


# -- images -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def planted(tmp_path: Path) -> Dataset:
    """Splits of different images, but for what each name says."""
    original = Image.open(io.BytesIO(picture(901)))
    splits = {
        "train": [
            *(sample(f"a{n}", n) for n in range(30)),
            sample("same-id", 900, image=picture(40), source="coco", image_id="COCO_train2014_000000000900.jpg"),
            sample("same-file", 41, image=picture(901)),
            sample("same-pixels", 42, image=encoded(original, "BMP")),
            sample("near", 43, image=encoded(original.resize((120, 80), Image.Resampling.BICUBIC), "JPEG", 70)),
            sample("twin-1", 44),
            sample("twin-2", 44, source="refcoco+"),
        ],
        "valid": [*(sample(f"b{n}", n) for n in range(100, 110)), sample("also-tested", 902)],
        "test": [
            *(sample(f"c{n}", n) for n in range(200, 210)),
            sample("c900", 900),
            sample("c901", 901),
            sample("c902", 902, image=picture(77)),
        ],
        "test2": [sample("d", 777, image=picture(200))],
    }
    return write_dataset(tmp_path / "planted", splits)  # type: ignore[arg-type]


def test_each_planted_leak_is_found_by_its_ways_and_nothing_else_is(planted: Dataset) -> None:
    result = audit([planted], EVERYTHING)
    assert found_by(result, codes.SOURCE_IMAGE_LEAKS) == {"same-id": "c900", "also-tested": "c902"}
    assert found_by(result, codes.IMAGE_FILE_LEAKS) == {"same-file": "c901", "c200": "d"}
    assert found_by(result, codes.IMAGE_PIXELS_LEAK) == {"same-file": "c901", "same-pixels": "c901", "c200": "d"}
    assert found_by(result, codes.IMAGE_NEARLY_LEAKS) == {
        "same-file": "c901",
        "same-pixels": "c901",
        "near": "c901",
        "c200": "d",
    }
    findings = {(finding.place.sample, finding.code.id) for finding in result.findings()}
    assert findings == {
        ("same-id", "MM650"),
        ("also-tested", "MM650"),
        ("same-file", "MM652"),
        ("same-pixels", "MM653"),
        ("near", "MM654"),
        ("c200", "MM655"),
    }


def test_decoding_is_asked_for(planted: Dataset) -> None:
    result = audit([planted])
    assert set(result.matches) == {codes.SOURCE_IMAGE_LEAKS, codes.IMAGE_FILE_LEAKS}
    assert set(audit([planted], AuditRequest(pixels=True)).matches) == {
        codes.SOURCE_IMAGE_LEAKS,
        codes.IMAGE_FILE_LEAKS,
        codes.IMAGE_PIXELS_LEAK,
    }


def test_workers_change_nothing(planted: Dataset) -> None:
    assert (
        audit([planted], AuditRequest(perceptual=True, workers=2)).matches
        == audit([planted], AuditRequest(perceptual=True)).matches
    )


def test_the_side_that_leaks() -> None:
    assert [
        rank_of(name) for name in ("train", "training", "Train2017", "valid", "val", "dev", "testA", "test", "held")
    ] == [
        *[0] * 3,
        *[1] * 3,
        *[2] * 3,
    ]


def test_across_datasets_only_training_meets_evaluation(tmp_path: Path) -> None:
    mine = write_dataset(tmp_path / "mine", {"train": [sample("m1", 1), sample("m2", 2)], "test": [sample("m3", 3)]})
    splits = {"train": [sample("o1", 1), sample("o3", 3)], "val": [sample("o2", 2)], "test": [sample("o4", 3)]}
    other = write_dataset(tmp_path / "other", splits)  # type: ignore[arg-type]
    result = audit([mine, other])
    # Both train on image 1 and both test on image 3, which is nobody's leak. Within other, o3 leaks as well.
    assert found_by(result, codes.SOURCE_IMAGE_LEAKS) == {"m2": "o2", "o3": "m3"}
    findings = {finding.place.sample: finding for finding in result.findings()}
    assert "other/val sample o2" in findings["m2"].message
    assert findings["o3"].place.file == str(other.path)
    assert list(result.removable(Severity.ERROR)) == [1]


def test_images_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    splits = {
        "train": [
            sample("ok", 1),
            sample("broken", 2, image=b"no image"),
            sample("gone", 3).model_copy(update={"image": ImageReference()}),
        ],
        "test": [sample("cut", 4, image=picture(5)[:-40])],
    }
    dataset = write_dataset(tmp_path / "d", splits)  # type: ignore[arg-type]
    result = audit([dataset], AuditRequest(perceptual=True))
    assert {(finding.place.sample, finding.code.id) for finding in result.problems} == {
        ("broken", "MM502"),
        ("gone", "MM501"),
        ("cut", "MM502"),
    }
    assert not any(result.matches.values())


def test_plain_images_are_not_all_alike(tmp_path: Path) -> None:
    flat = [encoded(Image.new("RGB", (60, 40), (value, value, value)), "PNG") for value in (0, 40, 80, 200)]
    splits = {
        "train": [sample(f"t{n}", n, image=data) for n, data in enumerate(flat[:2])],
        "test": [sample(f"e{n}", 10 + n, image=data) for n, data in enumerate(flat[2:])],
    }
    assert not any(audit([write_dataset(tmp_path / "d", splits)], EVERYTHING).matches.values())  # type: ignore[arg-type]


def test_precision_and_recall_on_real_images(
    shared_data: Path, tmp_path: Path, record_property: pytest.FixtureRequest
) -> None:
    """40 photographs, each altered in 14 ways, among 159 originals: 560 copies to find, 88,480 pairs to leave alone."""
    draw = random.Random(7)
    originals = [*coco_mini(shared_data, "train2017"), *coco_mini(shared_data, "val2017")]
    chosen = draw.sample(originals, 40)

    def copies() -> Iterator[Sample]:
        for original in chosen:
            image = Image.open(io.BytesIO(original.image_bytes())).convert("RGB")
            for kind, alter in ALTERATIONS.items():
                name = f"{original.sample_id}|{kind}"
                changed = {"sample_id": name, "source_image_id": "", "image": ImageReference(bytes=alter(image, draw))}
                yield original.model_copy(update=changed)

    dataset = write_dataset(tmp_path / "d", {"train": copies(), "test": iter(originals)})
    found = found_by(audit([dataset], AuditRequest(perceptual=True)), codes.IMAGE_NEARLY_LEAKS)
    right = {name for name, other in found.items() if name.rpartition("|")[0] == other}
    recall = len(right) / (len(chosen) * len(ALTERATIONS))
    precision = len(right) / len(found)
    by_kind = Counter(name.rpartition("|")[2] for name in right)
    record_property("precision", precision)  # type: ignore[operator]
    record_property("recall", recall)  # type: ignore[operator]
    assert precision == 1.0
    assert recall >= 0.99, {kind: by_kind[kind] for kind in ALTERATIONS}


def test_photographs_that_two_public_sets_share(shared_data: Path, tmp_path: Path) -> None:
    """Four COCO images are in mini_refcoco and in coco_mini: by id, by file, by pixels and by look."""
    splits = {
        "train": coco_mini(shared_data, "train2017"),
        "valid": coco_mini(shared_data, "val2017"),
        "test": mini_refcoco(shared_data),
    }
    dataset = write_dataset(tmp_path / "d", splits)
    numbers = {split: {entry.source_image_id for entry in dataset.samples(split)} for split in dataset.splits}
    shared = {f"coco-{number}" for number in (numbers["train"] | numbers["valid"]) & numbers["test"]}
    assert len(shared) == 4
    result = audit([dataset], AuditRequest(perceptual=True))
    for code in (codes.SOURCE_IMAGE_LEAKS, codes.IMAGE_PIXELS_LEAK, codes.IMAGE_NEARLY_LEAKS):
        assert set(found_by(result, code)) == shared


# -- evaluation lists ---------------------------------------------------------------------------------------------------


def test_the_refcoco_family_is_read_from_every_form(shared_data: Path, tmp_path: Path) -> None:
    truth = {
        f"coco:{number}"
        for number in json.loads((shared_data / "refs/polyformer_val_test_image_ids.json").read_bytes())
    }
    assert len(truth) == 10_113
    assert read_evaluation_list(str(shared_data / "refs/polyformer_val_test_image_ids.json")).keys == truth
    merged = read_evaluation_list(f"refcoco-family={shared_data / 'refs/merged_refs_all_sources.json'}")
    assert merged.keys < truth
    # RefCOCO's evaluation splits are whole there; their numbers of images are those of its paper.
    sizes = {label: len(numbers) for label, numbers in merged.labels.items()}
    assert sizes["refcoco/unc/val"] == 1_500
    assert sizes["refcoco/unc/testA"] == sizes["refcoco/unc/testB"] == 750
    assert len(merged.keys) == 4_521
    subset = read_evaluation_list(str(shared_data / "refs/refcoco_all_subset_seed2026.json"))
    assert subset.keys < truth
    assert len(subset.labels) == 8
    folder = read_evaluation_list(str(shared_data / "mini_refcoco"))
    assert folder.keys < truth
    assert "refcocog/umd/test" in folder.labels
    pickled = read_evaluation_list(str(shared_data / "mini_refcoco/refcoco/refs(unc).p"))
    assert pickled.labels == read_evaluation_list(str(shared_data / "mini_refcoco/refcoco/refs(unc).json")).labels
    test_images = read_evaluation_list(f"refclef={shared_data / 'refclef/referit_test_imlist.txt'}")
    listed = (shared_data / "refclef/referit_test_imlist.txt").read_text().split()
    assert test_images.keys == {f"saiapr:{int(number)}" for number in listed}


def test_training_images_of_the_refcoco_evaluations(shared_data: Path, tmp_path: Path) -> None:
    """Seven of coco_mini's training images and all of mini_refcoco's are among the 10,113: counted from the JSON files."""
    file = shared_data / "refs/polyformer_val_test_image_ids.json"
    truth = set(json.loads(file.read_bytes()))
    splits = {
        "train": [*coco_mini(shared_data, "train2017"), *mini_refcoco(shared_data, "refcoco")],
        "valid": coco_mini(shared_data, "val2017"),
    }
    dataset = write_dataset(tmp_path / "d", splits)  # type: ignore[arg-type]
    result = audit([dataset], AuditRequest(against=[read_evaluation_list(str(file))]))
    expected = {entry.sample_id for entry in dataset.samples("train") if int(entry.source_image_id) in truth}
    assert len(expected) == 7 + 15
    assert set(result.corpus.names(result.listed).values()) == expected
    clean = write_clean(result, result.removable(Severity.ERROR), tmp_path / "clean")
    assert not audit([clean], AuditRequest(against=[read_evaluation_list(str(file))])).listed
    assert len(clean) == len(dataset) - 22


def test_training_refs_are_left_out_of_a_list(tmp_path: Path) -> None:
    refs = [{"image_id": 1, "split": "train"}, {"image_id": 2, "split": "testA"}, {"image_id": 3, "split": "val"}]
    (tmp_path / "refcoco").mkdir()
    file = tmp_path / "refcoco" / "refs(unc).p"
    file.write_bytes(pickle.dumps(refs, 2))
    found = read_evaluation_list(str(file))
    assert found.labels == {"refcoco/unc/testA": {"2"}, "refcoco/unc/val": {"3"}}
    assert found.training == 1


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("touched"),))


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.json", b"{", "MM665"),
        ("a.json", b"{}", "MM665"),
        ("a.json", b"[]", "MM665"),
        ("a.json", b'[{"split": "val"}]', "MM665"),
        ("a.json", b"[null]", "MM665"),
        ("a.json", b"[true]", "MM665"),
        ("a.json", b'[{"image_id": 1, "split": "train"}]', "MM665"),
        ("a.json", b"[" * 100_000, "MM665"),
        ("a.txt", b"caf\xe9", "MM665"),
        ("a.p", pickle.dumps(_Evil()), "MM701"),
        ("a.p", b"\x80", "MM702"),
        ("a.p", pickle.dumps("text"), "MM665"),
    ],
)
def test_unreadable_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MmudError, match=code):
        read_evaluation_list(name)
    assert not (tmp_path / "touched").exists()


def test_absent_lists(tmp_path: Path) -> None:
    with pytest.raises(MmudError, match="MM002"):
        read_evaluation_list(str(tmp_path / "absent.json"))
    with pytest.raises(MmudError, match="MM665"):
        read_evaluation_list(str(tmp_path))


# -- cleaning and the command -------------------------------------------------------------------------------------------


def test_cleaning_takes_from_training_alone(planted: Dataset, tmp_path: Path) -> None:
    result = audit([planted], EVERYTHING)
    leaked = result.removable(Severity.WARNING)
    clean = write_clean(result, leaked, tmp_path / "clean")
    gone = {"same-id", "same-file", "same-pixels", "near"}
    for split in planted.splits:
        before = list(planted.samples(split, images=True))
        kept = [entry for entry in before if split != "train" or entry.sample_id not in gone]
        assert list(clean.samples(split, images=True)) == kept
    log = [json.loads(line) for line in (clean.path / "removed.jsonl").read_text().splitlines()]
    assert {line["sample_id"]: line["codes"] for line in log} == {
        "same-id": ["MM650"],
        "same-file": ["MM652"],
        "same-pixels": ["MM653"],
        "near": ["MM654"],
    }
    assert log[0]["leaks_from"] == [{"code": "MM650", "split": "test", "sample_id": "c900"}]
    again = audit([clean], EVERYTHING)
    assert {finding.place.sample for finding in again.findings()} == {"also-tested", "c200"}
    assert list(result.removable(Severity.ERROR)) != list(leaked)


def test_the_command(planted: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(planted.path)
    assert run(["leakage", folder, "--all", "--json", "-q"]) == 3
    value = json.loads(capsys.readouterr().out)
    assert value["found_by"]["MM654"] == 4
    assert {(row["code"], row["from"], row["to"]): row["samples"] for row in value["reported"]} == {
        ("MM650", "train", "test"): 1,
        ("MM650", "valid", "test"): 1,
        ("MM652", "train", "test"): 1,
        ("MM653", "train", "test"): 1,
        ("MM654", "train", "test"): 1,
        ("MM655", "test", "test2"): 1,
    }
    assert len(value["findings"]) == 6
    (tmp_path / "ids.json").write_text("[5, 900, 123456]")
    assert run(["leakage", folder, "-q", "--json", "--against", str(tmp_path / "ids.json")]) == 3
    value = json.loads(capsys.readouterr().out)
    assert value["listed_images"] == 3
    assert {"code": "MM651", "from": "train", "to": "ids", "samples": 2} in value["reported"]
    assert run(["leakage", folder, "-q", "--fail-on", "never"]) == 0
    assert "MM650" in capsys.readouterr().out

    output = str(tmp_path / "clean")
    # What remains is one image that valid and test share: cleaning never takes from evaluation.
    assert run(["leakage", folder, "--all", "--clean", "-o", output, "-q", "--dry-run"]) == 3
    assert not Path(output).exists()
    assert run(["leakage", folder, "--all", "--clean", "-o", output, "-q"]) == 3
    assert Dataset(Path(output)).length("train") == planted.length("train") - 4
    capsys.readouterr()
    assert run(["leakage", folder, "--clean"]) == 2
    assert run(["leakage", folder, folder]) == 2
    assert run(["leakage", folder, "--clean", "-o", output]) == 2
    assert run(["leakage", folder, "--against", str(tmp_path / "absent.json")]) == 2


def test_nothing_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_dataset(tmp_path / "d", {"train": [sample("a", 1)], "test": [sample("b", 2)]})
    assert run(["leakage", str(dataset.path), "--all", "-q"]) == 0
    assert "Nothing is shared" in capsys.readouterr().out
    empty = write_dataset(tmp_path / "e", {"train": [], "test": []})
    assert run(["leakage", str(empty.path), "--all", "-q"]) == 0
