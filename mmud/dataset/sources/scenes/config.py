"""Settings of the scenes world: frozen, validated, with presets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from mmud.dataset.sources.scenes import codes
from mmud.dataset.sources.scenes.vocabulary import (
    BACKGROUNDS,
    COLORS,
    FAMILIES,
    REFERENCES,
    SHAPES,
    SIZES,
    TEXTURES,
    TINTS,
)
from mmud.errors import MmudError, Place

#: Raised by one whenever a change makes some scene come out different.
WORLD_VERSION: Final = 2

_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "shapes": SHAPES,
    "colors": tuple(COLORS),
    "textures": TEXTURES,
    "sizes": SIZES,
    "backgrounds": BACKGROUNDS,
    "tints": tuple(TINTS),
    "families": FAMILIES,
    "references": REFERENCES,
}
_SHARES: Final = ("overlap", "confusability", "synonyms", "clutter", "valid_share", "test_share")
_RANGES: Final[dict[str, tuple[float, float]]] = {
    "seed": (0, 2**63 - 1),
    "width": (32, 4096),
    "height": (32, 4096),
    "min_objects": (2, 12),
    "max_objects": (2, 12),
    "min_visible": (0.2, 1.0),
    "object_scale": (0.5, 1.5),
    "max_tilt": (0, 12),
    "min_phrases": (1, 6),
    "max_phrases": (1, 6),
    "caption_words": (20, 250),
    "max_targets": (1, 6),
    **dict.fromkeys(_SHARES, (0.0, 1.0)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenesConfig:
    """Everything that a scene depends on besides its index.

    Attributes:
        seed: Two seeds give unrelated worlds.
        width, height: Image size in pixels, 32 to 4096 each.
        min_objects, max_objects: How many objects a scene has; drawn evenly from this range.
        overlap: Share of the objects that are placed over another one, hiding a part of it.
        min_visible: Least share of an object's own area that stays visible.
        confusability: Chance that an object copies two attributes of another one: high values give distractors that differ in
            one attribute only.
        object_scale: Factor on the diameters of objects.
        max_tilt: Largest tilt of a shape in degrees (0, 4, 8 and 12 are used).
        clutter: Contrast of the background's pattern, 0 (faint) to 1.
        antialias: Soft edges. Masks are the same either way; without it a mask is exactly the set of pixels painted.
        synonyms: Chance that a word is replaced by a synonym ("disc" for "circle").
        min_phrases, max_phrases: How many phrases an object has.
        caption_words: About how many words a caption has; a caption ends with the sentence that reaches 90 % of it.
        max_targets: Most objects that an answer names.
        valid_share, test_share: Shares of the indices that make up the splits; the rest is train.
        shapes, colors, textures, sizes, backgrounds, tints: The words in use.
        families: The question families in use.
        references: The ways in which phrases and questions refer to an object.
        names_first: The first phrase of an object is its name, as answers have it.

    Raises:
        MmudError: MM770 unknown word, MM771 value out of range, MM772 too few words, MM773 too crowded.
    """

    seed: int = 0
    width: int = 128
    height: int = 128
    min_objects: int = 4
    max_objects: int = 8
    overlap: float = 0.35
    min_visible: float = 0.6
    confusability: float = 0.4
    object_scale: float = 1.0
    max_tilt: int = 8
    clutter: float = 0.4
    antialias: bool = True
    synonyms: float = 0.05
    min_phrases: int = 2
    max_phrases: int = 4
    caption_words: int = 90
    max_targets: int = 4
    valid_share: float = 0.05
    test_share: float = 0.05
    shapes: tuple[str, ...] = SHAPES
    colors: tuple[str, ...] = tuple(COLORS)
    textures: tuple[str, ...] = TEXTURES
    sizes: tuple[str, ...] = SIZES
    backgrounds: tuple[str, ...] = BACKGROUNDS
    tints: tuple[str, ...] = tuple(TINTS)
    families: tuple[str, ...] = FAMILIES
    references: tuple[str, ...] = REFERENCES
    names_first: bool = False

    def __post_init__(self) -> None:
        for name in _WORDS:
            object.__setattr__(self, name, _words(name, getattr(self, name)))
        for name, (low, high) in _RANGES.items():
            _check_number(name, getattr(self, name), low, high, whole=isinstance(_DEFAULTS.get(name), int))
        for name in ("antialias", "names_first"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise MmudError(codes.SETTING_RANGE, f"{name} is true or false, not {value!r}", _at(name))
        for low_name, high_name in (("min_objects", "max_objects"), ("min_phrases", "max_phrases")):
            if getattr(self, low_name) > getattr(self, high_name):
                raise MmudError(
                    codes.SETTING_RANGE,
                    f"{low_name} ({getattr(self, low_name)}) is above {high_name} ({getattr(self, high_name)})",
                    _at(low_name),
                )
        if self.valid_share + self.test_share > 1:
            raise MmudError(codes.SETTING_RANGE, "valid_share and test_share add up to more than 1", _at("test_share"))
        self._check_vocabulary()
        self._check_room()

    def _check_vocabulary(self) -> None:
        combinations = len(self.shapes) * len(self.colors) * len(self.textures) * len(self.sizes)
        if combinations < 2 * self.max_objects:
            raise MmudError(
                codes.VOCABULARY_TOO_SMALL,
                f"{combinations} combinations of shape, colour, texture and size for {self.max_objects} objects",
                _at("max_objects"),
            )

    def _check_room(self) -> None:
        # Objects of the smallest size allowed may take 55 % of the image as squares; from 60 % on, placing them starts to fail.
        smallest = min(self.diameter(size) for size in self.sizes)
        if self.max_objects * smallest * smallest * 20 > self.width * self.height * 11:
            raise MmudError(
                codes.SCENE_TOO_CROWDED,
                f"{self.max_objects} objects of {smallest} pixels across in {self.width}x{self.height}",
                _at("max_objects"),
            )

    def diameter(self, size: str) -> int:
        """Nominal diameter in pixels of an object of the size ``size``; each size is about 1.5 times the one before."""
        side = min(self.width, self.height)
        permille = {"small": 150, "medium": 228, "large": 340}[size]
        return max(5, side * permille * int(self.object_scale * 1024) // 1_024_000)

    def with_(self, **changes: Any) -> ScenesConfig:
        """A copy with other values; MM770 for a name that is no setting."""
        _check_names(changes)
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a build recipe holds them; :func:`config_from` reads them back."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


_DEFAULTS: Final[dict[str, Any]] = {field.name: field.default for field in fields(ScenesConfig)}


def _at(name: str) -> Place:
    return Place(field=name)


def _words(name: str, value: object) -> tuple[str, ...]:
    known = _WORDS[name]
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise MmudError(codes.SETTING_RANGE, f"{name} is a list of words, not {value!r}", _at(name))
    words = tuple(value)
    unknown = [word for word in words if word not in known]
    if unknown:
        raise MmudError(codes.UNKNOWN_SETTING, f"{name}: {unknown[0]!r} is none of {', '.join(known)}", _at(name))
    if not words:
        raise MmudError(codes.SETTING_RANGE, f"{name} must hold at least one word", _at(name))
    # One canonical order: a scene depends on which words are allowed, not on how somebody listed them.
    return tuple(word for word in known if word in words)


def _check_number(name: str, value: Any, low: float, high: float, whole: bool) -> None:
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise MmudError(codes.SETTING_RANGE, f"{name} is {kind} from {low:g} to {high:g}, not {value!r}", _at(name))


def _check_names(settings: Mapping[str, Any]) -> None:
    for name in settings:
        if name not in _DEFAULTS:
            raise MmudError(
                codes.UNKNOWN_SETTING, f"{name!r} is none of {', '.join(_DEFAULTS)}", Place(field=str(name))
            )


#: What each preset sets apart from the defaults. ``normal`` is the default.
_PLAIN_SHAPES: Final = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "crescent")
PRESETS: Final[dict[str, dict[str, Any]]] = {
    "easy": {
        "min_objects": 4,
        "max_objects": 6,
        "overlap": 0.1,
        "min_visible": 0.8,
        "confusability": 0.15,
        "max_tilt": 0,
        "clutter": 0.2,
        "synonyms": 0.0,
        "shapes": _PLAIN_SHAPES,
        "colors": ("red", "orange", "yellow", "green", "blue", "purple", "brown", "black", "white"),
        "families": FAMILIES[:10],
    },
    "normal": {},
    "hard": {
        "min_objects": 6,
        "max_objects": 10,
        "overlap": 0.6,
        "min_visible": 0.4,
        "confusability": 0.8,
        "object_scale": 0.9,
        "max_tilt": 12,
        "clutter": 0.8,
        "synonyms": 0.4,
        "families": FAMILIES[6:],
    },
    # What the small backbones of neural tuning are made for.
    "tiny": {
        "min_objects": 5,
        "max_objects": 6,
        "overlap": 0.0,
        "min_visible": 0.8,
        "confusability": 0.0,
        "max_tilt": 0,
        "clutter": 0.4,
        "synonyms": 0.0,
        "caption_words": 60,
        "max_targets": 2,
        "shapes": _PLAIN_SHAPES,
        "colors": ("red", "orange", "yellow", "green", "blue", "purple", "black", "white"),
        "backgrounds": ("plain", "striped", "checkered"),
        "tints": ("grey", "cream", "mint", "navy"),
        "families": FAMILIES[:7],
        "references": ("looks", "extreme", "place"),
        "names_first": True,
    },
}


def preset(name: str, **changes: Any) -> ScenesConfig:
    """The settings called ``easy``, ``normal``, ``hard`` or ``tiny``, with changes.

    Raises:
        MmudError: MM770 for an unknown preset or setting, and what :class:`ScenesConfig` raises.
    """
    if name not in PRESETS:
        raise MmudError(codes.UNKNOWN_SETTING, f"preset {name!r} is none of {', '.join(PRESETS)}", _at("preset"))
    _check_names(changes)
    return ScenesConfig(**{**PRESETS[name], **changes})


def config_from(settings: Mapping[str, Any]) -> ScenesConfig:
    """Settings from a recipe or the command line: any setting by name, and ``preset`` to start from.

    A list of words may also be one text with commas, as a command line gives it.

    Raises:
        MmudError: MM770 for an unknown preset or setting, and what :class:`ScenesConfig` raises.
    """
    rest = dict(settings)
    for name in _WORDS:
        if isinstance(rest.get(name), str):
            rest[name] = [word.strip() for word in rest[name].split(",")]
    return preset(str(rest.pop("preset", "normal")), **rest)
