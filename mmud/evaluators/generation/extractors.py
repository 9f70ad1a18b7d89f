"""Extractors: what turns images into features, by name.

Built in: ``inception`` (the published Inception network as TorchScript, for FID), ``clip`` (a CLIP model of transformers),
``transformers`` (any image model of transformers), ``scenes-tiny`` (the small backbone of the scenes world) and ``features``
(what the submission carries). A package adds one with an entry point in the group ``mmud.extractors``: a callable that takes
``ExtractorOptions`` and returns an ``Extractor``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mmud import codes as general_codes
from mmud.errors import MmudError, Place
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.features import features_from_rows
from mmud.evaluators.generation.images import list_images
from mmud.images import DEFAULT_LIMITS, ImageLimits, Pixels, decode_image, read_image_bytes
from mmud.registry import Registry

T = TypeVar("T")
Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One image of a sample: a file, its bytes, or only the feature that the submission carries.

    Attributes:
        id: The sample's name; for a folder the path within it.
        path: The image file.
        data: The image file's bytes, as a dataset stores them.
        feature: The vector of numbers that came with the sample.
    """

    id: str
    path: Path | None = None
    data: bytes | None = None
    feature: Any = None

    @property
    def place(self) -> Place:
        return Place(sample=self.id, file=str(self.path) if self.path else None)

    def read(self, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
        """The image file's bytes.

        Raises:
            MmudError: as ``read_image_bytes``; MM870 when the sample has no image.
        """
        if self.data is not None:
            return self.data
        if self.path is None:
            raise MmudError(codes.NO_IMAGES, "the sample has no image", self.place)
        return read_image_bytes(self.path, limits)

    def pixels(self, limits: ImageLimits = DEFAULT_LIMITS) -> Pixels:
        """The decoded image; errors as ``read`` and ``decode_image``."""
        return decode_image(self.read(limits), limits, self.place)


def sources_of_folder(folder: Path) -> list[ImageSource]:
    """Every image of a folder, named by its path within it; errors as ``list_images``."""
    return [ImageSource(path.relative_to(folder).as_posix(), path) for path in list_images(Path(folder))]


@dataclass(frozen=True, slots=True)
class ExtractorIdentity:
    """What a figure must name to be comparable.

    Attributes:
        name: The extractor's.
        model: The network's file name, folder name or hub id.
        weights: SHA-256 of the weights, hexadecimal; None where there are none (``features``).
        mode: How images are prepared.
        inception: Whether the weights are those of the published Inception network: only then is a figure called FID.
    """

    name: str
    model: str | None = None
    weights: str | None = None
    mode: str | None = None
    inception: bool = False

    def signature_fields(self) -> dict[str, str]:
        fields = {"extractor": self.name, "model": self.model, "mode": self.mode}
        fields["weights"] = self.weights[:12] if self.weights else None
        return {key: value for key, value in fields.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "model": self.model,
            "weights": self.weights,
            "mode": self.mode,
            "inception": self.inception,
        }

    def cache_key(self) -> str:
        """Equal for extractors that give equal features."""
        return "\n".join(str(part) for part in (self.name, self.weights, self.mode))


@dataclass(frozen=True, slots=True)
class ExtractorOptions:
    """How an extractor is set up.

    Attributes:
        weights: Path of the network, or a hub id where the extractor takes one.
        mode: One of the extractor's modes; its default when left out.
        accept_hash: SHA-256 of weights that are known to differ from the published ones.
        device: torch's name of the device.
        batch_size: Images run at once; a last batch is filled up to it. Another size changes the last digits of features.
        limits: Bounds on images.
        offline: Take a hub id only from the local cache.
        model: A name for what made the features (``features`` only).
    """

    weights: str | Path | None = None
    mode: str | None = None
    accept_hash: str | None = None
    device: str = "cpu"
    batch_size: int = 8
    limits: ImageLimits = field(default_factory=ImageLimits)
    offline: bool = True
    model: str | None = None


Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


@runtime_checkable
class Extractor(Protocol):
    """Images to features.

    ``identity`` names what does it; ``extract`` gives float32 features, one row a source in the order given, and raises
    ``MmudError`` for the first image that cannot be used.
    """

    @property
    def identity(self) -> ExtractorIdentity: ...

    def extract(self, sources: Sequence[ImageSource], progress: Progress | None = None) -> Features: ...


ExtractorFactory = Callable[[ExtractorOptions], Extractor]

EXTRACTORS: Registry[ExtractorFactory] = Registry(
    "extractor",
    "mmud.extractors",
    {
        "inception": "mmud.evaluators.generation.inception:InceptionExtractor",
        "clip": "mmud.evaluators.generation.transformer_models:ClipExtractor",
        "transformers": "mmud.evaluators.generation.transformer_models:VisionExtractor",
        "features": "mmud.evaluators.generation.extractors:SubmittedFeatures",
        # By name alone: the backbones are of a higher floor, and only who asks for it imports them.
        "scenes-tiny": "mmud.baselines.backbones.extractor:SceneExtractor",
    },
)


def open_extractor(name: str, options: ExtractorOptions | None = None) -> Extractor:
    """Set up an extractor by name.

    Raises:
        MmudError: MM004, MM005, MM006 as ``Registry.get``; MM007 when torch or transformers, or the weights, are missing;
            MM871, MM872 and MM877 when the weights or the mode cannot be used.
    """
    return EXTRACTORS.get(name)(options or ExtractorOptions())


def setting_of(extractor: Extractor) -> str:
    """What the last digits of an extractor's features depend on besides its identity; "" where it does not say.

    An extractor tells it by an attribute ``setting``. Features that were kept are used again under the same setting only.
    """
    return str(getattr(extractor, "setting", ""))


def torch_setting(options: ExtractorOptions, *packages: Any) -> str:
    """The setting of a network of torch: device, batch size, and the versions of what prepares images and runs it."""
    import PIL

    versions = [f"{package.__name__} {package.__version__}" for package in (PIL, np, *packages)]
    return "; ".join([f"device {options.device}", f"batch {options.batch_size}", *versions])


class SubmittedFeatures:
    """The extractor ``features``: looks at no image, takes the vector that each sample carries."""

    modes: tuple[str, ...] = ()

    def __init__(self, options: ExtractorOptions) -> None:
        if options.weights is not None or options.mode is not None:
            raise MmudError(codes.EXTRACTOR_UNUSABLE, "`features` takes neither weights nor a mode")
        self.identity = ExtractorIdentity("features", options.model)

    def extract(self, sources: Sequence[ImageSource], progress: Progress | None = None) -> Features:
        """The samples' vectors; errors as ``features_from_rows``."""
        matrix = features_from_rows([source.feature for source in sources], [source.id for source in sources])
        if progress is not None:
            progress(len(sources), len(sources))
        return matrix


def class_probabilities(extractor: Extractor) -> Any:
    """The extractor's function from images to class probabilities, which an Inception Score needs.

    Raises:
        MmudError: MM872 when it has none.
    """
    found = getattr(extractor, "probabilities", None)
    if found is None:
        message = f"`{extractor.identity.name}` gives no class probabilities; an Inception Score needs `inception`"
        raise MmudError(codes.EXTRACTOR_UNUSABLE, message)
    return found


def require_text_side(extractor: Extractor) -> None:
    """CLIP scores compare images with texts, so the extractor must read both.

    Raises:
        MmudError: MM872 when it reads no text.
    """
    if not hasattr(extractor, "embed_texts"):
        message = f"`{extractor.identity.name}` has no text side; CLIP scores need the extractor `clip`"
        raise MmudError(codes.EXTRACTOR_UNUSABLE, message)


def full_batches(items: Sequence[T], size: int) -> Iterator[tuple[list[T], int]]:
    """Pieces of exactly ``size``, the last filled up with its own last item, and how many of each are to be kept.

    Matrix products of another shape round otherwise: a network gives an image other last digits in a batch of 5 than in one
    of 8. In batches of one shape the neighbours and the place in the batch do not matter, so features are the same for
    images in any order and in any number of shards.
    """
    for start in range(0, len(items), size):
        part = list(items[start : start + size])
        yield part + [part[-1]] * (size - len(part)), len(part)


def chosen_mode(options: ExtractorOptions, modes: tuple[str, ...], extractor: str) -> str:
    """The mode asked for, or the first.

    Raises:
        MmudError: MM872 for one that the extractor does not know.
    """
    mode = options.mode or modes[0]
    if mode not in modes:
        raise MmudError(codes.EXTRACTOR_UNUSABLE, f"`{extractor}` has no mode {mode!r}; it has {', '.join(modes)}")
    return mode


def mode_label(mode: str, limits: ImageLimits) -> str:
    """The mode as a figure names it: turning images by their EXIF tag makes other features."""
    return f"{mode}+exif" if limits.exif_orientation else mode


def required_weights(options: ExtractorOptions, extractor: str, what: str) -> str:
    """The path or id of the weights.

    Raises:
        MmudError: MM007 when none was given, saying what is needed.
    """
    if options.weights is None:
        message = f"the extractor `{extractor}` needs {what}"
        raise MmudError(general_codes.DEPENDENCY_MISSING, message, hint=f"Give --weights with {what}.")
    return str(options.weights)


def require_torch(extractor: str) -> Any:
    """The module torch, imported when it is first needed.

    Raises:
        MmudError: MM007 when it is not installed.
    """
    return require_package("torch", extractor)


def require_package(name: str, extractor: str) -> Any:
    """A package of the extra ``images``.

    Raises:
        MmudError: MM007 when it is not installed or fails to import.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"the extractor `{extractor}` needs the package {name!r}: {error}"
        hint = "pip install 'mmud[images]' (with -c constraints.txt of the project for the CPU build of torch)"
        raise MmudError(general_codes.DEPENDENCY_MISSING, message, hint=hint) from error


def hash_of_files(files: Sequence[Path], root: Path) -> str:
    """One SHA-256 for several files: of their names within ``root`` and the SHA-256 of each, in the order of names."""
    from mmud.files import sha256_of

    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(root).as_posix(), path) for path in files):
        digest.update(f"{name}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()
