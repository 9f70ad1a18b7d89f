"""What a frozen network says of each image, computed once and kept on disk.

::

    CACHE/tower_features/KEY/key.json                 what the features depend on
                             chunk-000003.safetensors those of images 96 to 127, one tensor a layer: (images, …)

A chunk is a file of its own that appears whole or not at all, so an interrupted computation goes on with the first that is
missing. Reading maps chunks into memory; nothing is held.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from mmud.baselines.base import ProgressFactory, silent
from mmud.baselines.training.tensor_files import write_tensors
from mmud.files import cache_folder, write_json

Features = tuple[torch.Tensor, ...]
FORMAT = 1
CHUNK = 32
_OPEN_FILES = 64


class FeatureCache:
    """Features by position.

    Args:
        key: everything that the features depend on: dataset, split, network, its weights. JSON-compatible.
        count: positions, from 0.
        chunk: images a file. Fixed pieces also fix which images are computed together, so features do not depend on where a
            computation was interrupted.
        folder: where caches are kept; the package's own cache when left out.
    """

    def __init__(self, key: Mapping[str, Any], count: int, chunk: int = CHUNK, folder: Path | None = None) -> None:
        self._key = {"format": FORMAT, "chunk": chunk, **key}
        text = json.dumps(self._key, sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        self.folder = (folder or cache_folder("tower_features")) / self.digest[:32]
        self._count = count
        self._chunk = chunk
        self._open: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def _file(self, number: int) -> Path:
        return self.folder / f"chunk-{number:06d}.safetensors"

    def _range(self, number: int) -> range:
        return range(number * self._chunk, min((number + 1) * self._chunk, self._count))

    def missing(self) -> list[range]:
        """The pieces that are still to be computed: those without a file, or with one that is damaged or too short."""
        return [self._range(number) for number in range(-(-self._count // self._chunk)) if not self._whole(number)]

    def _whole(self, number: int) -> bool:
        file = self._file(number)
        if not file.exists():
            return False
        try:
            with safe_open(file, framework="pt") as opened:
                shapes = [opened.get_slice(name).get_shape() for name in opened.keys()]  # noqa: SIM118
        except (OSError, SafetensorError):
            # Cut off or overwritten by something else: it is computed again.
            return False
        return bool(shapes) and all(shape and shape[0] >= len(self._range(number)) for shape in shapes)

    def fill(
        self,
        compute: Callable[[Sequence[range]], Iterable[tuple[range, Sequence[Features]]]],
        progress: ProgressFactory = silent,
        label: str = "image features",
    ) -> int:
        """Compute what is missing; how many images that were.

        Args:
            compute: from pieces, ascending, to each piece with the features of its images in order.
            progress: for a person.
            label: what is computed, in words.

        Raises:
            MmudError: MM008 when a file cannot be written; the others stay.
        """
        missing = self.missing()
        total = sum(map(len, missing))
        if not missing:
            return 0
        write_json(self.folder / "key.json", self._key)
        with progress(label, total) as bar:
            for piece, features in compute(missing):
                layers = [torch.stack(list(layer)) for layer in zip(*features, strict=True)]
                if any(len(layer) != len(piece) for layer in layers):
                    raise ValueError(f"{len(features)} features for {len(piece)} images")
                tensors = {f"layer-{number:03d}": layer for number, layer in enumerate(layers)}
                write_tensors(self._file(piece.start // self._chunk), tensors)
                bar.advance(len(piece))
        return total

    def __getitem__(self, position: int) -> Features:
        """The features of the image at a position: copies, so that nothing keeps a file open."""
        if not 0 <= position < self._count:
            raise IndexError(position)
        number, row = divmod(position, self._chunk)
        opened = self._opened(number)
        return tuple(opened.get_slice(name)[row].clone() for name in sorted(opened.keys()))

    def _opened(self, number: int) -> Any:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        self._open[number] = safe_open(self._file(number), framework="pt")
        if len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)
        return self._open[number]
