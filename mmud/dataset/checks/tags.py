"""MM3xx: the tags of answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mmud.annotations import codes as annotation_codes
from mmud.annotations import tags
from mmud.dataset.checks.base import Check, Row, printable
from mmud.dataset.checks.batch import SampleContext, objects_of
from mmud.dataset.checks.codes import tags as codes
from mmud.errors import Code, Finding

_KINDS = {"malformed": annotation_codes.TAG_MALFORMED, "dangling": annotation_codes.TAG_DANGLING}


class TagCheck(Check):
    """Tags: well-formed, pointing at objects, and only in answers."""

    codes = (
        annotation_codes.TAG_MALFORMED,
        annotation_codes.TAG_DANGLING,
        codes.OBJECT_UNMENTIONED,
        codes.TAG_REPEATED,
        codes.TAGS_OUT_OF_ORDER,
        codes.TAG_OLD_FORM,
        codes.TAG_ELSEWHERE,
        codes.ANSWER_UNTAGGED,
        codes.TAG_WITHOUT_MENTION,
    )

    def check(self, row: Row, context: SampleContext) -> Iterator[Finding]:
        objects = objects_of(row)
        answer = row["answer"] or ""
        for problem in tags.problems(answer, len(objects)):
            message = f"{printable(problem.text)} at character {problem.start + 1}"
            yield Finding(_KINDS[problem.kind], context.place(field="answer"), message)
        for code, number, message in _answer_problems(answer, len(objects)):
            yield Finding(code, context.place(number, "answer"), message)
        for field in ("caption", "question"):
            if row[field] and tags.parse(row[field]):
                yield Finding(codes.TAG_ELSEWHERE, context.place(field=field), f"the {field} holds a tag")
        for number, item in enumerate(objects, start=1):
            for phrase in (item and item["phrases"]) or ():
                if phrase and "<" in phrase and tags.parse(phrase):
                    message = f"the phrase {printable(phrase)} holds a tag"
                    yield Finding(codes.TAG_ELSEWHERE, context.place(number, "phrases"), message)


def _answer_problems(answer: str, objects: int) -> Iterator[tuple[Code, int | None, str]]:
    found = tags.parse(answer)
    if not found:
        if objects and answer.strip():
            yield codes.ANSWER_UNTAGGED, None, f"the answer points at none of {objects} objects"
        return
    if any(answer.startswith("<OBJ", tag.start) for tag in found):
        yield codes.TAG_OLD_FORM, None, "the answer writes <OBJ-i>"
    counts = Counter(tag.index for tag in found)
    mentioned = list(counts)
    repeated = [f"<LCL-{index}> ({count} times)" for index, count in counts.items() if count > 1]
    if repeated:
        yield codes.TAG_REPEATED, None, ", ".join(repeated)
    if mentioned != sorted(mentioned):
        yield codes.TAGS_OUT_OF_ORDER, None, f"first mentions come as {', '.join(map(str, mentioned[:20]))}"
    if not any(map(str.isalnum, answer[: found[0].start])) and any(map(str.isalnum, tags.remove(answer))):
        yield codes.TAG_WITHOUT_MENTION, None, f"{answer[found[0].start : found[0].end]} has nothing named before it"
    for number in range(1, objects + 1):
        if number not in counts:
            yield codes.OBJECT_UNMENTIONED, number, "no tag of the answer points at the object"
