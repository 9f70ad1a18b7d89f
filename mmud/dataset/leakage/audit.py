"""The audit: every way in which training and evaluation can share an image or a text, each looked for on its own."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from mmud.annotations.shingles import text_digest
from mmud.dataset.image_groups import image_key
from mmud.dataset.leakage import codes, near_images, texts
from mmud.dataset.leakage.corpus import (
    TRAINING,
    Corpus,
    Match,
    Positions,
    digests_of,
    exact_matches,
)
from mmud.dataset.leakage.evaluation_lists import EvaluationList
from mmud.dataset.leakage.image_marks import read_marks
from mmud.dataset.store import Dataset
from mmud.errors import Code, Finding, MmudError, Severity

IMAGE_CODES = (
    codes.SOURCE_IMAGE_LEAKS,
    codes.IMAGE_FILE_LEAKS,
    codes.IMAGE_PIXELS_LEAK,
    codes.IMAGE_NEARLY_LEAKS,
)
"""Ways in which two samples share an image, the surest first: a sample is reported by the first that finds it."""

TEXT_CODES = {
    "caption": (codes.CAPTION_LEAKS, codes.CAPTION_NEARLY_LEAKS),
    "question": (codes.QUESTION_LEAKS, codes.QUESTION_NEARLY_LEAKS),
    "phrases": (codes.PHRASES_LEAK, codes.PHRASES_LEAK),
}


_MESSAGES = {
    codes.SOURCE_IMAGE_LEAKS: "same source image as {other}",
    codes.IMAGE_FILE_LEAKS: "same image file as {other}",
    codes.IMAGE_PIXELS_LEAK: "same pixels as {other}",
    codes.IMAGE_NEARLY_LEAKS: "image like that of {other}, similarity {score:.2f}",
    codes.EVALUATION_SHARES_IMAGE: "same image as {other}",
    codes.CAPTION_LEAKS: "same caption as {other}",
    codes.CAPTION_NEARLY_LEAKS: "caption like that of {other}, similarity {score:.2f}",
    codes.QUESTION_LEAKS: "same question as {other}",
    codes.QUESTION_NEARLY_LEAKS: "question like that of {other}, similarity {score:.2f}",
    codes.PHRASES_LEAK: "same phrases as {other}",
}


class Progress(Protocol):
    """Told of each stage: its name and size, and what was done of it."""

    def stage(self, name: str, total: int) -> Callable[[int], None]: ...


class _Silent:
    def stage(self, name: str, total: int) -> Callable[[int], None]:
        return lambda count: None


@dataclass(frozen=True)
class AuditRequest:
    """What to look for besides source ids and equal image files.

    Attributes:
        pixels: decode images and compare their pixels.
        perceptual: compare images by hash and alignment as well; implies ``pixels``.
        text: compare captions, questions and phrases.
        against: images of other evaluations.
        distance: bits by which hashes of candidates may differ.
        similarity: of aligned images, from which they count as one photograph.
        text_similarity: Jaccard index from which texts count as near-duplicates.
        workers: processes that decode images.
    """

    pixels: bool = False
    perceptual: bool = False
    text: bool = False
    against: Sequence[EvaluationList] = ()
    distance: int = near_images.DISTANCE
    similarity: float = near_images.SIMILARITY
    text_similarity: float = texts.SIMILARITY
    workers: int = 1


@dataclass
class Audit:
    """What was found.

    Attributes:
        corpus: the samples.
        matches: code -> each leaked sample once, whether or not another way finds it as well.
        listed: positions of training samples whose image an evaluation list names -> the splits it names it in.
        unreadable: how many images could not be compared, by code.
        problems: the first of them.
    """

    corpus: Corpus
    matches: dict[Code, list[Match]] = field(default_factory=dict)
    listed: dict[int, list[str]] = field(default_factory=dict)
    unreadable: Counter[str] = field(default_factory=Counter)
    problems: list[Finding] = field(default_factory=list)

    def reported(self) -> Iterator[tuple[Code, Match]]:
        """Each leaked sample's image once, by the surest way that finds it, and each of its texts once."""
        seen: set[int] = set()
        for code in IMAGE_CODES:
            for match in self.matches.get(code, []):
                if match.leaked not in seen:
                    seen.add(match.leaked)
                    yield self._code_of(code, match), match
        for pair in TEXT_CODES.values():
            seen = set()
            for code in dict.fromkeys(pair):
                for match in self.matches.get(code, []):
                    if match.leaked not in seen:
                        seen.add(match.leaked)
                        yield code, match

    def _code_of(self, code: Code, match: Match) -> Code:
        """Two evaluation splits of one rank share an image: another matter than a leak into training."""
        same_rank = self.corpus.cell(match.leaked).rank == self.corpus.cell(match.counterpart).rank
        return codes.EVALUATION_SHARES_IMAGE if same_rank else code

    def findings(self) -> list[Finding]:
        """Every leak as a finding, by code and then in the order of the samples."""
        reported = sorted(self.reported(), key=lambda item: (item[0].id, item[1].leaked))
        positions = {position for _, match in reported for position in (match.leaked, match.counterpart)}
        names = self.corpus.names(positions | set(self.listed))
        found = [self._finding(code, match, names) for code, match in reported]
        for position, labels in sorted(self.listed.items()):
            place = self.corpus.place(position, names[position])
            found.append(Finding(codes.LISTED_IMAGE_LEAKS, place, f"its image is in {', '.join(labels)}"))
        found.sort(key=lambda finding: finding.code.id)
        return found

    def _finding(self, code: Code, match: Match, names: dict[int, str]) -> Finding:
        other = f"{self.corpus.label(self.corpus.cell(match.counterpart))} sample {names[match.counterpart]}"
        message = _MESSAGES[code].format(other=other, score=match.score)
        return Finding(code, self.corpus.place(match.leaked, names[match.leaked]), message)

    def pairs(self) -> Counter[tuple[Code, str, str]]:
        """(code, leaked split, other split) -> reported samples."""
        found: Counter[tuple[Code, str, str]] = Counter()
        for code, match in self.reported():
            leaked, other = (self.corpus.label(self.corpus.cell(p)) for p in (match.leaked, match.counterpart))
            found[code, leaked, other] += 1
        for position, labels in self.listed.items():
            for label in labels:
                found[codes.LISTED_IMAGE_LEAKS, self.corpus.label(self.corpus.cell(position)), label] += 1
        return found

    def removable(self, threshold: Severity) -> dict[int, list[Code]]:
        """Training samples of the audited dataset that leak, by findings of this severity or worse -> the codes."""
        found: dict[int, list[Code]] = {}
        pairs = [(code, match.leaked) for code, match in self.reported()]
        for code, position in [*pairs, *((codes.LISTED_IMAGE_LEAKS, position) for position in self.listed)]:
            cell = self.corpus.cell(position)
            if cell.dataset == 0 and cell.rank == TRAINING and code.severity >= threshold:
                found.setdefault(position, []).append(code)
        return dict(sorted(found.items()))

    def worst(self, without: Sequence[int] = ()) -> Severity | None:
        """The highest severity of what was found, apart from some leaked samples; None where nothing is left."""
        left_out = set(without)
        severities = [code.severity for code, match in self.reported() if match.leaked not in left_out]
        severities += [codes.LISTED_IMAGE_LEAKS.severity for position in self.listed if position not in left_out]
        return max(severities, default=None)

    def to_dict(self, findings: Sequence[Finding]) -> dict[str, Any]:
        """JSON-compatible: counts by way and by splits, then every finding."""
        pairs = [
            {"code": code.id, "from": leaked, "to": other, "samples": count}
            for (code, leaked, other), count in sorted(
                self.pairs().items(), key=lambda item: (item[0][0].id, item[0][1:])
            )
        ]
        return {
            "datasets": [
                {
                    "path": str(dataset.path),
                    "name": dataset.name,
                    "fingerprint": dataset.fingerprint,
                    "samples": len(dataset),
                }
                for dataset in self.corpus.datasets
            ],
            "found_by": {code.id: len(matches) for code, matches in self.matches.items()},
            "reported": pairs,
            "findings": [finding.to_dict() for finding in findings],
            "unreadable": dict(self.unreadable),
            "first_unreadable": [finding.to_dict() for finding in self.problems],
        }


def audit(datasets: Sequence[Dataset], request: AuditRequest | None = None, progress: Progress | None = None) -> Audit:
    """Look for what splits share though they should not.

    Args:
        datasets: the first one is audited, with itself and against the others.
        request: what to look for.
        progress: told of each stage.

    Raises:
        MmudError: MM104, MM106 or MM107 when a shard cannot be read.
    """
    request = request or AuditRequest()
    progress = progress or _Silent()
    corpus = Corpus(datasets)
    found = Audit(corpus)
    positions, digests, keys = _source_keys(corpus, request.against)
    found.matches[codes.SOURCE_IMAGE_LEAKS] = exact_matches(corpus, positions, digests)
    found.listed = keys
    decode = request.pixels or request.perceptual
    with read_marks(corpus, decode, request.workers, progress.stage("images", len(corpus))) as marks:
        everything = np.arange(len(corpus), dtype=np.int64)
        whole = everything[marks.has_content]
        found.matches[codes.IMAGE_FILE_LEAKS] = exact_matches(corpus, whole, marks.content[whole])
        found.unreadable, found.problems = marks.unreadable, marks.problems
        if decode:
            whole = everything[marks.has_pixels]
            found.matches[codes.IMAGE_PIXELS_LEAK] = exact_matches(corpus, whole, marks.pixels[whole])
        if request.perceptual:
            near = near_images.near_matches(corpus, marks, request.distance, request.similarity)
            found.matches[codes.IMAGE_NEARLY_LEAKS] = near
    if request.text:
        matches = texts.text_matches(corpus, request.text_similarity, progress.stage("texts", len(corpus)))
        for name, (same, near_code) in TEXT_CODES.items():
            found.matches[same] = matches[name].same
            if near_code is not same:
                found.matches[near_code] = matches[name].near
    return found


def _source_keys(
    corpus: Corpus, against: Sequence[EvaluationList]
) -> tuple[Positions, np.ndarray[Any, np.dtype[np.uint64]], dict[int, list[str]]]:
    """Positions and digests of images that have a number in their source; and training samples that a list names."""
    lookup: dict[str, list[str]] = {}
    for entry in against:
        for label, images in entry.labels.items():
            for image_number in images:
                lookup.setdefault(f"{entry.family}:{image_number}", []).append(label)
    positions, digests = array("q"), bytearray()
    listed: dict[int, list[str]] = {}
    position = 0
    for number, dataset in enumerate(corpus.datasets):
        for batch in dataset.batches(None, ("source", "source_image_id"), rows=4096):
            rows = batch.table.to_pydict()
            for source, image in zip(rows["source"], rows["source_image_id"], strict=True):
                key = image_key(source or "", image or "")
                if key is not None:
                    positions.append(position)
                    digests += text_digest([key])
                    if number == 0 and key in lookup and corpus.cell(position).rank == TRAINING:
                        listed[position] = sorted(lookup[key])
                position += 1
    return np.array(positions, dtype=np.int64), digests_of([bytes(digests)]), listed


def refuse_twice(datasets: Sequence[Dataset]) -> None:
    """Comparing a dataset with itself under another path would find all of it.

    Raises:
        MmudError: MM001 when two folders are one.
    """
    from mmud import codes as usage

    seen = set()
    for dataset in datasets:
        real = dataset.path.resolve()
        if real in seen:
            raise MmudError(usage.USAGE, f"{dataset.path} is given twice: a dataset is compared with itself anyway")
        seen.add(real)
