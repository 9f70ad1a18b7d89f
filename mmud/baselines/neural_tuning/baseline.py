"""Neural tuning as a baseline, and the arms beside it: the same heads, data and budget, another adapter.

Light: torch and transformers are imported when something is fitted or answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mmud import codes as general_codes
from mmud.baselines.base import Baseline, Description, FitRun, Options, Output
from mmud.baselines.neural_tuning.options import Arm, NeuralTuningOptions, settings_of
from mmud.dataset.store import Dataset
from mmud.errors import MmudError
from mmud.records import Sample, Task

if TYPE_CHECKING:
    from mmud.baselines.neural_tuning.answering import Answerer
    from mmud.baselines.neural_tuning.fitting import Fitted


PAPERS_BACKBONES = ("meta-llama/Llama-2-7b-hf", "openai/clip-vit-large-patch14")


def require_packages() -> None:
    """What fitting and answering need.

    Raises:
        MmudError: MM007 naming the first package that is missing.
    """
    import importlib.util

    for package in ("torch", "transformers", "safetensors"):
        if importlib.util.find_spec(package) is None:
            message = f"neural tuning needs the package {package}"
            raise MmudError(general_codes.DEPENDENCY_MISSING, message, hint='pip install "mmud[baselines]"')


class NeuralTuning(Baseline):
    """A frozen language model, adapted to four tasks at once by the sparse task network (arXiv 2408.03001)."""

    name: ClassVar[str] = "neural-tuning"
    title: ClassVar[str] = "a frozen language model adapted to all four tasks by a sparse task network"
    needs_fitting: ClassVar[bool] = True
    options_class: ClassVar[type[Options]] = NeuralTuningOptions
    arm: ClassVar[Arm] = "stn"
    options: NeuralTuningOptions

    def __init__(self, options: Mapping[str, Any] | None = None, seed: int = 0) -> None:
        super().__init__(options, seed)
        # A wrong preset or setting is told before anything is loaded.
        settings_of(self.options, self.arm)
        self._fitted: Fitted | None = None
        self._answerer: Answerer | None = None

    def fit(self, dataset: Dataset, run: FitRun) -> None:
        require_packages()
        from mmud.baselines.neural_tuning.fitting import fit

        self._fitted = fit(self.options, self.arm, self.name, dataset, run)
        self._answerer = None

    def save(self, folder: Path) -> None:
        self._ready().save(folder)

    def load(self, folder: Path) -> None:
        require_packages()
        from mmud.baselines.neural_tuning.fitting import load_fitted

        self._fitted = load_fitted(folder, self.options, self.arm)
        self._answerer = None

    def predict(self, samples: Iterator[Sample], task: Task) -> Iterator[Output]:
        if self._answerer is None:
            from mmud.baselines.neural_tuning.answering import Answerer
            from mmud.baselines.neural_tuning.backbones import load_image_decoder

            model = self._ready().model
            decoder = load_image_decoder(model.config.backbones, str(model.device))
            self._answerer = Answerer(model, decoder, self.options, self.seed)
        yield from self._answerer.outputs(samples, task)

    def _ready(self) -> Fitted:
        if self._fitted is None:
            raise RuntimeError(f"{self.name} was neither fitted nor loaded")
        return self._fitted

    def parameters(self) -> dict[str, Any]:
        require_packages()
        config = settings_of(self.options, self.arm)
        from mmud.baselines.neural_tuning.fitting import build
        from mmud.baselines.neural_tuning.presets import describe_preset

        backbones = (config.backbones.language_model, config.backbones.vision_tower)
        if backbones == PAPERS_BACKBONES:
            # Their sizes are known without their files.
            report: dict[str, Any] = describe_preset(config.preset, config)["report"]
            return report
        return build(config, self.options)[0].report()

    def describe(self) -> Description:
        fitted = self._ready()
        report = fitted.model.report()
        details: dict[str, Any] = {
            "adapter": fitted.model.config.adapter,
            "preset": fitted.model.config.preset,
            "steps": fitted.train.get("steps"),
            "selected": fitted.train.get("selected"),
            "weights": fitted.train.get("weights"),
            "frozen_parts": fitted.parts.digests,
            "trainable_without_embeddings": report["trainable_without_embeddings"],
        }
        return Description(
            parameters=report["frozen_total"] + report["trainable_total"],
            trainable_parameters=report["trainable"],
            needs=("torch", "transformers"),
            details=details,
        )


class Lora(NeuralTuning):
    """The same with LoRA in place of the sparse task network; without a rank, of as many parameters as that would have."""

    name: ClassVar[str] = "lora"
    title: ClassVar[str] = "neural tuning's heads and data with LoRA as the adapter, at the same number of parameters"
    arm: ClassVar[Arm] = "lora"


class HeadsOnly(NeuralTuning):
    """The same without any adapter: the language model stays as it is."""

    name: ClassVar[str] = "heads-only"
    title: ClassVar[str] = "neural tuning's heads and data without an adapter"
    arm: ClassVar[Arm] = "none"


class Full(NeuralTuning):
    """The same with the whole language model trained; for small ones."""

    name: ClassVar[str] = "full"
    title: ClassVar[str] = "neural tuning's heads and data with every weight of the language model trained"
    arm: ClassVar[Arm] = "full"
