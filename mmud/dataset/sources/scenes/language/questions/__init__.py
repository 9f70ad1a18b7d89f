"""Questions that need a look at the image, with answers in which each object named is followed by its tag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mmud.dataset.sources.scenes.config import ScenesConfig
from mmud.dataset.sources.scenes.language.questions import associations, looks, relations, sets
from mmud.dataset.sources.scenes.language.questions.base import Context, Question
from mmud.dataset.sources.scenes.language.wording import Wording
from mmud.dataset.sources.scenes.predicates import View
from mmud.dataset.sources.scenes.stream import Stream

__all__ = ["MAKERS", "Question", "ask", "ask_family"]

#: Family -> what makes a question of it, or None when the scene offers none.
MAKERS: Final[dict[str, Callable[[Context], Question | None]]] = {
    "attribute": looks.attribute,
    "extreme": looks.extreme,
    "region": looks.region,
    "count": looks.count,
    "color_association": associations.color_association,
    "shape_association": associations.shape_association,
    "texture_association": associations.texture_association,
    "geometry": associations.geometry,
    "relation": relations.relation,
    "same_attribute": sets.same_attribute,
    "comparison": relations.comparison,
    "distance": relations.distance,
    "between": relations.between,
    "occlusion": relations.occlusion,
    "unique_value": sets.unique_value,
    "more_common": sets.more_common,
    "exclusion": sets.exclusion,
    "chain": relations.chain,
    "counterfactual": relations.counterfactual,
}


def ask_family(family: str, view: View, config: ScenesConfig, stream: Stream) -> Question | None:
    """A question of one family; None when the scene offers none, or a few draws find none."""
    return MAKERS[family](Context(view, config, stream, Wording(view, stream, config.synonyms), family))


def ask(view: View, config: ScenesConfig, stream: Stream) -> Question | None:
    """A question of any allowed family, drawn evenly among those that the scene offers."""
    for family in stream.shuffled(config.families):
        question = ask_family(family, view, config, stream)
        if question is not None:
            return question
    return None
