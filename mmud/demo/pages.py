"""The demo's pages: held-out scenes with what the shown system says and draws, and the leaderboard."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from PIL import Image

from mmud.dataset.store import Dataset
from mmud.demo.outcome import Figure, number
from mmud.demo.plan import SYSTEMS, Places
from mmud.demo.scoring import Scored
from mmud.errors import MmudError
from mmud.evaluators.leaderboard.ranking import sample_values, task_figures
from mmud.evaluators.predictions import PredictionFolder, task_file
from mmud.evaluators.rows import ROWS_NAME, RowTable
from mmud.images import decode_image, read_image_bytes
from mmud.records import Prediction, Sample, Segmentation, Task
from mmud.web.gallery import Beside, Card, write_page
from mmud.web.leaderboard import Presentation, Tile, render_board
from mmud.web.sheets import tinted

PER_SAMPLE = (
    (Task.REFERRING_SEGMENTATION, "gIoU", "referring gIoU"),
    (Task.REASONING_SEGMENTATION, "gIoU", "reasoning gIoU"),
    (Task.CAPTIONING, "cider_d", "CIDEr-D"),
    (Task.GENERATION, "feature_cosine", "drawn image, cosine"),
)
_TAG = re.compile(r"<LCL-(\d+)>")
LABELS_OF_KIND = {"trained": "trained here", "real": "", "ceiling": "ceiling", "floor": "floor"}


def write_demo_gallery(dataset: Dataset, places: Places, limit: int) -> int:
    """Held-out scenes: the truth, what was predicted, and the image drawn from the caption beside the real one.

    Returns:
        How many samples it shows.
    """
    predictions = PredictionFolder(places.predictions(places.shown))
    said = {
        task: {one.sample_id: one for one in predictions.read(task, lambda finding: None)}
        for task in Task
        if (predictions.path / task_file(task)).exists()
    }
    scores = _sample_scores(places)

    def cards() -> Iterator[Card]:
        for sample in islice(dataset.samples("test", images=True), limit):
            found = {task: rows[sample.sample_id] for task, rows in said.items() if sample.sample_id in rows}
            yield _card(sample, found, predictions, scores)

    shown = min(limit, dataset.length("test"))
    summary = (
        f"{shown} of {dataset.length('test')} held-out scenes: what {places.shown} says and draws, beside the truth. "
        f"{dataset.fingerprint[:16]}"
    )
    return write_page(places.gallery, "MMUD demo", summary, cards(), back=places.leaderboard.name)


def _sample_scores(places: Places) -> dict[str, Mapping[str, float]]:
    """Title -> sample -> figure."""
    rows = RowTable.read(places.scores(places.shown) / ROWS_NAME)
    found: dict[str, Mapping[str, float]] = {}
    for task, metric, title in PER_SAMPLE:
        if task in rows.tasks:
            found[title] = sample_values(task_figures(rows, task, metric), metric)
    return found


def _card(
    sample: Sample,
    said: Mapping[Task, Prediction],
    predictions: PredictionFolder,
    scores: Mapping[str, Mapping[str, float]],
) -> Card:
    pixels = decode_image(sample.image_bytes())
    beside: list[Beside] = []
    texts: list[tuple[str, str]] = []
    if referring := said.get(Task.REFERRING_SEGMENTATION):
        masks = [mask.segmentation for mask in referring.masks]
        beside.append(_drawn("Masks predicted from the phrases", pixels, masks))
    if reasoning := said.get(Task.REASONING_SEGMENTATION):
        # Tags of an answer count its own masks, not the sample's objects: as links they would light up others.
        by_tag = {mask.tag: mask.segmentation for mask in reasoning.masks if mask.tag}
        ordered = [by_tag.get(tag) for tag in range(1, max(by_tag, default=0) + 1)]
        beside.append(_drawn("Masks of the predicted answer", pixels, ordered))
        texts.append(("Predicted answer", _TAG.sub(r"[\1]", reasoning.answer)))
    if captioning := said.get(Task.CAPTIONING):
        texts.append(("Predicted caption", captioning.caption))
    if generation := said.get(Task.GENERATION):
        beside.append(_generated(generation, predictions))
    figures = [
        (title, number(values[sample.sample_id])) for title, values in scores.items() if sample.sample_id in values
    ]
    return Card(sample, "test", texts=texts, figures=figures, beside=beside)


def _drawn(title: str, pixels: Any, masks: Sequence[Segmentation | None]) -> Beside:
    stream = io.BytesIO()
    Image.fromarray(tinted(pixels, masks)).save(stream, "PNG")
    return Beside(title, stream.getvalue())


def _generated(prediction: Prediction, predictions: PredictionFolder) -> Beside:
    title = "Image drawn from the caption"
    path = predictions.image_path(prediction)
    if path is None:
        return Beside(title, trouble="no image")
    try:
        return Beside(title, read_image_bytes(path))
    except MmudError as error:
        return Beside(title, trouble=f"{error.code.id} {error.message}")


def write_demo_leaderboard(
    dataset: Dataset,
    places: Places,
    scored: Mapping[str, Scored],
    figures: Sequence[Figure],
    advance: Callable[[int], None],
) -> None:
    """The leaderboard with the shown system's figures above it."""
    presentation = Presentation(
        tiles=[_tile(figure) for figure in figures],
        tiles_title=f"{places.shown}, on {dataset.length('test')} held-out scenes, free-running",
        about={name: SYSTEMS[name].about for name in scored},
        badges={name: LABELS_OF_KIND[SYSTEMS[name].kind] for name in scored},
        beneath={name: _beneath(one) for name, one in scored.items()},
        marked=places.shown,
        links=[("Look at the scenes, what was said and what was drawn", places.gallery.name)],
    )
    render_board(
        places.board, places.folder, dataset, page=places.leaderboard.name, advance=advance, presentation=presentation
    )


def _tile(figure: Figure) -> Tile:
    floor = "" if figure.floor is None else f"best floor {number(figure.floor)} ({figure.floor_name})"
    aim = "" if figure.aim is None else f"aim {'≥' if figure.higher else '≤'} {number(figure.aim)}"
    return Tile(figure.title, figure.value, figure.low, figure.high, floor, aim, figure.reached)


def _beneath(scored: Scored) -> dict[Task, list[str]]:
    """Lines below a system's figures."""
    found: dict[Task, list[str]] = {}
    for task, share in scored.tags.items():
        if share.value is not None:
            found.setdefault(Task(task), []).append(f"tags said {100 * share.value:.1f} %")
    cosine = scored.value(Task.GENERATION, "feature_cosine")
    if cosine is not None:
        found.setdefault(Task.GENERATION, []).append(f"drawn images' cosine {number(cosine)}")
    predicted = scored.of_features.get("feature_cosine")
    if predicted is not None:
        found.setdefault(Task.GENERATION, []).append(f"feature's cosine {number(predicted['value'])}")
    return found
