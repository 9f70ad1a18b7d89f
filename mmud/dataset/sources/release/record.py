"""One record of the official release: from its 12-tuple to a sample's values.

Whatever the columns of a sample cannot hold is kept in ``provenance["official"]``, so that
`mmud.dataset.sources.release.restore.restore_record` gives the 12-tuple again:

- ``index``: the record's position in its file;
- ``caption_len``, ``enriched_text_len``: the token counts, where the record has them;
- ``path``: the image path, where it is more than the image file's name;
- ``frame``: what stands around question and answer, where it is not the usual;
- ``enriched_text``: the whole text, where question and answer do not hold it unchanged;
- ``parts``: object number -> the counts of its mask's parts, where run lengths are not one part in canonical form;
- ``raw``: field -> the value as it was, where it has a form that the columns do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmud.dataset.sources.release.notes import RecordNotes
from mmud.dataset.sources.release.objects import ObjectReader
from mmud.dataset.sources.release.size import HeaderSize, read_size
from mmud.dataset.sources.release.texts import (
    check_tags,
    read_lengths,
    read_path,
    read_question_and_answer,
    read_text,
)


def read_record(record: Sequence[Any], notes: RecordNotes, header_size: HeaderSize) -> dict[str, Any]:
    """The sample's width, height, caption, question, answer and objects.

    Args:
        record: as `mmud.dataset.sources.release.form.check_shape` gives it.
        notes: take what is odd.
        header_size: asked for the image's size where the record's own cannot be right.

    Raises:
        MmudError: MM720 when the image's size is not known.
    """
    read_path(record, notes)
    reader = ObjectReader(record, notes)
    height, width = read_size(record, reader.boxes, notes, header_size)
    objects = reader.read(height, width)
    caption = read_text(record, 1, notes)
    question, answer = read_question_and_answer(record, notes)
    check_tags(answer, len(objects), notes)
    read_lengths(record, notes)
    if notes.raw:
        notes.official["raw"] = notes.raw
    return {
        "width": width,
        "height": height,
        "caption": caption,
        "question": question,
        "answer": answer,
        "objects": tuple(objects),
    }
