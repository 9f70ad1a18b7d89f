"""Document frequencies as files: JSON, which people can read, or numpy's zip of arrays, which is smaller and faster."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.errors import MmudError, Place
from mmud.evaluators.captions import codes
from mmud.evaluators.captions.document_frequencies import FORMAT, DocumentFrequencies, FrequencyTable
from mmud.evaluators.captions.ngrams import MAX_ORDER
from mmud.evaluators.captions.tokenizer import TOKENIZER_NAME
from mmud.files import atomic_write, require, write_json

# Unpacked, the frequencies of a million captions take some 200 MB.
_LARGEST = 1 << 30


def save_frequencies(frequencies: DocumentFrequencies, path: Path) -> None:
    """Write JSON when the name ends in ``.json``, arrays otherwise.

    Raises:
        MmudError: MM008 when the file cannot be written.
    """
    header = {
        "format": FORMAT,
        "tokenizer": frequencies.tokenizer,
        "documents": frequencies.documents,
        "sha256": frequencies.content_hash,
    }
    if path.suffix == ".json":
        write_json(path, {**header, "counts": _spelt_out(frequencies)}, indent=0)
        return
    arrays: dict[str, NDArray[Any]] = {
        "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
        "vocabulary": np.frombuffer("\n".join(frequencies.vocabulary).encode(), dtype=np.uint8),
    }
    for order, table in enumerate(frequencies.tables, 1):
        arrays |= {f"first_{order}": table.first, f"rest_{order}": table.rest, f"count_{order}": table.count}
    with atomic_write(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **{name: _small(array) for name, array in arrays.items()})


def load_frequencies(path: Path) -> DocumentFrequencies:
    """Read what `save_frequencies` wrote and check it against the hash that it states.

    Raises:
        MmudError: MM002 when there is no such file, MM856 when it is not whole or not such a file, MM857 when its tokens are
            another tokenizer's.
    """
    require(path)
    try:
        frequencies, stated = _from_json(path) if path.suffix == ".json" else _from_arrays(path)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OSError,
        EOFError,
        RecursionError,
        zipfile.BadZipFile,
    ) as error:
        message = f"cannot be read as document frequencies: {type(error).__name__}: {error}"
        raise MmudError(codes.FREQUENCIES_BROKEN, message, Place(file=str(path))) from error
    if frequencies.content_hash != stated:
        message = f"the content's hash begins {frequencies.name}, the file states {str(stated)[:8]}"
        raise MmudError(codes.FREQUENCIES_BROKEN, message, Place(file=str(path)))
    if frequencies.tokenizer != TOKENIZER_NAME:
        message = f"made with the tokenizer {frequencies.tokenizer!r}; this is {TOKENIZER_NAME!r}"
        raise MmudError(codes.FREQUENCIES_OF_OTHER_TOKENS, message, Place(file=str(path)))
    return frequencies


def _small(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.int32) if array.dtype == np.int64 else array


def _ngrams(frequencies: DocumentFrequencies) -> list[list[tuple[int, ...]]]:
    """The n-grams of each table as tuples of word numbers."""
    spelt: list[list[tuple[int, ...]]] = []
    shorter: list[tuple[int, ...]] = [()]
    for table in frequencies.tables:
        pairs = zip(table.first.tolist(), table.rest.tolist(), strict=True)
        shorter = [(first, *shorter[rest]) for first, rest in pairs]
        spelt.append(shorter)
    return spelt


def _spelt_out(frequencies: DocumentFrequencies) -> dict[str, int]:
    """N-gram -> frequency, the n-grams as words joined by spaces."""
    words = frequencies.vocabulary
    return {
        " ".join(words[word] for word in ngram): count
        for ngrams, table in zip(_ngrams(frequencies), frequencies.tables, strict=True)
        for ngram, count in zip(ngrams, table.count.tolist(), strict=True)
    }


def _header(header: Any) -> tuple[int, str, str]:
    if not isinstance(header, Mapping) or header.get("format") != FORMAT:
        raise ValueError(f"the format is not {FORMAT!r}")
    documents, tokenizer, stated = header["documents"], header["tokenizer"], header["sha256"]
    if type(documents) is not int or documents < 0 or not isinstance(tokenizer, str) or not isinstance(stated, str):
        raise ValueError("the header has values of the wrong type")
    return documents, tokenizer, stated


def _from_json(path: Path) -> tuple[DocumentFrequencies, str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    documents, tokenizer, stated = _header(content)
    by_order: list[dict[tuple[str, ...], int]] = [{} for _ in range(MAX_ORDER)]
    for text, count in content["counts"].items():
        words = tuple(text.split(" "))
        if type(count) is not int or not 2 <= count <= documents or not 1 <= len(words) <= MAX_ORDER:
            raise ValueError(f"{text!r}: {count!r} is no frequency")
        by_order[len(words) - 1][words] = count
    vocabulary = sorted(words[0] for words in by_order[0])
    number = {word: index for index, word in enumerate(vocabulary)}
    tables = []
    index_of: dict[tuple[str, ...], int] = {(): 0}
    for counts in by_order:
        ordered = sorted(counts)
        tables.append(
            FrequencyTable(
                np.array([number[words[0]] for words in ordered], dtype=np.int64),
                np.array([index_of[words[1:]] for words in ordered], dtype=np.int64),
                np.array([counts[words] for words in ordered], dtype=np.int64),
            )
        )
        index_of = {words: index for index, words in enumerate(ordered)}
    return DocumentFrequencies(documents, tuple(vocabulary), tuple(tables), tokenizer), stated


def _from_arrays(path: Path) -> tuple[DocumentFrequencies, str]:
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
            raise ValueError(f"it would unpack to more than {_LARGEST} bytes")
    with np.load(path, allow_pickle=False) as arrays:
        documents, tokenizer, stated = _header(json.loads(arrays["header"].tobytes()))
        text = arrays["vocabulary"].tobytes().decode()
        vocabulary = tuple(text.split("\n")) if text else ()
        tables = []
        shorter = 1
        for order in range(1, MAX_ORDER + 1):
            first, rest, count = (_checked(arrays[f"{part}_{order}"]) for part in ("first", "rest", "count"))
            if not len(first) == len(rest) == len(count):
                raise ValueError("the columns of a table differ in length")
            _require_range(first, 0, len(vocabulary) - 1)
            _require_range(rest, 0, shorter - 1)
            _require_range(count, 2, documents)
            if (np.diff(first * shorter + rest) <= 0).any():
                raise ValueError("the n-grams are not in order")
            shorter = max(1, len(first))
            tables.append(FrequencyTable(first, rest, count))
    return DocumentFrequencies(documents, vocabulary, tuple(tables), tokenizer), stated


def _checked(array: NDArray[Any]) -> NDArray[np.int64]:
    if array.ndim != 1 or array.dtype.kind != "i":
        raise ValueError(f"an array of {array.dtype} with {array.ndim} dimensions stands where integers should")
    return array.astype(np.int64)


def _require_range(values: NDArray[np.int64], low: int, high: int) -> None:
    if len(values) and (int(values.min()) < low or int(values.max()) > high):
        raise ValueError(f"a number lies outside {low} to {high}")
