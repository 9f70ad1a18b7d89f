"""pycocoevalcap's own scorers, one by one, as an oracle: BLEU, ROUGE-L, CIDEr, and with Java METEOR and SPICE.

Its evaluation class is not used: that builds every scorer before it scores anything, so that one missing model file stops
all of them. Its tokenizer's jar is called from here, because its wrapper writes temporary files into the installed package.
SPICE's wrapper downloads its models when they are missing; it is only built where they are found.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud import codes as general_codes
from mmud.errors import MmudError
from mmud.evaluators.captions import codes
from mmud.evaluators.captions.inputs import Missing, check_ids, check_text
from mmud.evaluators.captions.tokenizer import normalize_lines

Floats = NDArray[np.float64]
Texts = dict[str, list[str]]

#: In the order in which they run.
SCORERS = ("bleu", "rouge_l", "cider", "meteor", "spice")
_JAVA_PATIENCE = 60
_MODELS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
_MODELS_REMEDY = (
    "Copy both files there from Stanford CoreNLP 3.6.0 (stanford-corenlp-full-2015-12-09.zip of nlp.stanford.edu), or "
    "leave spice out of --scorers."
)


@dataclass(frozen=True, eq=False)
class OracleScores:
    """What the reference implementation says.

    Attributes:
        metrics: Name -> figure: bleu_1 to bleu_4, rouge_l, cider_d, meteor, spice.
        per_image: The same names -> the figure of each image, in the order of ``ids``.
        ids: The images.
        skipped: Scorers that were not asked for by name and cannot run here -> why.
    """

    metrics: dict[str, float]
    per_image: dict[str, Floats]
    ids: tuple[str, ...]
    skipped: dict[str, str] = field(default_factory=dict)


def package_folder() -> Path | None:
    """Where pycocoevalcap is installed; None where it is not. Nothing of it is imported."""
    found = importlib.util.find_spec("pycocoevalcap")
    locations = list(found.submodule_search_locations or []) if found is not None else []
    return Path(locations[0]) if locations else None


@functools.cache
def java_works() -> bool:
    """Whether a Java runtime starts; on some systems ``java`` is there and only offers to install one."""
    program = shutil.which("java")
    if program is None:
        return False
    try:
        answer = subprocess.run([program, "-version"], capture_output=True, timeout=_JAVA_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def why_not(scorer: str) -> str | None:
    """Why a scorer cannot run on this machine; None where it can."""
    folder = package_folder()
    if folder is None:
        return "pycocoevalcap is not installed"
    if scorer in ("meteor", "spice", "tokenizer") and not java_works():
        return "there is no working Java runtime"
    if scorer == "spice":
        absent = [name for name in _MODELS if not (folder / "spice" / "lib" / name).is_file()]
        if absent:
            return f"{', '.join(absent)} not in {folder / 'spice' / 'lib'}"
        if not os.access(folder / "spice", os.W_OK):
            return f"it writes into {folder / 'spice'}, which is read-only"
    return None


def java_tokens(captions: Sequence[str]) -> list[str]:
    """Captions as the Stanford tokenizer and pycocoevalcap's list of punctuation leave them: tokens joined by spaces.

    Line separators inside captions become spaces first, so that the lines stay in step.

    Raises:
        MmudError: MM859 when pycocoevalcap or Java is missing, or Java fails.
    """
    _require("tokenizer")
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

    jar = Path(str(package_folder())) / "tokenizer" / STANFORD_CORENLP_3_4_1_JAR
    lines = [normalize_lines(caption) for caption in captions]
    with tempfile.TemporaryDirectory(prefix="mmud-captions-") as folder:
        source = Path(folder) / "captions.txt"
        source.write_bytes("\n".join(lines).encode("utf-8", "replace"))
        command = ["java", "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
        answer = subprocess.run([*command, source.name], cwd=folder, capture_output=True, check=False)
    tokenized = answer.stdout.decode("utf-8", "replace").split("\n")
    if answer.returncode != 0 or len(tokenized) != len(lines):
        reason = answer.stderr.decode("utf-8", "replace").strip()[-300:]
        message = f"the Java tokenizer gave {len(tokenized)} lines for {len(lines)} captions: {reason}"
        raise MmudError(codes.ORACLE_MISSING, message)
    punctuation = frozenset(PUNCTUATIONS)
    return [" ".join(token for token in line.rstrip().split(" ") if token not in punctuation) for line in tokenized]


def score_with_pycocoevalcap(
    references: Mapping[str, Sequence[str]],
    candidates: Mapping[str, str],
    scorers: Sequence[str] | None = None,
    missing: Missing = "refuse",
) -> OracleScores:
    """Tokenise with Java and run the scorers of pycocoevalcap.

    Args:
        references: Image id -> reference captions.
        candidates: Image id -> caption.
        scorers: Some of `SCORERS`; each must be able to run. None: all that can run here, and the others are reported.
        missing: As in `score_captions`.

    Raises:
        MmudError: MM004 for a scorer that is none; MM859 (exit code 4) when pycocoevalcap, Java or what a scorer asked for
            needs is missing, or when it fails; and what `score_captions` raises for unusable ids and captions.
    """
    check_ids(references, candidates, missing)
    skipped: dict[str, str] = {}
    chosen = SCORERS if scorers is None else tuple(scorers)
    for scorer in chosen:
        reason = why_not(scorer)
        if reason is not None and scorers is None and scorer in ("meteor", "spice"):
            skipped[scorer] = reason
        else:
            _require(scorer)
    ids = tuple(references)
    expected, said = _tokenized(references, candidates)
    metrics: dict[str, float] = {}
    per_image: dict[str, Floats] = {}
    for scorer in chosen:
        if scorer not in skipped:
            for name, (figure, values) in _run(scorer, expected, said).items():
                metrics[name], per_image[name] = figure, values
    return OracleScores(metrics, per_image, ids, skipped)


def _require(scorer: str) -> None:
    if scorer not in (*SCORERS, "tokenizer"):
        hint = f"Known: {', '.join(SCORERS)}."
        raise MmudError(general_codes.UNKNOWN_NAME, f"no scorer is called {scorer!r}", hint=hint)
    reason = why_not(scorer)
    if reason is not None:
        remedy = _MODELS_REMEDY if scorer == "spice" and _MODELS[1] in reason else None
        raise MmudError(codes.ORACLE_MISSING, f"{scorer} cannot run: {reason}", hint=remedy)


def _tokenized(references: Mapping[str, Sequence[str]], candidates: Mapping[str, str]) -> tuple[Texts, Texts]:
    # In two runs, as the usual evaluation does it: the last line of a run has no next line to look at.
    flat = [check_text(caption, name, "reference") for name, captions in references.items() for caption in captions]
    lines = iter(java_tokens(flat))
    expected = {name: [next(lines) for _ in captions] for name, captions in references.items()}
    texts = [check_text(candidates.get(name, ""), name, "caption") for name in references]
    said = {name: [line] for name, line in zip(references, java_tokens(texts), strict=True)}
    if not any(line for captions in expected.values() for line in captions):
        raise MmudError(codes.REFERENCES_UNUSABLE, "no reference of any image has a word")
    return expected, said


Outcome = dict[str, tuple[float, Floats]]


def _run(scorer: str, expected: Texts, said: Texts) -> Outcome:
    runners: dict[str, Callable[[Texts, Texts], Outcome]] = {
        "bleu": _bleu,
        "rouge_l": _rouge,
        "cider": _cider,
        "meteor": _meteor,
        "spice": _spice,
    }
    try:
        return runners[scorer](expected, said)
    except (OSError, ValueError, subprocess.SubprocessError, AssertionError) as error:
        message = f"{scorer} failed: {type(error).__name__}: {error}"
        raise MmudError(codes.ORACLE_MISSING, message) from error


def _bleu(expected: Texts, said: Texts) -> Outcome:
    from pycocoevalcap.bleu.bleu import Bleu

    figures, values = Bleu(4).compute_score(expected, said, verbose=0)
    return {f"bleu_{n}": (float(figures[n - 1]), np.asarray(values[n - 1])) for n in range(1, 5)}


def _rouge(expected: Texts, said: Texts) -> Outcome:
    from pycocoevalcap.rouge.rouge import Rouge

    figure, values = Rouge().compute_score(expected, said)
    return {"rouge_l": (float(figure), np.asarray(values))}


def _cider(expected: Texts, said: Texts) -> Outcome:
    from pycocoevalcap.cider.cider import Cider

    figure, values = Cider().compute_score(expected, said)
    return {"cider_d": (float(figure), np.asarray(values))}


def _meteor(expected: Texts, said: Texts) -> Outcome:
    from pycocoevalcap.meteor.meteor import Meteor

    scorer: Any = Meteor()
    try:
        figure, values = scorer.compute_score(expected, said)
    finally:
        # The wrapper leaves its pipes open until it is collected, and then waits for a lock that a failure leaves shut.
        if scorer.lock.locked():
            scorer.lock.release()
        process = scorer.meteor_p
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()
    return {"meteor": (float(figure), np.asarray(values, dtype=np.float64))}


def _spice(expected: Texts, said: Texts) -> Outcome:
    from pycocoevalcap.spice.spice import Spice

    figure, details = Spice().compute_score(expected, said)
    # It answers in the order of the sorted ids.
    by_image = dict(zip(sorted(expected), (entry["All"]["f"] for entry in details), strict=True))
    return {"spice": (float(figure), np.array([by_image[name] for name in expected]))}
