"""The codes of validation, one module a family; importing this package declares them all."""

from __future__ import annotations

from mmud.dataset.checks.codes import identity, images, masks, structure, tags, text

__all__ = ["identity", "images", "masks", "structure", "tags", "text"]
