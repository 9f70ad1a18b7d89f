"""Opening a zip from a stranger: nothing leaves its folder, nothing is a link, and nothing grows beyond its bounds.

The archive's directory is read and judged whole before a byte is unpacked. Then each entry is unpacked in pieces and stopped at
its bound: what an archive announces about itself is not believed.
"""

from __future__ import annotations

import errno
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from mmud.errors import Code, Finding, MmudError, Place
from mmud.evaluators.predictions import SUBMISSION_NAME, PredictionFolder, task_file
from mmud.evaluators.submissions import codes
from mmud.files import require
from mmud.images import SUFFIXES
from mmud.records import Task

TASK_FILES = frozenset(task_file(task) for task in Task)
_CODE = "pkl pickle pt pth ckpt bin joblib dill npy npz h5 hdf5 so py pyc sh exe dll jar"
UNSAFE_SUFFIXES = frozenset(f".{name}" for name in _CODE.split())
_IGNORED_PARTS = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What is refused.

    Attributes:
        entries: of the archive.
        lines_bytes: of one task's file, unpacked.
        image_bytes: of one image.
        total_bytes: of everything, unpacked.
        ratio: unpacked by packed size, of an entry above ``ratio_from`` bytes; the largest that deflate reaches is 1,032.
        depth: folders an entry may lie in.
    """

    entries: int = 500_000
    lines_bytes: int = 8 << 30
    image_bytes: int = 64 << 20
    total_bytes: int = 64 << 30
    ratio: float = 400.0
    ratio_from: int = 16 << 20
    depth: int = 4


DEFAULT_LIMITS = ArchiveLimits()


def kind_of(name: str) -> str:
    """What a file of a submission is, by its path: "manifest", "task", "image", "unsafe", "ignored" or "foreign"."""
    path = PurePosixPath(name)
    if _IGNORED_PARTS & set(path.parts) or path.name.startswith("._"):
        return "ignored"
    if name == SUBMISSION_NAME:
        return "manifest"
    if name in TASK_FILES:
        return "task"
    suffix = path.suffix.lower()
    if suffix in UNSAFE_SUFFIXES:
        return "unsafe"
    return "image" if suffix in SUFFIXES else "foreign"


def _refuse(code: Code, message: str, entry: str | None = None) -> MmudError:
    return MmudError(code, message, Place(file=entry))


_ODD = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:")


def _check_name(info: zipfile.ZipInfo, limits: ArchiveLimits) -> None:
    name = info.filename
    path = PurePosixPath(name)
    shown = name.encode("unicode_escape").decode("ascii")[:120]
    if not path.parts or path.is_absolute() or ".." in path.parts or _ODD.search(name):
        raise _refuse(codes.ARCHIVE_PATH, f"entry {shown!r}", shown)
    if any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in path.parts):
        raise _refuse(codes.ARCHIVE_PATH, "an entry's name is longer than file systems allow", shown)
    if len(path.parts) > limits.depth:
        raise _refuse(codes.ARCHIVE_PATH, f"an entry lies deeper than {limits.depth} folders", shown)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refuse(codes.ARCHIVE_LINK, "an entry is a link or a special file", shown)
    if info.flag_bits & 0x1:
        raise _refuse(codes.ARCHIVE_ENCRYPTED, "an entry is encrypted", shown)


def _bound(kind: str, limits: ArchiveLimits) -> int:
    return limits.image_bytes if kind == "image" else limits.lines_bytes


def _top_folder(names: list[str]) -> str:
    """The one folder that everything lies in, as "name/"; empty where there is none (people zip the folder or its content)."""
    if not names or any(name in TASK_FILES or name == SUBMISSION_NAME for name in names):
        return ""
    tops = {PurePosixPath(name).parts[0] for name in names if kind_of(name) != "ignored"}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""


def plan(
    archive: zipfile.ZipFile, limits: ArchiveLimits, report: Callable[[Finding], None]
) -> dict[str, zipfile.ZipInfo]:
    """What is to be unpacked: path in the folder -> entry. Everything is judged by the archive's directory alone.

    Raises:
        MmudError: MM831 to MM836 at the first entry that is refused.
    """
    infos = archive.infolist()
    if len(infos) > limits.entries:
        raise _refuse(codes.ARCHIVE_TOO_LARGE, f"{len(infos):,} entries; the bound is {limits.entries:,}")
    for info in infos:
        _check_name(info, limits)
    files = [info for info in infos if not info.is_dir()]
    prefix = _top_folder([info.filename for info in files])
    chosen: dict[str, zipfile.ZipInfo] = {}
    folded: set[str] = set()
    total = 0
    for info in files:
        name = info.filename.removeprefix(prefix)
        kind = kind_of(name)
        if kind == "unsafe":
            raise _refuse(codes.FILE_UNSAFE, f"{name} is of a kind that runs code when it is opened", name)
        if name.casefold() in folded:
            raise _refuse(codes.ARCHIVE_REPEATED, f"{name} comes twice", name)
        folded.add(name.casefold())
        if kind in ("foreign", "ignored"):
            if kind == "foreign":
                report(Finding(codes.FILE_FOREIGN, Place(file=name), "left out"))
            continue
        total += info.file_size
        if info.file_size > _bound(kind, limits) or total > limits.total_bytes:
            raise _refuse(
                codes.ARCHIVE_TOO_LARGE, f"{name} unpacks to {info.file_size:,} bytes, {total:,} in all so far", name
            )
        if info.file_size > limits.ratio_from and info.file_size > limits.ratio * max(info.compress_size, 1):
            times = info.file_size / max(info.compress_size, 1)
            raise _refuse(codes.ARCHIVE_TOO_LARGE, f"{name} unpacks to {times:,.0f} times its packed size", name)
        chosen[name] = info
    return chosen


def unpack(path: Path, folder: Path, report: Callable[[Finding], None], limits: ArchiveLimits = DEFAULT_LIMITS) -> None:
    """Unpack a zip of predictions into an empty folder.

    Raises:
        MmudError: MM830 when it is no readable zip, MM831 to MM836 when an entry is refused.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            total = 0
            for name, info in plan(archive, limits, report).items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                total += _unpack_one(archive, info, target, limits.total_bytes - total, name)
    except MmudError:
        raise
    except Exception as error:  # zipfile and its decompressors fail on hostile bytes in many ways
        raise MmudError(codes.ARCHIVE_UNREADABLE, f"{type(error).__name__}: {error}", Place(file=str(path))) from error
    except OSError as error:
        # A directory that points before the archive's first byte ends in a seek that the system refuses.
        if error.errno != errno.EINVAL:
            raise
        raise MmudError(codes.ARCHIVE_UNREADABLE, f"a position outside it: {error}", Place(file=str(path))) from error


def _unpack_one(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, left: int, name: str) -> int:
    written = 0
    with archive.open(info) as source, open(target, "xb") as out:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > min(info.file_size, left):
                raise _refuse(codes.ARCHIVE_TOO_LARGE, f"{name} unpacks to more than the archive says", name)
            out.write(chunk)
    return written


@contextmanager
def opened_submission(
    path: Path, report: Callable[[Finding], None], limits: ArchiveLimits = DEFAULT_LIMITS
) -> Iterator[PredictionFolder]:
    """The predictions in a folder or a zip, for the length of a block; a zip is unpacked into a folder that goes with it.

    Raises:
        MmudError: MM002 or MM800 when there are no predictions, MM830 to MM836 when a zip is refused.
    """
    require(path, "submission")
    if path.is_dir():
        yield PredictionFolder(path)
        return
    with TemporaryDirectory(prefix="mmud-submission-") as name:
        folder = Path(name)
        unpack(path, folder, report, limits)
        yield PredictionFolder(folder)
