"""``mmud.json``: what a dataset folder holds, file by file, and how it was built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmud.dataset import codes
from mmud.errors import MmudError, Place
from mmud.files import write_json

FORMAT_VERSION = 1
MANIFEST_NAME = "mmud.json"


class Shard(BaseModel):
    """One Parquet file: its path in the folder, rows and SHA-256."""

    model_config = ConfigDict(frozen=True)

    file: str
    rows: int = Field(ge=0)
    sha256: str


class Split(BaseModel):
    """One split: its samples and its shards, in order."""

    model_config = ConfigDict(frozen=True)

    samples: int = Field(ge=0)
    shards: tuple[Shard, ...]


class Manifest(BaseModel):
    """The manifest.

    Attributes:
        format_version: of the layout on disk.
        mmud_version: of the package that wrote it.
        fingerprint: SHA-256 over all labels in order; it does not depend on shard sizes or on where images are kept.
        images: "embed" (bytes in the shards) or "link" (paths).
        splits: by name.
        counts: samples and objects, in all and by source.
        sources: what each source says of itself: name, licence, files with their checksums.
        recipe: how to build the same bytes again; None for a dataset that was not built from sources.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal["mmud"] = "mmud"
    format_version: int
    mmud_version: str
    name: str
    fingerprint: str
    images: Literal["embed", "link"]
    splits: dict[str, Split]
    counts: dict[str, Any]
    sources: list[dict[str, Any]]
    recipe: dict[str, Any] | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``folder/mmud.json``.

        Raises:
            MmudError: MM102 when it is not there, MM103 when it cannot be read.
        """
        file = folder / MANIFEST_NAME
        place = Place(file=str(file))
        try:
            data = json.loads(file.read_bytes())
            version = data.get("format_version")
            if isinstance(version, int) and version > FORMAT_VERSION:
                hint = f"Upgrade mmud: this dataset has format version {version}, this version reads {FORMAT_VERSION}."
                raise MmudError(codes.MANIFEST_INVALID, f"format version {version} is newer", place, hint)
            manifest = cls.model_validate(data)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MmudError(codes.NOT_A_DATASET, f"{folder} has no {MANIFEST_NAME}", place) from error
        except OSError as error:
            raise MmudError(codes.MANIFEST_INVALID, f"cannot read the manifest: {error}", place) from error
        except (ValueError, AttributeError, RecursionError) as error:
            reason = error.errors(include_url=False)[0] if isinstance(error, ValidationError) else None
            detail = f"{'.'.join(map(str, reason['loc']))}: {reason['msg']}" if reason else str(error)
            raise MmudError(codes.MANIFEST_INVALID, f"the manifest cannot be read: {detail}", place) from error
        for shard in (shard for split in manifest.splits.values() for shard in split.shards):
            parts = Path(shard.file).parts
            if Path(shard.file).is_absolute() or ".." in parts:
                raise MmudError(codes.MANIFEST_INVALID, f"a shard outside the folder: {shard.file}", place)
        return manifest

    def write(self, folder: Path) -> None:
        """Write ``folder/mmud.json`` atomically."""
        write_json(folder / MANIFEST_NAME, self.model_dump(mode="json"))
