"""The scenes world as an annotator: a scene's own texts, by generating it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import ConfigDict

from mmud.annotations.drafting import codes
from mmud.annotations.drafting.base import Annotator, Context, Draft, DraftTask, LeftOut, Options
from mmud.annotations.drafting.budget import Meter
from mmud.dataset.sources.scenes.config import PRESETS, WORLD_VERSION, ScenesConfig, config_from
from mmud.dataset.sources.scenes.source import ScenesSource, sample_of
from mmud.dataset.sources.scenes.world import generate
from mmud.errors import MmudError, Place
from mmud.records import Sample

_SOURCE_ONLY = ("type", "samples", "first")


class SceneOptions(Options):
    """Any setting of the world (`ScenesConfig`), or ``preset``; those of the dataset's recipe where none is given."""

    model_config = ConfigDict(frozen=True, extra="allow")


def _value(value: Any) -> Any:
    """A setting as the command line has it: a number or truth value where it reads like one."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


class ScenesAnnotator(Annotator):
    """Knows every scene: its seed and index stand in its provenance.

    The world's settings come from the options, else from the dataset's recipe, else the presets are tried. A scene whose objects
    come out different is left out: texts of another scene would be lies.
    """

    name: ClassVar[str] = "scenes"
    title: ClassVar[str] = "the texts of a synthetic scene, by generating it again"
    version: ClassVar[str] = str(WORLD_VERSION)
    reads_images: ClassVar[bool] = False
    options_class: ClassVar[type[Options]] = SceneOptions

    def __init__(self, options: Mapping[str, Any] | None = None, seed: int = 0) -> None:
        super().__init__(options, seed)
        self._given = {name: _value(value) for name, value in (self.options.model_extra or {}).items()}
        if self._given:
            config_from(self._given)
        self._tables: list[dict[str, Any]] = []
        # A sample's caption and question are asked for one after the other.
        self._again = lru_cache(maxsize=1)(self._generate)

    def begin(self, context: Context) -> None:
        tables = (context.recipe or {}).get("source") or []
        self._tables = [dict(table) for table in tables if table.get("type") == ScenesSource.name]

    def draft(self, sample: Sample, task: DraftTask, meter: Meter) -> Draft:
        place = Place(sample=sample.sample_id)
        seed, index = sample.provenance.get("seed"), sample.provenance.get("index")
        if sample.source != ScenesSource.name or not isinstance(seed, int) or not isinstance(index, int):
            raise LeftOut(codes.NOTHING_TO_SAY, "the sample is no synthetic scene", place)
        if sample.provenance.get("world_version") != WORLD_VERSION:
            version = sample.provenance.get("world_version")
            raise LeftOut(codes.SCENE_LOST, f"the scene is of world version {version}, not {WORLD_VERSION}", place)
        shown = [(item.segmentation, item.category) for item in sample.objects]
        for config in self._configs(seed, sample):
            made = self._again(config, index)
            if made is not None and [(item.segmentation, item.category) for item in made.objects] == shown:
                return Draft({field: getattr(made, field) for field in task.fields})
        raise LeftOut(codes.SCENE_LOST, f"no known settings give scene {index} of seed {seed} these objects", place)

    def _configs(self, seed: int, sample: Sample) -> Iterator[ScenesConfig]:
        """The settings that the scene may have, the likeliest first."""
        if self._given:
            yield config_from({"width": sample.width, "height": sample.height, **self._given, "seed": seed})
            return
        for table in self._tables:
            settings = {key: value for key, value in table.items() if key not in _SOURCE_ONLY}
            yield config_from({**settings, "seed": seed})
        for name in PRESETS:
            yield config_from({"preset": name, "seed": seed, "width": sample.width, "height": sample.height})

    @staticmethod
    def _generate(config: ScenesConfig, index: int) -> Sample | None:
        try:
            return sample_of(generate(config, index))
        except MmudError:
            # These settings have no such scene: they are not the ones it was made with.
            return None
