"""The scenes world as a source of samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from mmud.annotations.masks import Mask
from mmud.dataset.sources.base import Converted, Item, Source
from mmud.dataset.sources.scenes import codes
from mmud.dataset.sources.scenes.config import WORLD_VERSION, ScenesConfig, config_from
from mmud.dataset.sources.scenes.png import encode_png
from mmud.dataset.sources.scenes.vocabulary import ATTRIBUTES, SHAPES
from mmud.dataset.sources.scenes.world import Scene, generate, sample_id
from mmud.errors import MmudError, Place
from mmud.records import ImageReference, MaskedObject, Sample

LICENSE: Final = "CC0-1.0"
DEFAULT_SAMPLES: Final = 1000
MAX_SAMPLES: Final = 100_000_000

_GOLDEN: Final = 0x9E3779B97F4A7C15
_ONE: Final = 1 << 64


def split_of(config: ScenesConfig, index: int) -> str:
    """The split of a scene: a function of its index and the shares alone.

    Multiples of the golden ratio fill the unit interval evenly, so that the first n indices hold the shares for every n, to a few
    samples; a dataset that grows keeps the split of each of its scenes.
    """
    position = ((index + 1) * _GOLDEN) % _ONE
    if position < config.test_share * _ONE:
        return "test"
    return "valid" if position < (config.test_share + config.valid_share) * _ONE else "train"


class ScenesSource(Source):
    """``samples`` scenes of one world, from index ``first`` on.

    Args:
        config: The world's settings.
        samples: How many scenes.
        first: Index of the first one.
    """

    name: ClassVar[str] = "scenes"

    def __init__(self, config: ScenesConfig, samples: int = DEFAULT_SAMPLES, first: int = 0) -> None:
        self.config = config
        self.samples = _whole("samples", samples, 1, MAX_SAMPLES)
        self.first = _whole("first", first, 0, 2**62)

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> ScenesSource:
        """From ``samples``, ``first``, ``preset`` and any setting of :class:`ScenesConfig`.

        Raises:
            MmudError: MM770 to MM773.
        """
        rest = dict(options)
        samples, first = rest.pop("samples", DEFAULT_SAMPLES), rest.pop("first", 0)
        return cls(config_from(rest), samples, first)

    def options(self) -> dict[str, Any]:
        return {"samples": self.samples, "first": self.first, **self.config.to_dict()}

    def items(self) -> Iterator[Item]:
        for index in range(self.first, self.first + self.samples):
            key = sample_id(self.config, index)
            yield Item(key, split_of(self.config, index), f"scenes:{self.config.seed}:{index}", index)

    def convert(self, item: Item) -> Converted:
        return Converted(sample_of(generate(self.config, item.payload)))

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": "Scenes, a synthetic world of coloured shapes",
            "license": LICENSE,
            "homepage": "",
            "citation": "",
            "files": {},
            "world_version": WORLD_VERSION,
        }


def sample_of(scene: Scene) -> Sample:
    """A scene as a sample: PNG bytes, visible masks as run lengths, shapes as categories, attributes in the provenance."""
    objects = []
    for thing, phrases in zip(scene.objects, scene.phrases, strict=True):
        mask = Mask.from_array(scene.mask(thing.index))
        objects.append(
            MaskedObject(
                phrases=phrases,
                segmentation=mask.to_record(),
                bbox=thing.bbox,
                area=thing.area,
                category=thing.shape,
                category_id=SHAPES.index(thing.shape) + 1,
            )
        )
    return Sample(
        sample_id=scene.sample_id,
        image=ImageReference(bytes=encode_png(scene.image)),
        width=scene.config.width,
        height=scene.config.height,
        source=ScenesSource.name,
        source_image_id=str(scene.index),
        caption=scene.caption,
        question=scene.question.text,
        answer=scene.question.answer,
        objects=tuple(objects),
        license=LICENSE,
        provenance=_provenance(scene),
    )


def _provenance(scene: Scene) -> dict[str, Any]:
    return {
        "generator": "mmud scenes",
        "world_version": WORLD_VERSION,
        "seed": scene.config.seed,
        "index": scene.index,
        "family": scene.question.family,
        "key": scene.question.key,
        "background": [scene.background.pattern, scene.background.tint],
        "attributes": [[getattr(thing, name) for name in ATTRIBUTES] for thing in scene.objects],
    }


def _whole(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise MmudError(
            codes.SETTING_RANGE, f"{name} is a whole number from {low} to {high}, not {value!r}", Place(field=name)
        )
    return value
