"""CLIP scores of images and their texts as rows and figures: of generated images, and of captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmud.errors import Finding, Place
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.extractors import Extractor, ExtractorIdentity
from mmud.evaluators.generation.metrics import TEXT_METRICS

TOKENS_CUT = "tokens_cut"
CLIP_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    *((name, pa.float64()) for name in TEXT_METRICS),
    (TOKENS_CUT, pa.int32()),
)


def clip_rows(
    extractor: Extractor, images: NDArray[np.float32], texts: Sequence[str]
) -> tuple[dict[str, list[Any]], list[Finding]]:
    """CLIP scores of image i and text i, and how many of the text's tokens were cut off where the extractor can tell.

    Args:
        extractor: one with a text side.
        images: embeddings, shape (samples, d).
        texts: one an image.

    Returns:
        Column -> one number a sample; and what a reader must know.

    Raises:
        MmudError: MM860, MM861, MM862, MM867 for embeddings that cannot be compared.
    """
    from mmud.evaluators.generation.clip_scores import clip_score_rows, clip_similarity_rows

    reader: Any = extractor
    prompted, findings = reader.embed_texts(texts)
    plain, _ = reader.embed_texts(texts, prompt="")
    found: dict[str, list[Any]] = {
        "clip_score": clip_score_rows(images, prompted).tolist(),
        "clip_similarity": clip_similarity_rows(images, plain).tolist(),
    }
    lengths = getattr(extractor, "text_lengths", None)
    if lengths is not None:
        counted, longest = lengths(texts)
        found[TOKENS_CUT] = [max(0, count - longest) for count in counted]
        # kept with the rows, so that all shards together say how many
        findings = [finding for finding in findings if finding.code is not codes.TEXT_TRUNCATED]
    return found, list(findings)


def present(rows: pa.StructArray, name: str) -> bool:
    """Whether every row has a value; rows that an older version kept may lack the field."""
    return bool(len(rows)) and rows.type.get_field_index(name) >= 0 and not rows.field(name).null_count


def add_clip_figures(
    rows: pa.StructArray,
    columns: dict[str, NDArray[Any]],
    fields: dict[str, dict[str, object]],
    identity: ExtractorIdentity,
) -> tuple[Finding, ...]:
    """Add the CLIP scores that rows hold to columns and fields of signatures; a finding where texts were cut off."""
    prompts = {"clip_score": "A photo depicts", "clip_similarity": "none"}
    for name in TEXT_METRICS:
        if present(rows, name):
            columns[name] = rows.field(name).to_numpy(zero_copy_only=False)
            fields[name] = {**identity.signature_fields(), "prompt": prompts[name], "reduction": "mean"}
    if not present(rows, TOKENS_CUT):
        return ()
    cut = rows.field(TOKENS_CUT).to_numpy(zero_copy_only=False)
    message = f"{np.count_nonzero(cut)} of {len(cut)} captions are longer than the text encoder reads; "
    message += f"CLIP scores leave out {cut.sum()} tokens"
    return (Finding(codes.TEXT_TRUNCATED, Place(), message),) if cut.any() else ()
