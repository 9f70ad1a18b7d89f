"""How well `mmud leakage` finds copies of real images and texts, and what it costs: the tables of docs/leakage.md.

    python benchmarks/leakage.py IMAGES… [--captions captions_val2017.json]

IMAGES are folders of different photographs. Each is altered in every way of tests/dataset/altered_images.py; copies are the
training split, originals the test split. Recall is the share of copies that are reported with their own original; precision is
the share of reports that are right. "Most bits" and "least similarity" say how far copies go from their originals. Captions,
joined by image, are edited word by word; a copy is a near-duplicate when its Jaccard index with its original says so.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "dataset")]

from altered_images import ALTERATIONS  # noqa: E402

from mmud.annotations.shingles import WordHashes, jaccard, shingles_of, words_of  # noqa: E402
from mmud.commands.common import table  # noqa: E402
from mmud.dataset.image_hash import difference_hash  # noqa: E402
from mmud.dataset.leakage import codes  # noqa: E402
from mmud.dataset.leakage.alignment import similarities, thumbnail  # noqa: E402
from mmud.dataset.leakage.audit import AuditRequest, audit  # noqa: E402
from mmud.dataset.leakage.corpus import Corpus  # noqa: E402
from mmud.dataset.leakage.texts import text_matches  # noqa: E402
from mmud.dataset.writer import write_dataset  # noqa: E402
from mmud.records import ImageReference, Sample  # noqa: E402


def sample(sample_id: str, data: bytes = b"", caption: str = "") -> Sample:
    return Sample(sample_id=sample_id, image=ImageReference(bytes=data), width=1, height=1, source="", caption=caption)


def copies_of(files: dict[str, bytes]) -> Iterator[Sample]:
    draw = random.Random(0)
    for name, data in files.items():
        image = Image.open(io.BytesIO(data)).convert("RGB")
        for kind, alter in ALTERATIONS.items():
            yield sample(f"{name}|{kind}", alter(image, draw))


def images(folders: list[Path], work: Path) -> None:
    files: dict[str, bytes] = {}
    for file in sorted(file for folder in folders for file in folder.rglob("*.jpg")):
        # The same photograph may be in two folders.
        if file.read_bytes() not in files.values():
            files[str(file)] = file.read_bytes()
    splits = {"train": copies_of(files), "test": (sample(name, data) for name, data in files.items())}
    dataset = write_dataset(work / "images", splits)
    start = time.process_time()
    result = audit([dataset], AuditRequest(perceptual=True))
    spent = time.process_time() - start
    matches = result.matches[codes.IMAGE_NEARLY_LEAKS]
    names = result.corpus.names({position for match in matches for position in (match.leaked, match.counterpart)})
    found = {names[match.leaked]: (names[match.counterpart], match.score) for match in matches}
    margins = margins_of(files)
    rows = []
    for kind in ALTERATIONS:
        own = {name: other for name, other in found.items() if name.endswith(f"|{kind}")}
        right = [score for name, (other, score) in own.items() if name == f"{other}|{kind}"]
        bits, least = margins[kind]
        recall, precision = len(right) / len(files), len(right) / max(len(own), 1)
        rows.append([kind, f"{recall:.4f}", f"{precision:.4f}", bits, f"{least:.3f}"])
    right = [name for name, (other, _) in found.items() if name.rpartition("|")[0] == other]
    overall = [f"{len(right) / (len(files) * len(ALTERATIONS)):.4f}", f"{len(right) / len(found):.4f}"]
    rows.append(["all", *overall, "", ""])
    pairs = len(files) * (len(files) - 1)
    print(f"{len(files)} photographs, {len(files) * len(ALTERATIONS):,} copies; {pairs:,} wrong pairs an alteration")
    print(table(["alteration", "recall", "precision", "most bits", "least similarity"], rows))
    bits, most = margins["different photographs"]
    print(f"Different photographs: at least {bits} bits apart, similarity at most {most:.3f}.")
    print(f"{len(dataset):,} images looked at and compared in {spent:.1f} CPU s.")


def margins_of(files: dict[str, bytes]) -> dict[str, tuple[int, float]]:
    """How far hashes and similarities of copies go, and the nearest of different photographs."""
    draw = random.Random(1)
    plain = [Image.open(io.BytesIO(data)).convert("RGB") for data in files.values()]
    small = np.array([thumbnail(image.convert("L")) for image in plain])
    hashes = [difference_hash(image.convert("L")) for image in plain]
    found: dict[str, tuple[int, float]] = {}
    for kind, alter in ALTERATIONS.items():
        altered = [Image.open(io.BytesIO(alter(image, draw))).convert("L") for image in plain]
        bits = max((difference_hash(copy) ^ known).bit_count() for copy, known in zip(altered, hashes, strict=True))
        scores = similarities(np.array([thumbnail(copy) for copy in altered]), small)
        found[kind] = bits, float(scores.min())
    first, second = np.triu_indices(len(plain), 1)
    nearest = min((hashes[i] ^ hashes[j]).bit_count() for i, j in zip(first.tolist(), second.tolist(), strict=True))
    highest = max(
        float(similarities(small[first[start : start + 512]], small[second[start : start + 512]]).max())
        for start in range(0, len(first), 512)
    )
    found["different photographs"] = nearest, highest
    return found


def edited(words: list[str], draw: random.Random, share: float) -> list[str]:
    """Some words dropped, replaced or repeated, a third of ``share`` each."""
    found = []
    for word in words:
        chance = draw.random()
        if chance >= share / 3:
            found.append("thing" if chance < 2 * share / 3 else word)
        if chance > 1 - share / 3:
            found.append(word)
    return found


def captions(file: Path, work: Path) -> None:
    sentences = defaultdict(list)
    for entry in json.loads(file.read_bytes())["annotations"]:
        sentences[entry["image_id"]].append(entry["caption"])
    texts = [" ".join(part) for _, part in sorted(sentences.items())]
    draw = random.Random(0)
    half = len(texts) // 2
    rows = []
    for share in (0.02, 0.05, 0.1, 0.15, 0.2):
        left = [" ".join(edited(text.split(), draw, share)) for text in texts[:half]]
        splits = {
            "train": (sample(f"e{number}", caption=text) for number, text in enumerate(left)),
            "test": (sample(f"t{number}", caption=text) for number, text in enumerate(texts)),
        }
        corpus = Corpus([write_dataset(work / f"captions{share}", splits)])
        start = time.process_time()
        matches = text_matches(corpus)["caption"]
        spent = time.process_time() - start
        near = [*matches.near, *matches.same]
        hashes = WordHashes()
        sets = [[shingles_of(hashes(words_of(text))) for text in part] for part in (left, texts)]
        wanted = {number for number in range(half) if jaccard(sets[0][number], sets[1][number]) >= 0.7}
        own = {match.leaked for match in near if match.counterpart - half == match.leaked}
        others = len(near) - len(own)
        rows.append(
            [f"{share:.0%}", len(wanted), f"{len(own & wanted) / max(len(wanted), 1):.4f}", others, f"{spent:.1f}"]
        )
    print(
        f"{half:,} edited captions against {len(texts):,}, some {np.mean([len(text.split()) for text in texts]):.0f} words each"
    )
    print(
        table(["words edited", "near-duplicates (Jaccard >= 0.7)", "recall", "matched another caption", "CPU s"], rows)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="*")
    parser.add_argument("--captions", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        if options.images:
            images(options.images, Path(work))
        if options.captions:
            captions(options.captions, Path(work))


if __name__ == "__main__":
    main()
