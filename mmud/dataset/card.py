"""The dataset card: ``README.md`` with the YAML that Hugging Face ``datasets`` reads, and what a person wants to know first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from mmud.dataset.contents import Contents, look
from mmud.dataset.fields import COLUMN_NOTES, OBJECT_NOTES
from mmud.dataset.manifest import Manifest
from mmud.dataset.source_facts import Reference, SourceFacts, facts_of
from mmud.dataset.store import Dataset
from mmud.records import Task

CARD_NAME = "README.md"
_SIZE_CLASSES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST_CLASS = "1M<n<10M"
_HUB_TASKS = {
    Task.REFERRING_SEGMENTATION: "image-segmentation",
    Task.REASONING_SEGMENTATION: "visual-question-answering",
    Task.CAPTIONING: "image-to-text",
    Task.GENERATION: "text-to-image",
}
_TASK_NOTES = {
    Task.REFERRING_SEGMENTATION: "image and phrases in, one mask a phrase out",
    Task.REASONING_SEGMENTATION: "image and question in, an answer with tags and a mask a tag out",
    Task.CAPTIONING: "image in, a long caption out",
    Task.GENERATION: "caption in, an image out",
}
_MOST_LICENSES = 12
_MOST_FILES = 40
_MOST_EDITORS = 40
_ADDRESS = re.compile(r"@\S+")


def render_card(dataset: Dataset, contents: Contents | None = None) -> str:
    """The card of a dataset; it depends on the dataset's contents alone, so that equal datasets have equal cards.

    Args:
        dataset: the dataset.
        contents: what it holds, where that was counted already.

    Raises:
        MmudError: MM104, MM106 or MM107 when a shard cannot be read.
    """
    contents = contents or look(dataset)
    parts = [
        front_matter(dataset.manifest, contents),
        _opening(dataset, contents),
        _counts(dataset, contents),
        _tasks(contents),
        _loading(dataset),
        _fields(),
        _provenance(dataset.manifest, contents),
        _licences(dataset.manifest, contents),
        _citation(dataset.manifest, contents),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(manifest: Manifest, contents: Contents) -> str:
    """The YAML header, with its fences. Values are written as JSON, which YAML contains."""
    total = contents.total()
    tasks = [hub for task, hub in _HUB_TASKS.items() if total[task]]
    size = next((name for bound, name in _SIZE_CLASSES if total["samples"] < bound), _LARGEST_CLASS)
    lines = ["---", f"pretty_name: {json.dumps(manifest.name, ensure_ascii=False)}", *_hub_license(manifest, contents)]
    lines += ["language:", "- en"]
    if tasks:
        lines += ["task_categories:", *(f"- {name}" for name in tasks)]
    lines += ["size_categories:", f"- {json.dumps(size)}", "tags:", "- mmud"]
    lines += [f"- {task.value.replace('_', '-')}" for task in Task if total[task]]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split in manifest.splits:
        lines += [f"  - split: {json.dumps(split)}", f"    path: {json.dumps(f'data/{split}-*.parquet')}"]
    return "\n".join([*lines, "---"])


def _hub_license(manifest: Manifest, contents: Contents) -> list[str]:
    """One identifier where every source has it for labels and images alike; "other" else."""
    found = {_one_license(manifest, source) for source in contents.sources}
    if len(found) == 1 and (only := found.pop()):
        return [f"license: {only}"]
    return ["license: other", "license_name: per-source-see-licences-below"]


def _one_license(manifest: Manifest, source: str) -> str:
    facts = facts_of(source)
    return facts.license if facts is not None and facts.label_terms == facts.image_terms else ""


def _opening(dataset: Dataset, contents: Contents) -> str:
    manifest = dataset.manifest
    total = contents.total()
    text = (
        f"# {manifest.name}\n\n"
        f"{total['samples']:,} images with {total['objects']:,} masked objects, in the MMUD format: one image, labelled for up "
        "to four tasks at once (referring segmentation, reasoning segmentation, captioning, text-to-image generation).\n\n"
        f"Fingerprint of all labels: `{manifest.fingerprint}`; made with mmud {manifest.mmud_version}, format version "
        f"{manifest.format_version}."
    )
    if manifest.images == "link":
        text += (
            "\n\n> **The images are not in this folder.** Each sample holds the path of its image on the machine where the "
            "dataset was built. To pass it on, build it again with `--images embed`."
        )
    return text


def _counts(dataset: Dataset, contents: Contents) -> str:
    names = ("samples", "objects", "phrases", "captions", "questions", "answers")
    rows: list[list[Any]] = []
    for split in dataset.splits:
        inside = [source for source in contents.sources if (split, source) in contents.counts]
        rows.append([f"**{_cell(split)}**", "", *_numbers(contents.total(split), names)])
        if len(contents.sources) > 1:
            rows += [["", _cell(source), *_numbers(contents.counts[split, source], names)] for source in inside]
    if len(dataset.splits) > 1:
        rows.append(["**all**", "", *_numbers(contents.total(), names)])
        if len(contents.sources) > 1:
            rows += [
                ["", _cell(source), *_numbers(contents.total(source=source), names)] for source in contents.sources
            ]
    header = ["split", "source", *names]
    if len(contents.sources) <= 1:
        header, rows = header[:1] + header[2:], [row[:1] + row[2:] for row in rows]
    return f"## Contents\n\n{_table(header, rows, right=range(len(header) - len(names), len(header)))}"


def _numbers(counts: Any, names: Sequence[str]) -> list[str]:
    return [f"{counts[name]:,}" for name in names]


def _tasks(contents: Contents) -> str:
    total = contents.total()
    rows = [[task.value, _TASK_NOTES[task], f"{total[task]:,}"] for task in Task]
    return "## Tasks\n\n" + _table(["task", "what it is", "samples"], rows, right=(2,))


def _loading(dataset: Dataset) -> str:
    split = dataset.splits[0] if dataset.splits else "train"
    shard = f"data/{split}-*.parquet"
    image = "an image" if dataset.manifest.images == "embed" else "an image, where the linked file is there"
    return (
        "## Loading\n\n"
        "The folder needs no code of its own. With Hugging Face `datasets`:\n\n"
        "```python\n"
        "from datasets import load_dataset\n\n"
        f'samples = load_dataset("path/to/this/folder", split="{split}")\n'
        f'samples[0]["image"]  # {image}\n'
        "```\n\n"
        "With pandas, polars or DuckDB:\n\n"
        "```python\n"
        "import glob, pandas\n"
        f'frame = pandas.concat(map(pandas.read_parquet, sorted(glob.glob("{shard}"))))\n'
        "import polars\n"
        f'frame = polars.read_parquet("{shard}")\n'
        "import duckdb\n"
        f"frame = duckdb.sql(\"select * from '{shard}'\").df()\n"
        "```\n\n"
        "With `mmud`: `mmud stats .`, `mmud validate .`, `mmud browse . -o page.html`, and masks through "
        "`mmud.annotations.masks.Mask.of(object.segmentation)`."
    )


def _fields() -> str:
    columns = [[f"`{name}`", _cell(note)] for name, note in COLUMN_NOTES.items()]
    fields = [[f"`{name}`", _cell(note)] for name, note in OBJECT_NOTES.items()]
    return (
        f"## Fields\n\n{_table(['column', 'what it holds'], columns)}\n\n"
        f"Each of `objects` has:\n\n{_table(['field', 'what it holds'], fields)}"
    )


def _described(manifest: Manifest) -> Iterable[tuple[str, dict[str, Any]]]:
    """What each source says of itself, under the name it goes by."""
    for entry in manifest.sources:
        yield str(entry.get("name", "")), entry


def _provenance(manifest: Manifest, contents: Contents) -> str:
    lines = ["## Provenance", ""]
    lines += [f"- **{_cell(name) or '(no source named)'}**: {_origin(facts_of(name))}" for name in contents.sources]
    for name, entry in _described(manifest):
        title = str(entry.get("title") or name)
        files = entry.get("files") or {}
        lines += ["", f"Read from {_cell(title)}" + (":" if files else "."), ""]
        lines += [f"- `{file}` sha256 `{digest}`" for file, digest in list(_files(files))[:_MOST_FILES]]
        if len(files) > _MOST_FILES:
            lines.append(f"- and {len(files) - _MOST_FILES:,} more files, all listed in `mmud.json`")
    lines += _label_origins(contents)
    lines += [
        "",
        "Who or what made each label stands in the column `provenance`; `mmud.json` lists every file with its checksum.",
    ]
    return "\n".join(lines)


def _label_origins(contents: Contents) -> list[str]:
    """Labels that no source brought: who made them and when, and who changed how many since."""
    lines: list[str] = []
    if contents.origins:
        rows = [
            [*map(_cell, origin), _days(contents.spans[origin]), f"{count:,}"]
            for origin, count in sorted(contents.origins.items())
        ]
        lines += ["", "Labels that were made for this dataset, by machine where nothing else is said:", ""]
        lines += [_table(["label", "annotator", "model", "prompt", "made", "labels"], rows, right=(5,))]
    if contents.edited:
        changes = sorted(contents.edited.items())
        # A card is for all to read: of an e-mail address the person's own part is enough to tell people apart.
        named = [(label, _ADDRESS.sub("@…", name), count) for (label, name), count in changes]
        rows = [[_cell(label), _cell(name) or "(not said)", f"{count:,}"] for label, name, count in named]
        lines += ["", "Labels that were changed since, by people or by rules (`mmud link`, `mmud filter`):", ""]
        lines += [_table(["label", "changed by", "labels"], rows[:_MOST_EDITORS], right=(2,))]
        if len(rows) > _MOST_EDITORS:
            lines += ["", f"and {len(rows) - _MOST_EDITORS:,} more."]
    return lines


def _days(span: tuple[str, str]) -> str:
    """The days of two times in ISO 8601."""
    first, last = (_cell(time[:10]) for time in span)
    return first if first == last else f"{first} to {last}"


def _files(files: Any) -> Iterable[tuple[str, str]]:
    """File names and checksums, from a mapping or from a list of mappings."""
    if isinstance(files, dict):
        for name, digest in files.items():
            yield str(name), str(digest.get("sha256", "")) if isinstance(digest, dict) else str(digest)
    else:
        for entry in files:
            named = entry if isinstance(entry, dict) else {"name": entry}
            yield str(named.get("name", named.get("file", ""))), str(named.get("sha256", ""))


def _origin(facts: SourceFacts | None) -> str:
    if facts is None:
        return "not a source that this package knows."
    link = f"[{facts.title}]({facts.homepage})" if facts.homepage else facts.title
    note = f" {facts.notes}" if facts.notes else ""
    return f"{link}. Images: {facts.images}.{note}"


def _licences(manifest: Manifest, contents: Contents) -> str:
    said = dict(_described(manifest))
    rows = []
    for source in contents.sources:
        facts = facts_of(source)
        own = str(said.get(source, {}).get("license") or "")
        labels = own or (facts.label_terms if facts else "not known")
        rows.append([_cell(source), _cell(labels), _cell(facts.image_terms if facts else own or "not known")])
    text = "## Licences\n\nThe terms of each source apply to what comes from it.\n\n" + _table(
        ["source", "labels", "images"], rows
    )
    named = {source: licenses for source, licenses in contents.licenses.items() if set(licenses) - {""}}
    if named:
        listed = []
        for source, licenses in sorted(named.items()):
            common = licenses.most_common()
            listed += [
                [_cell(source), _cell(name or "(none named)"), f"{count:,}"] for name, count in common[:_MOST_LICENSES]
            ]
            if len(common) > _MOST_LICENSES:
                listed.append([_cell(source), "others", f"{sum(count for _, count in common[_MOST_LICENSES:]):,}"])
        text += "\n\nLicences of single images, as the column `license` names them:\n\n"
        text += _table(["source", "licence", "samples"], listed, right=(2,))
    return text


def _citation(manifest: Manifest, contents: Contents) -> str:
    entries = {reference.key: reference.bibtex() for reference in references(contents.sources)}
    own = [str(entry["citation"]).strip() for _, entry in _described(manifest) if entry.get("citation")]
    entries |= {text: text for text in own if not any(text in known for known in entries.values())}
    if not entries:
        return ""
    return "## Citation\n\nCite the sources:\n\n```bibtex\n" + "\n\n".join(entries.values()) + "\n```"


def references(sources: Iterable[str]) -> list[Reference]:
    """The publications of sources, each once, in the order of the sources."""
    found: dict[str, Reference] = {}
    for source in sources:
        facts = facts_of(source)
        found |= {reference.key: reference for reference in (facts.references if facts else ())}
    return list(found.values())


def _cell(text: str) -> str:
    """Text from data as one cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    numbers = set(right)
    rule = ["---:" if column in numbers else "---" for column in range(len(header))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *rows))
