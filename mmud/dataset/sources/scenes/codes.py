"""MM77x: the synthetic world."""

from __future__ import annotations

from mmud.errors import ExitCode, declare

UNKNOWN_SETTING = declare(
    "MM770",
    "unknown setting of the scenes world",
    "Use one of the names that the message lists.",
    "A setting, preset or word of the scenes world is not one that it knows. Words are the canonical ones: the synonyms "
    "that texts use are switched on by the setting `synonyms`.",
    exit_code=ExitCode.USAGE,
)
SETTING_RANGE = declare(
    "MM771",
    "setting of the scenes world out of range",
    "Give a value in the range that the message states.",
    "Each setting of the scenes world has a range outside which no sensible scene can be drawn.",
    exit_code=ExitCode.USAGE,
)
VOCABULARY_TOO_SMALL = declare(
    "MM772",
    "too few words to tell the objects apart",
    "Allow more shapes, colours, textures or sizes, or fewer objects.",
    "No two objects of a scene have the same shape, colour, texture and size, so that each can be named. The words allowed "
    "must have at least twice as many combinations as a scene has objects.",
    exit_code=ExitCode.USAGE,
)
SCENE_TOO_CROWDED = declare(
    "MM773",
    "the objects do not fit into the image",
    "Allow fewer or smaller objects (max_objects, sizes, object_scale), a lower min_visible, or a wider image.",
    "Every object of a scene is visible to at least the share `min_visible`. With the settings given, the objects cannot be "
    "placed so that this holds.",
    exit_code=ExitCode.USAGE,
)
NO_QUESTION = declare(
    "MM774",
    "no question of the allowed families fits the scene",
    "Allow more question families.",
    "Some families need something particular in the scene, such as an object that hides another. When only such families "
    "are allowed, a scene may offer none of it, even after many tries.",
    exit_code=ExitCode.USAGE,
)
NO_SUCH_SCENE = declare(
    "MM775",
    "no such scene",
    "Ask for an index of 0 or above.",
    "Scenes are counted from 0 and have no upper limit; a negative index or a word that is no number names none.",
    exit_code=ExitCode.USAGE,
)
