"""A task of Label Studio's full JSON, laid over the sample that it was exported from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmud.annotations import tags
from mmud.annotations.provenance import with_edit
from mmud.annotations.review.labels import label_hash, text_as_stored, text_problems
from mmud.dataset.sources import codes
from mmud.dataset.sources.label_studio_regions import REGION_KINDS, Region, new_object, read_region, revised_object
from mmud.dataset.sources.plain_json import encodable, shown
from mmud.errors import Code, Finding, MmudError, Place
from mmud.records import MaskedObject, Sample

TEXTS = ("caption", "question", "answer")
PHRASES = "phrases"
DATA_KEYS = frozenset({"image", "sample_id", "split", "mmud", *TEXTS})
PROVENANCE_KEY = "label_studio"
_REGION_ID = re.compile(r"o([1-9]\d{0,5})(?:\.([1-9]\d{0,5}))?")


@dataclass
class Laid:
    """A sample with a task laid over it.

    Attributes:
        sample: the sample; the very same where nothing was edited.
        findings: what was odd.
    """

    sample: Sample
    findings: list[Finding] = field(default_factory=list)

    def note(self, code: Code, message: str) -> None:
        self.findings.append(Finding(code, Place(sample=self.sample.sample_id), message))


def task_data(task: Any) -> Mapping[str, Any]:
    """The ``data`` of a task that the export made.

    Raises:
        MmudError: MM790 when it is no such task.
    """
    data = task.get("data") if isinstance(task, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(data.get("sample_id"), str):
        raise MmudError(codes.TASK_UNREADABLE, f"no task with the data of an export, but {shown(task)}")
    return data


def lay_over(sample: Sample, task: Mapping[str, Any], category_ids: Callable[[], Mapping[str, int]]) -> Laid:
    """The sample as the task's latest annotation has it.

    Args:
        sample: as the dataset has it.
        task: of Label Studio's full JSON.
        category_ids: category -> id, of the whole dataset; asked for only when a category was changed or added.

    Raises:
        MmudError: MM790 for a task of another form, MM792 for a region that cannot be read, MM798 for a task that was exported
            from other labels, MM101 for exported labels that are none.
    """
    laid = Laid(sample)
    data = task_data(task)
    _check_labels(sample, data)
    for key in sorted(set(map(str, data)) - DATA_KEYS):
        laid.note(codes.FOREIGN_RESULT, f"key {shown(key)} of the data was not read")
    annotation = _annotation(task, laid)
    if annotation is None:
        return laid
    results = annotation.get("result")
    if not isinstance(results, list) or not all(isinstance(result, Mapping) for result in results):
        raise MmudError(
            codes.TASK_UNREADABLE, "an annotation without a list of results", Place(sample=sample.sample_id)
        )
    regions, texts = _read_results(results, sample, laid)
    needed = _Ids(category_ids)
    objects, numbers, changed = _objects(sample, regions, laid, needed)
    # Whoever wrote the answer counted the old objects first, then those that were added.
    total = len(sample.objects) + sum(number > len(sample.objects) for number in numbers)
    texts["answer"] = _renumbered(texts["answer"], numbers, total)
    values = {name: text for name, text in texts.items() if text != getattr(sample, name)}
    if not changed and not values:
        return laid
    provenance = dict(sample.provenance)
    said = {"by": _author(annotation), "time": str(annotation.get("updated_at") or annotation.get("created_at") or "")}
    for name, text in values.items():
        edit = {**said, "what": "edited in Label Studio", "before": getattr(sample, name), "after": text}
        provenance = with_edit(provenance, name, edit)
        problems = text_problems(name, text, len(objects))
        if problems:
            laid.note(codes.EDITED_TAGS_BROKEN, f"{name}: {'; '.join(problems)}")
    if changed:
        provenance[PROVENANCE_KEY] = {**said, "changed": changed}
    laid.sample = sample.model_copy(update={**values, "objects": objects, "provenance": provenance})
    return laid


class _Ids(Mapping[str, int]):
    """Category ids, read from the dataset when one is first asked for."""

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read

    def __getitem__(self, name: str) -> int:
        return self._read()[name]

    def __iter__(self) -> Any:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def _check_labels(sample: Sample, data: Mapping[str, Any]) -> None:
    row = data.get("mmud")
    place = Place(sample=sample.sample_id)
    if not isinstance(row, Mapping):
        raise MmudError(codes.TASK_UNREADABLE, "the task lacks the exported labels (data.mmud)", place)
    if label_hash(Sample.from_row(row, place)) != label_hash(sample):
        raise MmudError(codes.TASK_OF_OTHER_LABELS, "the labels in the task are not the dataset's", place)


def _annotation(task: Mapping[str, Any], laid: Laid) -> Mapping[str, Any] | None:
    """The annotation that counts: of those not cancelled the one that was changed last."""
    listed = task.get("annotations", [])
    if not isinstance(listed, list) or not all(isinstance(one, Mapping) for one in listed):
        raise MmudError(codes.TASK_UNREADABLE, "annotations are no list", Place(sample=laid.sample.sample_id))
    kept = [one for one in listed if not one.get("was_cancelled")]
    if not kept:
        laid.note(codes.TASK_WITHOUT_ANNOTATION, "cancelled in Label Studio" if listed else "nobody annotated it")
        return None
    if len(kept) > 1:
        laid.note(codes.SEVERAL_ANNOTATIONS, f"{len(kept)} annotations, the latest was taken")
    order = [(str(one.get("updated_at") or one.get("created_at") or ""), place) for place, one in enumerate(kept)]
    latest: Mapping[str, Any] = kept[max(order)[1]]
    return latest


def _author(annotation: Mapping[str, Any]) -> str:
    by = annotation.get("completed_by")
    if isinstance(by, Mapping):
        by = by.get("email") or by.get("id")
    return f"label-studio {encodable(str(by))}" if by is not None else "label-studio"


def _strings(value: Any) -> list[str]:
    text = value.get("text") if isinstance(value, Mapping) else None
    listed = text if isinstance(text, list) else [text]
    return [encodable(one) for one in listed if isinstance(one, str)]


def _read_results(
    results: list[Mapping[str, Any]], sample: Sample, laid: Laid
) -> tuple[dict[str, Region], dict[str, str]]:
    regions: dict[str, Region] = {}
    texts: dict[str, list[str]] = {name: [] for name in TEXTS}
    phrases: list[tuple[str, list[str]]] = []
    for result in results:
        kind, name = result.get("type"), result.get("from_name")
        if isinstance(kind, str) and REGION_KINDS.get(kind) == name:
            region = read_region(result, sample)
            regions[region.id] = region
        elif kind == "textarea" and name in TEXTS:
            texts[str(name)] += _strings(result.get("value"))
        elif kind == "textarea" and name == PHRASES:
            phrases.append((str(result.get("id", "")), _strings(result.get("value"))))
        else:
            laid.note(codes.FOREIGN_RESULT, f"a result of {shown(name)}, type {shown(kind)}, was not read")
    for owner, said in phrases:
        if owner in regions:
            regions[owner].phrases += said
        else:
            laid.note(codes.FOREIGN_RESULT, f"phrases of region {shown(owner)}, which is not there, were not read")
    joined = {name: "\n".join(said) for name, said in texts.items()}
    # What came back unchanged is left alone, whatever its line ends and tags look like.
    return regions, {
        name: text if text == getattr(sample, name) else text_as_stored(name, text) for name, text in joined.items()
    }


def _objects(
    sample: Sample, regions: Mapping[str, Region], laid: Laid, category_ids: Mapping[str, int]
) -> tuple[tuple[MaskedObject, ...], dict[int, int], list[str]]:
    """The objects now, old number -> new number, and what changed."""
    owned: dict[int, list[tuple[int, Region]]] = {}
    added: list[Region] = []
    for region in regions.values():
        match = _REGION_ID.fullmatch(region.id)
        if match and int(match[1]) <= len(sample.objects):
            owned.setdefault(int(match[1]), []).append((int(match[2] or 1), region))
        else:
            added.append(region)
    objects: list[MaskedObject] = []
    numbers: dict[int, int] = {}
    changed: list[str] = []
    for number, item in enumerate(sample.objects, start=1):
        if number not in owned:
            changed.append(f"object {number}: deleted")
            continue
        parts = [region for _, region in sorted(owned[number], key=lambda pair: pair[0])]
        revised, what = revised_object(item, parts, sample, category_ids)
        objects.append(revised)
        numbers[number] = len(objects)
        changed += [f"object {number}: {name}" for name in what]
    for place, region in enumerate(added, start=len(sample.objects) + 1):
        objects.append(new_object(region, sample, category_ids))
        numbers[place] = len(objects)
        changed.append(f"object {place}: added")
    deleted = len(sample.objects) + len(added) - len(objects)
    if added or deleted:
        laid.note(codes.OBJECTS_CHANGED, f"{len(added)} added, {deleted} deleted")
    return tuple(objects), numbers, changed


def _renumbered(text: str, numbers: Mapping[int, int], total: int) -> str:
    """The text with the new numbers of ``total`` objects; tags of deleted ones go, with the space before them."""
    if all(numbers.get(old) == old for old in range(1, total + 1)):
        return text
    made, end = [], 0
    for tag in tags.parse(text):
        before = text[end : tag.start]
        end = tag.end
        if tag.index in numbers:
            made.append(before + tags.render(numbers[tag.index]))
        elif 1 <= tag.index <= total:
            made.append(before.rstrip(" \t"))
        else:
            made.append(before + text[tag.start : tag.end])
    return "".join(made) + text[end:]
