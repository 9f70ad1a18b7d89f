"""Small backbones that come with the package: a language model, a vision encoder and an image decoder of the scenes world.

``mmud pretrain scenes-tiny -o DIR`` makes them anew; :func:`scenes_tiny` is the folder of the weights in the package.
"""

from __future__ import annotations

from pathlib import Path


def scenes_tiny() -> Path:
    """The folder of the pretrained parts: ``language/`` (with its tokenizer), ``vision/``, ``images/`` and ``map/``."""
    return Path(__file__).parent / "scenes_tiny"
