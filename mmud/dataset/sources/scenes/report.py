"""Figures about a world: ``python -m mmud.dataset.sources.scenes.report [PRESET] [SCENES]`` prints them.

Floors, lengths, the spread of questions, what the question alone gives away, and how fast scenes are made.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from mmud.dataset.sources.scenes import codes
from mmud.dataset.sources.scenes.config import ScenesConfig, preset
from mmud.dataset.sources.scenes.language.questions import Question
from mmud.dataset.sources.scenes.png import encode_png
from mmud.dataset.sources.scenes.world import Scene, generate
from mmud.errors import MmudError


def union_floors(scenes: Sequence[Scene]) -> tuple[float, float]:
    """Mean IoU of all objects at once with each object, and with each object that an answer names.

    Visible masks are disjoint, so the IoU of their union with one of them is its share of their area.
    """
    referring, reasoning = [], []
    for scene in scenes:
        total = sum(thing.area for thing in scene.objects)
        shares = [thing.area / total for thing in scene.objects]
        referring += shares
        reasoning += [shares[index - 1] for index in scene.question.targets]
    return sum(referring) / len(referring), sum(reasoning) / len(reasoning)


def commonest_answers(questions: Sequence[Question]) -> dict[str, float]:
    """By family, the share of questions that the commonest short answer of the same form answers.

    A form that was asked once counts as missed.
    """
    forms: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for question in questions:
        forms[question.family, question.form][question.key] += 1
    hits: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for (family, _), keys in forms.items():
        asked[family] += keys.total()
        hits[family] += max(keys.values()) if keys.total() > 1 else 0
    return {family: hits[family] / asked[family] for family in asked}


def rate(make: Callable[[int], object], count: int) -> float:
    """Calls a CPU second."""
    start = time.process_time()
    for index in range(count):
        make(index)
    return count / (time.process_time() - start)


def report(config: ScenesConfig, count: int) -> list[str]:
    """The lines that are printed."""
    scenes = [generate(config, index) for index in range(count)]
    questions = [question for scene in scenes for question in (scene.question, *scene.more_questions(4))]
    words = [len(scene.caption.split()) for scene in scenes]
    phrases = [phrase for scene in scenes for own in scene.phrases for phrase in own]
    floors = union_floors(scenes)
    targets = Counter(len(scene.question.targets) for scene in scenes)
    blind = commonest_answers(questions)

    def whole(index: int) -> tuple[object, ...]:
        scene = generate(config, count + index)
        return scene.image, scene.masks, scene.phrases, scene.caption

    mean_words = sum(len(phrase.split()) for phrase in phrases) / len(phrases)
    files = [encode_png(scene.image) for scene in scenes]
    return [
        f"scenes {count}, {config.width}x{config.height}, seed {config.seed}",
        f"objects a scene {sum(len(scene.objects) for scene in scenes) / count:.2f}",
        f"union floor, gIoU: referring {floors[0]:.3f}, reasoning {floors[1]:.3f}",
        f"captions, distinct {len({scene.caption for scene in scenes})}, "
        f"words {min(words)} to {max(words)}, mean {sum(words) / count:.1f}",
        f"phrases {len(phrases)}, distinct {len(set(phrases))}, mean words {mean_words:.1f}",
        "objects named by an answer: " + ", ".join(f"{n}: {targets[n] / count:.0%}" for n in sorted(targets)),
        "commonest answer of the same form is right: " + ", ".join(f"{f} {blind[f]:.2f}" for f in sorted(blind)),
        f"whole scenes a CPU second: {rate(whole, count):.0f}",
        f"layouts with a question a CPU second, no image: {rate(lambda index: generate(config, count + index), count):.0f}",
        f"PNG files a CPU second: {rate(lambda index: encode_png(scenes[index].image), count):.0f}, "
        f"mean bytes {sum(map(len, files)) // count}",
    ]


def main(arguments: Sequence[str]) -> int:
    name, count = [*arguments, *("normal", "1000")[len(arguments) :]][:2]
    try:
        if not count.isdecimal() or int(count) < 1:
            raise MmudError(codes.SETTING_RANGE, f"the number of scenes is a whole number from 1, not {count!r}")
        print("\n".join(report(preset(name), int(count))))
    except MmudError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
