"""Scores of the generation task from images: extract, keep the reference's features, compare."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmud.errors import Finding, MmudError
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.cache import cache_key, load_cached, store_cached
from mmud.evaluators.generation.extractors import (
    Extractor,
    ExtractorOptions,
    Features,
    ImageSource,
    Progress,
    class_probabilities,
    open_extractor,
    require_text_side,
    setting_of,
    sources_of_folder,
)
from mmud.evaluators.generation.image_captions import captions_of, stem_of
from mmud.evaluators.generation.inception_score import SPLITS
from mmud.evaluators.generation.metrics import ALL, TEXT_METRICS, metrics_of_sets
from mmud.evaluators.generation.scores import (
    DEFAULT_BOOTSTRAP,
    Bootstrap,
    GenerationScores,
    Groups,
    score_features,
    score_probabilities,
    score_text_match,
)
from mmud.images import DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Whether the reference's features are kept, and where (``cache_folder()`` when no folder is named)."""

    enabled: bool = True
    folder: Path | None = None


DEFAULT_CACHE = CachePolicy()


def features_of(
    sources: Sequence[ImageSource],
    extractor: Extractor,
    cache: CachePolicy | None = None,
    progress: Progress | None = None,
) -> tuple[Features, list[Finding]]:
    """Features of images, one row a source, from the cache where it has them; and warnings about the cache.

    Only extractors whose identity names their weights are cached: the name alone does not say what made the features.

    Raises:
        MmudError: as the extractor and ``ImageSource.read``.
    """
    if cache is None or not cache.enabled or extractor.identity.weights is None:
        return extractor.extract(sources, progress), []
    limits = getattr(extractor, "limits", DEFAULT_LIMITS)
    hashes = [hashlib.sha256(source.read(limits)).hexdigest() for source in sources]
    key = cache_key(extractor.identity, hashes, setting_of(extractor))
    findings: list[Finding] = []
    try:
        found = load_cached(key, hashes, cache.folder)
    except MmudError as error:
        findings.append(error.finding)
        found = None
    if found is not None:
        return found, findings
    features = extractor.extract(sources, progress)
    try:
        store_cached(key, hashes, features, cache.folder)
    except MmudError as error:  # a full disk or a read-only home costs the next run time, not this one its figures
        findings.append(error.finding)
    return features, findings


def score_images(
    a: Sequence[ImageSource],
    b: Sequence[ImageSource],
    extractor: Extractor,
    *,
    metrics: Sequence[str] | None = None,
    captions: Sequence[str] | None = None,
    paired: bool = False,
    groups_a: Groups | None = None,
    groups_b: Groups | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    cache: CachePolicy = DEFAULT_CACHE,
    progress: Progress | None = None,
) -> GenerationScores:
    """Compare generated images (A) with reference images (B).

    ``inception_score`` may be among the metrics where the extractor gives class probabilities; it is of A alone. So are CLIP
    scores, where A's captions are given: both are reported, or those among the metrics. "all" is all of what can be had.

    Raises:
        MmudError: as the extractor and ``score_features``; MM872 for an Inception Score by an extractor without classes, or
            CLIP scores by one without a text side, MM879 for paired lists of different length, or CLIP scores without captions.
    """
    if paired and len(a) != len(b):
        raise MmudError(codes.NOT_PAIRED, f"{len(a)} images against {len(b)}")
    names = metrics_of_sets(metrics, extractor.identity, paired)
    if metrics and ALL in metrics:
        # What the extractor cannot give was not named, so it is no reason to refuse the rest.
        names += ("inception_score",) if hasattr(extractor, "probabilities") and len(a) >= SPLITS else ()
        names += () if captions is None else TEXT_METRICS
    of_text = [name for name in TEXT_METRICS if (name in names if metrics else captions is not None)]
    if of_text and captions is None:
        message = f"{of_text[0]} compares images with captions, and none are given"
        raise MmudError(codes.NOT_PAIRED, message, hint="Give --captions FILE.")
    if of_text or captions is not None:
        _check_text_side(a, captions or (), extractor)
    probabilities = class_probabilities(extractor) if "inception_score" in names else None
    features_a = extractor.extract(a, progress)
    features_b, findings = features_of(b, extractor, cache, progress)
    scores = GenerationScores({}, extractor.identity, tuple(findings))
    compared = [name for name in names if name != "inception_score" and name not in TEXT_METRICS]
    if compared:
        scores = scores.joined(
            score_features(
                features_a,
                features_b,
                metrics=compared,
                identity=extractor.identity,
                paired=paired,
                groups_a=groups_a,
                groups_b=groups_b,
                bootstrap=bootstrap,
            )
        )
    if probabilities is not None:
        classes = probabilities(a, progress)
        scores = scores.joined(
            score_probabilities(classes, identity=extractor.identity, groups=groups_a, bootstrap=bootstrap)
        )
    if of_text and captions is not None:
        texts = _text_scores(features_a, captions, extractor, groups_a, bootstrap)
        chosen = {name: texts.metrics[name] for name in of_text}
        scores = scores.joined(GenerationScores(chosen, texts.extractor, texts.warnings))
    return scores


def score_image_folders(
    a: Path,
    b: Path,
    extractor: str | Extractor = "inception",
    options: ExtractorOptions | None = None,
    *,
    metrics: Sequence[str] | None = None,
    captions: Mapping[str, str] | None = None,
    paired: bool = False,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    cache: CachePolicy = DEFAULT_CACHE,
    progress: Progress | None = None,
) -> GenerationScores:
    """Compare the images of two folders, sub-folders included.

    Args:
        a: The generated images.
        b: The reference images.
        extractor: A name, set up with ``options``, or an extractor.
        options: Weights, mode, bounds.
        metrics: Names from ``METRICS``; ``default_metrics`` when left out; "all" for what the extractor can give.
        captions: Of A's images, by name without suffix, for CLIP scores; see `read_image_captions`.
        paired: Images of one path (without its suffix) belong together.
        bootstrap: How intervals are made.
        cache: Whether B's features are kept.
        progress: Called after each batch.

    Raises:
        MmudError: MM002 no such folder, MM870 no image in one, MM879 paired folders that hold different names, or an image
            without a caption, and as ``open_extractor`` and ``score_images``.
    """
    sources_a, sources_b = sources_of_folder(a), sources_of_folder(b)
    if paired:
        sources_a, sources_b = _pair_up(sources_a, sources_b)
    texts = None if captions is None else captions_of(sources_a, captions)
    network = open_extractor(extractor, options) if isinstance(extractor, str) else extractor
    return score_images(
        sources_a,
        sources_b,
        network,
        metrics=metrics,
        captions=texts,
        paired=paired,
        bootstrap=bootstrap,
        cache=cache,
        progress=progress,
    )


def score_captioned_images(
    sources: Sequence[ImageSource],
    captions: Sequence[str],
    extractor: Extractor,
    *,
    groups: Groups | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    progress: Progress | None = None,
) -> GenerationScores:
    """CLIPScore and plain CLIP score of images against their captions.

    Raises:
        MmudError: MM872 for an extractor without a text side, MM879 for lists of different length, and as the extractor.
    """
    _check_text_side(sources, captions, extractor)
    return _text_scores(extractor.extract(sources, progress), captions, extractor, groups, bootstrap)


def _check_text_side(sources: Sequence[ImageSource], captions: Sequence[str], extractor: Extractor) -> None:
    if len(sources) != len(captions):
        raise MmudError(codes.NOT_PAIRED, f"{len(sources)} images and {len(captions)} captions")
    require_text_side(extractor)


def _text_scores(
    images: Features, captions: Sequence[str], extractor: Any, groups: Groups | None, bootstrap: Bootstrap
) -> GenerationScores:
    prompted, findings = extractor.embed_texts(captions)
    plain, _ = extractor.embed_texts(captions, prompt="")
    scores = score_text_match(images, prompted, plain, identity=extractor.identity, groups=groups, bootstrap=bootstrap)
    return GenerationScores({}, extractor.identity, tuple(findings)).joined(scores)


def _pair_up(a: Sequence[ImageSource], b: Sequence[ImageSource]) -> tuple[list[ImageSource], list[ImageSource]]:
    by_stem_a, by_stem_b = _by_stem(a, "A"), _by_stem(b, "B")
    lonely = sorted(by_stem_a.keys() ^ by_stem_b.keys())
    if lonely:
        message = f"{len(lonely)} images have no partner in the other folder, such as {lonely[0]!r}"
        raise MmudError(codes.NOT_PAIRED, message)
    return [by_stem_a[stem] for stem in sorted(by_stem_a)], [by_stem_b[stem] for stem in sorted(by_stem_b)]


def _by_stem(sources: Sequence[ImageSource], name: str) -> dict[str, ImageSource]:
    stems: dict[str, ImageSource] = {}
    for source in sources:
        stem = stem_of(source.id)
        if stem in stems:
            message = f"folder {name} has {stems[stem].id!r} and {source.id!r}, which share one name"
            raise MmudError(codes.NOT_PAIRED, message)
        stems[stem] = source
    return stems
