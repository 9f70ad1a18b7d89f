"""MM301 and MM302 as reasons to refuse: tags that cannot be read, and tags that point nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from mmud.annotations import codes, tags
from mmud.annotations.filters.base import Filter, FilterSettings, Label, Reason, quoted
from mmud.annotations.filters.subject import Subject

_KINDS = {"malformed": codes.TAG_MALFORMED, "dangling": codes.TAG_DANGLING}


class TagFilter(Filter[FilterSettings]):
    """Reads the tags of answers."""

    name = "tags"
    codes = (codes.TAG_MALFORMED, codes.TAG_DANGLING)

    def look(self, subject: Subject) -> Iterator[Reason]:
        objects = len(subject.sample.objects)
        given = set()
        for problem in tags.problems(subject.sample.answer, objects):
            code = _KINDS[problem.kind]
            if code not in given:
                given.add(code)
                message = f"{quoted(problem.text)} at character {problem.start + 1}, {objects} objects"
                yield Reason(code, Label.PAIR, message)
