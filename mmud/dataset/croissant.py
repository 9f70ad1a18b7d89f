"""Croissant metadata (MLCommons, version 1.1): a dataset's files and fields as JSON-LD that other tools read.

The vocabulary is that of the specification at https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mmud.dataset.card import references
from mmud.dataset.contents import Contents, look
from mmud.dataset.fields import COLUMN_NOTES, OBJECT_NOTES
from mmud.dataset.schema import schema
from mmud.dataset.source_facts import facts_of
from mmud.dataset.store import Dataset

CROISSANT_NAME = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
_PARQUET = "application/x-parquet"
_SHARDS = "shards"
_SAMPLES = "samples"
_SPLITS = "splits"

_LICENSE_URLS = {
    "mit": "https://opensource.org/licenses/MIT",
    "cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
}

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


@dataclass(frozen=True, slots=True)
class Publication:
    """What only the publisher knows; Croissant asks for each of them.

    Attributes:
        url: the dataset's page.
        creator: a person or organisation.
        date: of publication, as YYYY-MM-DD.
        version: of the data, as MAJOR.MINOR.PATCH.
    """

    url: str = ""
    creator: str = ""
    date: str = ""
    version: str = "1.0.0"

    @property
    def missing(self) -> list[str]:
        """What Croissant requires and is not given."""
        return [name for name in ("url", "creator", "date") if not getattr(self, name)]


def croissant(dataset: Dataset, publication: Publication | None = None) -> dict[str, Any]:
    """The dataset as a Croissant document, JSON-compatible.

    Every shard is a file object with its checksum, so that a reader notices a damaged copy; samples are one record set, with the
    split that a sample is in read from its shard's name.

    Args:
        dataset: what to describe.
        publication: page, creator and date; what is left out is missing in the document.

    Raises:
        MmudError: MM104, MM106 or MM107 when a shard cannot be read.
    """
    publication = publication or Publication()
    contents = look(dataset)
    total = contents.total()
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": dataset.name,
        "description": (
            f"{total['samples']:,} images with {total['objects']:,} masked objects in the MMUD format: one image, labelled for "
            "up to four tasks at once (referring segmentation, reasoning segmentation, captioning, text-to-image generation). "
            f"Sources: {', '.join(contents.sources) or 'none'}. Fingerprint of all labels: {dataset.fingerprint}."
        ),
        "license": _licenses(contents),
        "inLanguage": "en",
        "keywords": [
            "mmud",
            "referring segmentation",
            "reasoning segmentation",
            "image captioning",
            "text-to-image generation",
        ],
        "version": publication.version,
    }
    cited = references(contents.sources)
    if cited:
        document["citeAs"] = "\n\n".join(reference.bibtex() for reference in cited)
    if publication.url:
        document["url"] = publication.url
    if publication.creator:
        document["creator"] = {"@type": "sc:Organization", "name": publication.creator}
    if publication.date:
        document["datePublished"] = publication.date
    document["distribution"] = _distribution(dataset)
    document["recordSet"] = [_split_records(dataset), _sample_records(dataset)]
    return document


def _licenses(contents: Contents) -> list[str]:
    """A URL for each licence of the labels that has one; in words where a source names none."""
    found: dict[str, None] = {}
    for source in contents.sources:
        facts = facts_of(source)
        if facts is None:
            found[f"{source}: not known"] = None
        else:
            found[_LICENSE_URLS.get(facts.license, f"{source}: {facts.label_terms}")] = None
            if facts.image_terms != facts.label_terms:
                found[f"{source}, images: {facts.image_terms}"] = None
    return list(found)


def _distribution(dataset: Dataset) -> list[dict[str, Any]]:
    shards = [shard for split in dataset.manifest.splits.values() for shard in split.shards]
    files = [
        {
            "@type": "cr:FileObject",
            "@id": shard.file,
            "name": shard.file,
            "contentUrl": shard.file,
            "contentSize": f"{(dataset.path / shard.file).stat().st_size} B",
            "encodingFormat": _PARQUET,
            "sha256": shard.sha256,
        }
        for shard in shards
    ]
    together = {
        "@type": "cr:FileSet",
        "@id": _SHARDS,
        "name": _SHARDS,
        "description": "Every shard of every split.",
        "encodingFormat": _PARQUET,
        "includes": "data/*.parquet",
    }
    return [*files, together]


def _split_records(dataset: Dataset) -> dict[str, Any]:
    name = f"{_SPLITS}/name"
    return {
        "@type": "cr:RecordSet",
        "@id": _SPLITS,
        "name": _SPLITS,
        "description": "The dataset's splits.",
        "dataType": "cr:Split",
        "key": {"@id": name},
        "field": [{"@type": "cr:Field", "@id": name, "name": "name", "dataType": "sc:Text"}],
        "data": [{name: split} for split in dataset.splits],
    }


def _sample_records(dataset: Dataset) -> dict[str, Any]:
    names = "|".join(re.escape(split) for split in dataset.splits)
    split = _field(f"{_SAMPLES}/split", "The split that the sample is in.", "sc:Text", fileProperty="fullpath")
    # A reader that joins record sets applies the expression to its own result as well: the name alone matches, too.
    split["source"]["transform"] = {"regex": rf"^(?:.*[/\\])?({names})(?:-\d{{5}}-of-\d{{5}}\.parquet)?$"}
    split["references"] = {"field": {"@id": f"{_SPLITS}/name"}}
    return {
        "@type": "cr:RecordSet",
        "@id": _SAMPLES,
        "name": _SAMPLES,
        "description": "One record is one image with all its labels.",
        "key": {"@id": f"{_SAMPLES}/sample_id"},
        "field": [split, *(_column(column) for column in schema())],
    }


def _field(identifier: str, note: str, kind: str | list[str], **extract: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": identifier,
        "name": identifier.removeprefix(f"{_SAMPLES}/"),
        "description": note,
        "dataType": kind,
        "source": {"fileSet": {"@id": _SHARDS}, "extract": extract},
    }


def _column(column: pa.Field) -> dict[str, Any]:
    identifier = f"{_SAMPLES}/{column.name}"
    note = COLUMN_NOTES[column.name]
    if column.name == "image":
        field = _field(identifier, note, "sc:ImageObject", column="image")
        field["source"]["transform"] = {"jsonPath": "bytes"}
        return field
    if column.name == "objects":
        parts = [_object_part(identifier, part) for part in column.type.value_type]
        return {
            "@type": "cr:Field",
            "@id": identifier,
            "name": "objects",
            "description": note,
            "isArray": True,
            "arrayShape": "-1",
            "subField": [part for group in parts for part in group],
        }
    return _field(identifier, note, _data_type(column.type), column=column.name)


def _object_part(parent: str, part: pa.Field) -> list[dict[str, Any]]:
    """A field of an object; a struct in it becomes one field a member."""
    if pa.types.is_struct(part.type):
        inner = [(f"{part.name}_{member.name}", f"{part.name}.{member.name}", member.type) for member in part.type]
    else:
        inner = [(part.name, part.name, part.type)]
    found = []
    for name, path, kind in inner:
        field = _field(f"{parent}/{name}", OBJECT_NOTES[part.name], _data_type(kind), column="objects")
        field["source"]["transform"] = {"jsonPath": path}
        depth = _depth(kind)
        if depth:
            field |= {"isArray": True, "arrayShape": ",".join(["-1"] * depth)}
        found.append(field)
    return found


def _depth(kind: pa.DataType) -> int:
    return 1 + _depth(kind.value_type) if pa.types.is_list(kind) else 0


def _data_type(kind: pa.DataType) -> str:
    while pa.types.is_list(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "cr:Int64" if kind.bit_width == 64 else "cr:Int32"
    if pa.types.is_floating(kind):
        return "cr:Float64"
    return "sc:Text"
