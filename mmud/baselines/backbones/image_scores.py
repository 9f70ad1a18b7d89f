"""How well images are drawn: what is seen of them, not how near their pixels are.

The frozen tower looks at a drawn image, and the head, which was trained on true images alone, says what is there. That is
compared with the truth, object by object. Next to it stand the pixels' mean absolute error and the Fréchet distance of the
features, as the extractor ``scenes-tiny`` gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from mmud.baselines.backbones.images import ImageAutoencoder, patch_states
from mmud.baselines.backbones.scene_code import WORDS, SceneContent, content_of, decode
from mmud.baselines.backbones.vision import pixel_values
from mmud.dataset.sources.scenes.world import Scene
from mmud.evaluators.generation.frechet import frechet_distance

if TYPE_CHECKING:
    from transformers import CLIPVisionModel

COSINE: Final = 0.9
"""Of the spoilt feature to the true one."""
ROWS: Final = 20


@torch.no_grad()
def features_of(model: ImageAutoencoder, encoder: CLIPVisionModel, images: Sequence[np.ndarray] | Tensor) -> Tensor:
    """(images, feature size)."""
    found = []
    for start in range(0, len(images), ROWS):
        part = [np.asarray(image) for image in images[start : start + ROWS]]
        found.append(model.feature(*patch_states(encoder, pixel_values(part))))
    return torch.cat(found)


def spoilt(features: Tensor, cosine: float, seed: int = 0) -> Tensor:
    """Features with noise at right angles to each, so much that they have exactly this cosine to what they were."""
    noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(seed))
    squares = features.square().sum(-1, keepdim=True)
    noise -= (noise * features).sum(-1, keepdim=True) / squares * features
    length = (squares * (1 / cosine**2 - 1)).sqrt()
    changed: Tensor = features + noise * length / noise.square().sum(-1, keepdim=True).sqrt()
    return changed


def agreement(found: SceneContent, true: SceneContent) -> dict[str, float]:
    """Shares of the objects that are found in their slot, of their words that are right, and of objects of which all words are;
    objects that are not there, as a share of those that are; shares of patterns and tints that are right."""
    both = found.present & true.present
    count = int(true.present.sum())
    right = (found.words == true.words) & both[..., None]
    scores = {"found": int(both.sum()) / count}
    scores |= {name: int(right[..., place].sum()) / count for place, name in enumerate(WORDS)}
    scores["all words"] = int(right.all(-1).sum()) / count
    scores["not there"] = int((found.present & ~true.present).sum()) / count
    same = (found.background == true.background).float().mean(0)
    return scores | {"pattern": float(same[0]), "tint": float(same[1])}


def _cosine(found: Tensor, wanted: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(found, wanted, dim=-1).mean())


def drawing_scores(model: ImageAutoencoder, encoder: CLIPVisionModel, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Scores of scenes drawn from their features, from features spoilt to a cosine of `COSINE`, and of what a constant scores.

    Returns:
        ``true images``, ``drawn`` and ``drawn, cosine 0.9``: of each what `agreement` says of the images. ``pixel error``,
        ``frechet`` and ``cosine`` (of the features of drawn and true images) of what is drawn, and of the mean image as floors;
        ``mean feature: cosine`` is that of their mean to features.
    """
    images = [scene.image for scene in scenes]
    true = content_of(scenes)
    features = features_of(model, encoder, images)
    pixels = np.stack(images).astype(np.float64)
    mean = np.broadcast_to(pixels.mean(0).round().astype(np.uint8), pixels.shape)
    ways = {
        "true images": images,
        "drawn": list(model.draw(features).numpy()),
        f"drawn, cosine {COSINE}": list(model.draw(spoilt(features, COSINE)).numpy()),
        "mean image": list(mean),
    }
    scores: dict[str, Any] = {}
    for name, drawn in ways.items():
        seen = features_of(model, encoder, drawn)
        if name != "mean image":
            found = agreement(decode(seen + model.mean, model.sizes), true)
            scores |= {f"{name}: {what}": round(value, 4) for what, value in found.items()}
        if name != "true images":
            scores[f"{name}: pixel error"] = round(float(np.abs(np.stack(drawn) - pixels).mean()) / 255, 4)
            distance = frechet_distance(features.double().numpy(), seen.double().numpy())
            scores[f"{name}: frechet"] = round(float(distance), 4)
            scores[f"{name}: cosine"] = round(_cosine(seen, features), 4)
    scores["mean feature: cosine"] = round(_cosine(features.mean(0, keepdim=True), features), 4)
    return scores
