"""Throughput: `mmud predict`'s way against the port of the published way, same weights, same outputs, in one run.

Both sides read and decode the same images; writing predictions is in neither. CPU seconds of one thread on a CPU, wall seconds on
a GPU. The ways take turns, and the least of their times counts.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from claims_runs import Lines, NoComparison
from measuring import cpu_seconds
from published_way import PublishedWay, Said, eager_attention

from mmud.annotations.masks import Mask
from mmud.baselines.base import Output
from mmud.baselines.inputs import DatasetInputs
from mmud.baselines.neural_tuning.answering import Answerer
from mmud.baselines.neural_tuning.config import NeuralTuningConfig
from mmud.baselines.neural_tuning.features import pixels_of
from mmud.baselines.neural_tuning.generating import generate
from mmud.baselines.neural_tuning.interfaces import ImageDecoder
from mmud.baselines.neural_tuning.model import NeuralTuningModel
from mmud.baselines.neural_tuning.options import NeuralTuningOptions
from mmud.baselines.neural_tuning.presets import CLIP_VIT_L_14, LLAMA_2_7B, numbered_tokenizer
from mmud.baselines.neural_tuning.vision import TransformersTower
from mmud.records import Sample, Task

CLAIM, AIM = 2.1, 10.0
PUBLISHED, CACHED, OURS = "published way", "one by one, with cache", "mmud predict"
MASK_SHARE, FEATURE_GAP = 1e-3, 1e-3
"""What rounding may do: a share of a mask's pixels that lie at the edge of being set; a feature's largest relative difference."""


class Different(NoComparison):
    """The ways do not give the same outputs, so their speeds compare nothing."""


@dataclass(frozen=True)
class Timing:
    """One task, or all of them together.

    Attributes:
        samples, tokens: answered and generated.
        seconds: way -> the least of its runs.
        differing_pixels: of all masks, as a share.
    """

    task: str
    samples: int
    tokens: int
    seconds: Mapping[str, float]
    differing_pixels: float = 0.0

    @property
    def ratio(self) -> float:
        return self.seconds[PUBLISHED] / self.seconds[OURS]


def seconds_of(run: Callable[[], Any], device: torch.device) -> float:
    """CPU seconds on a CPU; on an accelerator wall seconds, all its work done."""
    if device.type == "cpu":
        start = cpu_seconds()
        run()
        return cpu_seconds() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


class Comparison:
    """The three ways on one model.

    Args:
        model: switched to evaluation, in fp32: only then are outputs the same.
        decoder: draws images; None for features alone.
        inputs: what is asked.
        options: of predicting.
        samples: the first of the split; None for all.
    """

    def __init__(
        self,
        model: NeuralTuningModel,
        decoder: ImageDecoder | None,
        inputs: DatasetInputs,
        options: NeuralTuningOptions,
        samples: int | None = None,
    ) -> None:
        self._model = model
        self._decoder = decoder
        self._inputs = inputs
        self._options = options
        self._samples = samples

    def stream(self, task: Task, count: int | None = None) -> Iterator[Sample]:
        asked = self._inputs.samples(task, images=True, labels=False)
        return islice((sample for _, sample in asked), self._samples if count is None else count)

    def ours(self, task: Task, count: int | None = None) -> dict[str, Output]:
        answerer = Answerer(self._model, self._decoder, self._options, 0)
        return {one.prediction.sample_id: one for one in answerer.outputs(self.stream(task, count), task)}

    def cached(self, task: Task, count: int | None = None) -> dict[str, Output]:
        options = self._options.model_copy(update={"predict_batch": 1})
        answerer = Answerer(self._model, self._decoder, options, 0)
        return {one.prediction.sample_id: one for one in answerer.outputs(self.stream(task, count), task)}

    def published(self, task: Task, count: int | None = None) -> dict[str, Said]:
        way = PublishedWay(self._model, self._decoder, self._options.phrasing, self._options.max_new_tokens)
        with eager_attention(self._model):
            return {sample.sample_id: way.answer(sample, task) for sample in self.stream(task, count)}

    def timing(self, task: Task, repeats: int) -> Timing:
        """The three ways on one task.

        Raises:
            Different: when their outputs are not the same.
        """
        ways: dict[str, Callable[[Task, int | None], Any]] = {
            PUBLISHED: self.published,
            CACHED: self.cached,
            OURS: self.ours,
        }
        seconds = dict.fromkeys(ways, math.inf)
        found: dict[str, Any] = {}
        for run in ways.values():
            # Whatever is loaded or compiled at first use is nobody's speed.
            run(task, 2)
        for _ in range(repeats):
            for name, run in ways.items():

                def once(name: str = name, run: Callable[[Task, int | None], Any] = run) -> None:
                    found[name] = run(task, None)

                gc.collect()
                seconds[name] = min(seconds[name], seconds_of(once, self._model.device))
        pixels = require_same(found[OURS], found[PUBLISHED], task)
        require_same(found[CACHED], found[PUBLISHED], task)
        said = found[PUBLISHED].values()
        return Timing(task.value, len(said), sum(one.tokens for one in said), seconds, pixels)


def require_same(ours: Mapping[str, Output], theirs: Mapping[str, Said], task: Task) -> float:
    """Compare every output of a task; the share of mask pixels that differ by rounding.

    Raises:
        Different: when a text differs, a mask is there on one side alone or differs by more than `MASK_SHARE` of its pixels, or
            a feature by more than `FEATURE_GAP` of its largest number.
    """
    if ours.keys() != theirs.keys():
        raise Different(f"{task.value}: other samples were answered")
    differing = pixels = 0
    for name, output in ours.items():
        said, prediction = theirs[name], output.prediction
        text = {Task.CAPTIONING: prediction.caption, Task.REASONING_SEGMENTATION: prediction.answer}.get(task)
        if text is not None and text != said.text:
            raise Different(f"{task.value}, {name}: {text!r} and {said.text!r}")
        masks = {
            number if mask.tag is None else mask.tag: mask.segmentation
            for number, mask in enumerate(prediction.masks or ())
            if mask.segmentation is not None
        }
        if masks.keys() != said.masks.keys():
            raise Different(f"{task.value}, {name}: masks {sorted(masks)} and {sorted(said.masks)}")
        for number, segmentation in masks.items():
            mask = said.masks[number]
            apart = int((Mask.of(segmentation, *mask.shape).decode().astype(bool) != mask).sum())
            if apart > MASK_SHARE * mask.size:
                raise Different(f"{task.value}, {name}: mask {number} differs in {apart} of {mask.size} pixels")
            differing, pixels = differing + apart, pixels + mask.size
        if task is Task.GENERATION:
            _require_same_feature(prediction.feature, said.feature, name)
    return differing / pixels if pixels else 0.0


def _require_same_feature(ours: Sequence[float] | None, theirs: Any, name: str) -> None:
    if ours is None or theirs is None:
        raise Different(f"generation, {name}: a feature is missing")
    gap = float(np.abs(np.asarray(ours) - theirs).max() / max(np.abs(theirs).max(), 1e-12))
    if gap > FEATURE_GAP:
        raise Different(f"generation, {name}: features differ by {gap:.1e} of the largest number")


class Kept:
    """Timings on disk: a task that was measured for the same model, samples and way of measuring is not measured again."""

    def __init__(self, file: Path, key: Mapping[str, Any]) -> None:
        self._lines = Lines(file)
        self._key = dict(key)
        rows = [row["timing"] for row in self._lines.read() if row.get("key") == self._key]
        self.timings = {row["task"]: Timing(**row) for row in rows}

    def add(self, timing: Timing) -> None:
        self._lines.append({"key": self._key, "timing": asdict(timing)})
        self.timings[timing.task] = timing


def together(timings: Sequence[Timing]) -> Timing:
    """The sums over tasks."""
    seconds = {way: sum(one.seconds[way] for one in timings) for way in timings[0].seconds}
    samples, tokens = sum(one.samples for one in timings), sum(one.tokens for one in timings)
    return Timing("all four", samples, tokens, seconds, max(one.differing_pixels for one in timings))


def table(timings: Sequence[Timing], unit: str) -> str:
    """Samples and tokens a second of each way, as Markdown."""
    ways = (PUBLISHED, CACHED, OURS)
    header = ["task", "answers", "tokens", *(f"{way}: answers/s, tokens/s" for way in ways), "ratio", "of it by cache"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for one in timings:
        rates = [f"{one.samples / one.seconds[way]:,.2f}, {one.tokens / one.seconds[way]:,.0f}" for way in ways]
        cells = [one.task.replace("_", " "), str(one.samples), f"{one.tokens:,}", *rates, f"{one.ratio:.1f}"]
        lines.append("| " + " | ".join([*cells, f"{one.seconds[PUBLISHED] / one.seconds[CACHED]:.1f}"]) + " |")
    pixels = max(one.differing_pixels for one in timings)
    same = "All texts, masks and features are the same on all sides"
    same += "." if not pixels else f", but for {pixels:.1g} of the masks' pixels, which lie at the edge of being set."
    return "\n".join(lines) + f"\n\nA second is a {unit} second. {same}"


def verdict(whole: Timing) -> str:
    claim = "holds" if whole.ratio >= CLAIM else "does not hold"
    aim = "reached" if whole.ratio >= AIM else "missed"
    return f"All four tasks: {whole.ratio:.1f} times. The claim ({CLAIM:g} times) {claim}; our aim ({AIM:g}) is {aim}."


def as_data(timings: Sequence[Timing]) -> list[dict[str, Any]]:
    return [{**asdict(one), "ratio": one.ratio} for one in timings]


# -- at the paper's size ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Large:
    """Throughput of a model with random weights: what it says means nothing, how long that takes is the same.

    Attributes:
        answers, tokens: how many answers, and of how many tokens each.
        ours, theirs: seconds, images encoded.
        same: the share of tokens that both ways gave. In bf16 ties between random tokens are broken by rounding, so it is shown
            and not required.
        parameters, memory: of the language model; the most bytes on the device, 0 where it does not say.
    """

    answers: int
    tokens: int
    ours: float
    theirs: float
    same: float
    parameters: int
    memory: int

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours

    def text(self) -> str:
        count = self.answers * self.tokens
        return (
            f"Random weights, {self.parameters:,} parameters, {self.answers} captions of {self.tokens} tokens: "
            f"{count / self.ours:,.1f} tokens/s against {count / self.theirs:,.1f}, {self.ratio:.1f} times; "
            f"{100 * self.same:.0f} % of the tokens are the same; {self.memory / 2**30:.1f} GiB."
        )


def build_large(
    device: str, language: Mapping[str, Any] = LLAMA_2_7B, vision: Mapping[str, Any] = CLIP_VIT_L_14, dtype: Any = None
) -> NeuralTuningModel:
    """The preset ``default`` at any size, with random weights, made on the device itself."""
    import transformers

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype or torch.bfloat16)
    try:
        with torch.device(device):
            text = transformers.LlamaForCausalLM(transformers.LlamaConfig(**language))
    finally:
        torch.set_default_dtype(before)
    with torch.device(device):
        seen = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**vision))
    config = NeuralTuningConfig.from_preset("default")
    tokenizer = numbered_tokenizer(int(language["vocab_size"]))
    made = NeuralTuningModel(text, tokenizer, TransformersTower(seen.eval()), config)
    return made.to(device).eval()


def large(model: NeuralTuningModel, samples: Sequence[Sample], tokens: int) -> Large:
    """Captions of a fixed length for some samples, by both ways."""
    device = model.device
    asked = [model.wording.instances(sample, Task.CAPTIONING, with_answer=False)[0] for sample in samples]
    found: dict[str, list[list[int]]] = {}

    def ours() -> None:
        features = model.image_features([pixels_of(sample) for sample in samples])
        batch = model.collate(asked, features, for_generation=True).to(device)
        found[OURS] = generate(model, batch, [tokens] * len(asked), [])

    def theirs() -> None:
        way = PublishedWay(model)
        found[PUBLISHED] = [
            way.generated(instance, model.image_features([pixels_of(sample)])[0], limit=tokens, stops=False)
            for instance, sample in zip(asked, samples, strict=True)
        ]

    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
        ours()
        mine = seconds_of(ours, device)
        with eager_attention(model):
            PublishedWay(model).generated(asked[0], model.image_features([pixels_of(samples[0])])[0], 2, stops=False)
            other = seconds_of(theirs, device)
    pairs = [
        a == b for one, two in zip(found[OURS], found[PUBLISHED], strict=True) for a, b in zip(one, two, strict=True)
    ]
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    parameters = sum(weight.numel() for weight in model.language_model.parameters())
    return Large(len(samples), tokens, mine, other, float(np.mean(pairs)), parameters, memory)
