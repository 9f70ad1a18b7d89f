"""What is remembered of each image: digests of its file and pixels, two hashes, and a thumbnail on disk."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud import codes
from mmud.dataset.image_groups import content_digest
from mmud.dataset.image_hash import difference_hash, grey
from mmud.dataset.leakage.alignment import SIDE, thumbnail
from mmud.dataset.leakage.corpus import Corpus, digests_of
from mmud.errors import Finding, MmudError
from mmud.images import decode_image, read_image_bytes

MARGIN = 0.025
"""What the second hash leaves out on each side: it meets the hash of a copy cropped by about as much."""

_FLATTEST = 3.0
"""An image whose thumbnail varies less (standard deviation of grey, of 255) has nothing to be recognised by."""

_ROWS = 32
_MOST_PROBLEMS = 100
_NOTHING = bytes(16)


@dataclass(frozen=True, slots=True)
class Mark:
    """One image.

    Attributes:
        content: digest of the file.
        pixels: digest of the decoded pixels and their shape; None where they were not looked at.
        hashes: of the whole image and of its middle.
        thumbnail: 32 x 32 grey values.
        problem: code and message, where the image could not be read or decoded.
    """

    content: bytes | None
    pixels: bytes | None = None
    hashes: tuple[int, int] | None = None
    thumbnail: bytes | None = None
    problem: tuple[str, str] | None = None


def mark(image: dict[str, Any] | None, decode: bool) -> Mark:
    """Look at a row's image: its bytes, or its file.

    Args:
        image: the column ``image`` of a row.
        decode: look at the pixels as well.
    """
    try:
        data = image.get("bytes") if image else None
        if data is None:
            if not image or not image.get("path"):
                raise MmudError(codes.IMAGE_MISSING, "the sample has no image")
            data = read_image_bytes(image["path"])
    except MmudError as error:
        code = codes.IMAGE_MISSING if error.code is codes.FILE_MISSING else error.code
        return Mark(None, problem=(code.id, error.message))
    content = content_digest(data)
    if not decode:
        return Mark(content)
    try:
        pixels = decode_image(data)
    except MmudError as error:
        return Mark(content, problem=(error.code.id, error.message))
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    plain = grey(pixels)
    small = thumbnail(plain)
    hashes = difference_hash(plain), difference_hash(plain, MARGIN)
    return Mark(content, digest.digest()[:16], hashes if small.std() >= _FLATTEST else None, small.tobytes())


def _mark_all(images: list[dict[str, Any] | None], decode: bool) -> list[Mark]:
    return [mark(image, decode) for image in images]


class ImageMarks:
    """The marks of a corpus as arrays; thumbnails are in a temporary file, not in memory.

    Attributes:
        content, pixels: digests, shape (n, 2).
        has_content, has_pixels, has_hashes: which images have them, shape (n,).
        hashes: of the whole image and of its middle, shape (n, 2).
        thumbnails: shape (n, 32, 32), mapped from a file.
        unreadable: how many images could not be read or decoded, by code.
        problems: the first of them.
    """

    def __init__(self, corpus: Corpus) -> None:
        count = len(corpus)
        self.content = np.zeros((count, 2), dtype=np.uint64)
        self.pixels = np.zeros((count, 2), dtype=np.uint64)
        self.hashes = np.zeros((count, 2), dtype=np.uint64)
        self.has_content = np.zeros(count, dtype=bool)
        self.has_pixels = np.zeros(count, dtype=bool)
        self.has_hashes = np.zeros(count, dtype=bool)
        self.unreadable: Counter[str] = Counter()
        self.problems: list[Finding] = []
        # The file has no name: it goes with the process, however that ends. `close` closes it.
        self._file = tempfile.TemporaryFile(prefix="mmud-thumbnails-")  # noqa: SIM115
        self.thumbnails: NDArray[np.uint8] = np.zeros((0, SIDE, SIDE), dtype=np.uint8)

    def close(self) -> None:
        self.thumbnails = np.zeros((0, SIDE, SIDE), dtype=np.uint8)
        self._file.close()

    def __enter__(self) -> ImageMarks:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def keep(self, start: int, marks: list[Mark]) -> None:
        """Keep the marks of consecutive positions; called in order."""
        stop = start + len(marks)
        self.content[start:stop] = digests_of(mark.content or _NOTHING for mark in marks)
        self.pixels[start:stop] = digests_of(mark.pixels or _NOTHING for mark in marks)
        self.hashes[start:stop] = [mark.hashes or (0, 0) for mark in marks]
        self.has_content[start:stop] = [mark.content is not None for mark in marks]
        self.has_pixels[start:stop] = [mark.pixels is not None for mark in marks]
        self.has_hashes[start:stop] = [mark.hashes is not None for mark in marks]
        for mark in marks:
            self._file.write(mark.thumbnail or bytes(SIDE * SIDE))

    def finish(self) -> None:
        """Map the thumbnails that were written."""
        self._file.flush()
        if len(self.content):
            self.thumbnails = np.memmap(self._file, dtype=np.uint8, mode="r", shape=(len(self.content), SIDE, SIDE))


def read_marks(
    corpus: Corpus, decode: bool, workers: int = 1, advance: Callable[[int], None] | None = None
) -> ImageMarks:
    """Look at every image of a corpus, each once, in one process or several.

    Images that cannot be read are listed as problems and match nothing.

    Args:
        corpus: the samples.
        decode: look at pixels as well: that is what costs time.
        workers: processes.
        advance: told how many images were looked at.
    """
    marks = ImageMarks(corpus)
    try:
        for start, names, found in _looked_at(corpus, decode, workers):
            marks.keep(start, found)
            for offset, (name, mark) in enumerate(zip(names, found, strict=True)):
                if mark.problem is not None:
                    code, message = mark.problem
                    marks.unreadable[code] += 1
                    if len(marks.problems) < _MOST_PROBLEMS:
                        place = corpus.place(start + offset, name)
                        marks.problems.append(Finding(_CODES[code], place, message))
            if advance is not None:
                advance(len(found))
        marks.finish()
    except BaseException:
        marks.close()
        raise
    return marks


_CODES = {code.id: code for code in (codes.IMAGE_MISSING, codes.IMAGE_UNREADABLE, codes.IMAGE_TOO_LARGE)}


def _batches(corpus: Corpus) -> Iterator[tuple[int, list[str], list[dict[str, Any] | None]]]:
    start = 0
    for dataset in corpus.datasets:
        for batch in dataset.batches(None, ("sample_id", "image"), rows=_ROWS):
            rows = batch.table.to_pydict()
            yield start, rows["sample_id"], rows["image"]
            start += batch.table.num_rows


def _looked_at(corpus: Corpus, decode: bool, workers: int) -> Iterator[tuple[int, list[str], list[Mark]]]:
    if workers == 1:
        for start, names, images in _batches(corpus):
            yield start, names, _mark_all(images, decode)
        return
    # Spawned, not forked: pyarrow's threads do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting: deque[tuple[int, list[str], Future[list[Mark]]]] = deque()
        try:
            for start, names, images in _batches(corpus):
                waiting.append((start, names, pool.submit(_mark_all, images, decode)))
                if len(waiting) > 2 * workers:
                    first, listed, future = waiting.popleft()
                    yield first, listed, future.result()
            for first, listed, future in waiting:
                yield first, listed, future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
