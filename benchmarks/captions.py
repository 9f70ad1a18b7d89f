"""Caption metrics against pycocoevalcap: CPU seconds of the whole process tree, Java included.

    python benchmarks/captions.py                                  synthetic captions, made here from a seed
    python benchmarks/captions.py --captions captions_val2017.json real ones, drawn at random from a COCO file
    python benchmarks/captions.py --lengths                        no timing: what cutting words off costs in each metric

Each measurement runs in a process of its own with its inputs loaded beforehand, so that nothing is warm and reading files
does not count. pycocoevalcap tokenises and computes CIDEr alone; ours tokenises and computes every metric it has.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import Row, cpu_seconds, faster, one_thread

one_thread()


@dataclass(frozen=True)
class Work:
    """What is scored: how many images, how many references each, and how many words a caption."""

    title: str
    images: int
    references: int
    words: int


WORKS = {
    "short": Work("40,504 images, 5 references, 13 words", 40_504, 5, 13),
    "long": Work("1,403 images, 1 reference, 94 words", 1_403, 1, 94),
}


def synthetic_sentences(count: int, draw: random.Random) -> list[str]:
    """Sentences of 12 words and a full stop; content words as skewed as in real captions, function words around them."""
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    lexicon = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(12_000)]
    frame = "A {} {} is {} on the {} {}{} near a {}."

    def word() -> str:
        return lexicon[min(int(draw.paretovariate(0.6)) - 1, len(lexicon) - 1)]

    def joint() -> str:
        return draw.choice(["", "", ",", "'s"])

    return [frame.format(word(), word(), word(), word(), word(), joint(), word()) for _ in range(count)]


def build(work: Work, sentences: Sequence[str], seed: int) -> tuple[dict[str, list[str]], dict[str, str]]:
    """References of about the number of words wanted; a candidate that shares sentences or words with one of them."""
    draw = random.Random(seed)
    mean = sum(len(sentence.split()) for sentence in sentences) / len(sentences)
    per_caption = max(1, round(work.words / mean))
    references, candidates = {}, {}
    for index in range(work.images):
        name = str(index)
        groups = [draw.sample(sentences, per_caption) for _ in range(work.references)]
        references[name] = [" ".join(group) for group in groups]
        if per_caption > 1:
            kept = groups[0][: draw.randint(per_caption // 2, per_caption)]
            candidates[name] = " ".join([*kept, *draw.sample(sentences, per_caption - len(kept))])
        else:
            candidates[name] = draw.choice([references[name][0], draw.choice(sentences)])
    return references, candidates


def ours(references: dict[str, list[str]], candidates: dict[str, str]) -> Callable[[], float]:
    from mmud.evaluators.captions.score import score_captions

    return lambda: score_captions(references, candidates).metrics["cider_d"]


def theirs(references: dict[str, list[str]], candidates: dict[str, str]) -> Callable[[], float]:
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    expected = {name: [{"caption": caption} for caption in group] for name, group in references.items()}
    said = {name: [{"caption": caption}] for name, caption in candidates.items()}

    def score() -> float:
        tokenizer = PTBTokenizer()
        return float(Cider().compute_score(tokenizer.tokenize(expected), tokenizer.tokenize(said))[0])

    return score


def bootstrap(references: dict[str, list[str]], candidates: dict[str, str]) -> Callable[[], float]:
    """1,000 replicates of every metric, from rows that are there already."""
    import numpy as np

    from mmud.evaluators.captions.columns import weighted_sums
    from mmud.evaluators.captions.metrics import METRICS_FROM_SUMS, metric_from_sums
    from mmud.evaluators.captions.score import score_captions

    columns = score_captions(references, candidates).columns
    images = len(columns)

    def replicate() -> float:
        weights = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), 1000)
        sums = weighted_sums(columns, weights)
        return float(np.mean([metric_from_sums(name, sums).mean() for name in METRICS_FROM_SUMS]))

    return replicate


SIDES = {"mmud": ours, "pycocoevalcap": theirs, "bootstrap": bootstrap}


def measure_here(side: str, inputs: Path) -> None:
    """Run one side on inputs in a file and print what it took; called in a process of its own."""
    content = json.loads(inputs.read_text())
    work = SIDES[side](content["references"], content["candidates"])
    before = cpu_seconds()
    figure = work()
    spent = cpu_seconds() - before
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": spent, "figure": figure, "memory": memory}))


def measure(side: str, inputs: Path, repeat: int) -> dict[str, Any]:
    """The least of several runs."""
    runs = []
    for _ in range(repeat):
        command = [sys.executable, __file__, "--measure", side, "--inputs", str(inputs)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        runs.append(json.loads(answer.stdout.splitlines()[-1]))
    return min(runs, key=lambda run: run["cpu"])


def measure_work(
    work: Work, sentences: Sequence[str], seed: int, repeat: int, sides: Sequence[str] = tuple(SIDES)
) -> dict[str, dict[str, Any]]:
    """Each side on one work: its CPU seconds, figure and memory.

    Raises:
        SystemExit: when there is no Java, which pycocoevalcap's tokenizer is written in.
    """
    if shutil.which("java") is None:
        raise SystemExit("pycocoevalcap's tokenizer needs Java: install a runtime to compare with it")
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "captions.json"
        references, candidates = build(work, sentences, seed)
        inputs.write_text(json.dumps({"references": references, "candidates": candidates}))
        return {side: measure(side, inputs, repeat) for side in sides}


def compared_row(work: Work, repeat: int, seed: int = 0) -> Row:
    """Tokenising and all our metrics against tokenising and CIDEr; the same CIDEr-D or the run stops."""
    sentences = synthetic_sentences(25_000, random.Random(seed))
    found = measure_work(work, sentences, seed, repeat, ("mmud", "pycocoevalcap"))
    us, them = found["mmud"], found["pycocoevalcap"]
    if abs(us["figure"] - them["figure"]) > 5e-4:
        raise SystemExit(f"CIDEr-D: ours {us['figure']}, the peer's {them['figure']}")
    what = f"captions of {work.title}, tokenising and all metrics, against pycocoevalcap's PTBTokenizer + CIDEr"
    return faster(what, us["cpu"], them["cpu"], 5)


def print_lengths(seed: int) -> None:
    """Captions that are the beginning of their only reference of 90 words: all right, only shorter."""
    from mmud.evaluators.captions.score import score_tokens

    draw = random.Random(seed)
    references = {str(index): [[f"w{draw.randint(0, 900)}" for _ in range(90)]] for index in range(50)}
    names = ("cider_d", "cider", "bleu_4", "rouge_l")
    print(f"| words kept | {' | '.join(names)} |\n|---|---|---|---|---|")
    for kept in (90, 85, 80, 75, 70):
        figures = score_tokens(references, {name: group[0][:kept] for name, group in references.items()}).metrics
        print(f"| {kept} | {' | '.join(f'{figures[name]:.2f}' for name in names)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, help="a COCO captions file to draw captions from")
    parser.add_argument("--work", choices=[*WORKS, "all"], default="all")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each measurement; the least counts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lengths", action="store_true", help="print the length table instead")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--measure", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure_here(options.measure, options.inputs)
        return
    if options.lengths:
        print_lengths(options.seed)
        return
    if options.captions:
        annotations = json.loads(options.captions.read_text())["annotations"]
        sentences = [" ".join(annotation["caption"].split()) for annotation in annotations]
    else:
        sentences = synthetic_sentences(25_000, random.Random(options.seed))
    rows: list[dict[str, Any]] = []
    for name in WORKS if options.work == "all" else [options.work]:
        found = measure_work(WORKS[name], sentences, options.seed, options.repeat)
        rows.append({"work": WORKS[name].title, **found})
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("| work | pycocoevalcap: tokenizer + CIDEr | mmud: tokenizer + all metrics | times faster |", end="")
    print(" CIDEr-D differs by | 1,000 bootstrap replicates | memory (theirs, ours) |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        them, us = row["pycocoevalcap"], row["mmud"]
        print(
            f"| {row['work']} | {them['cpu']:.2f} CPU-s | {us['cpu']:.2f} CPU-s | {them['cpu'] / us['cpu']:.1f}"
            f" | {abs(them['figure'] - us['figure']):.1e} | {row['bootstrap']['cpu']:.2f} CPU-s"
            f" | {them['memory']:.0f} MB, {us['memory']:.0f} MB |"
        )


if __name__ == "__main__":
    main()
