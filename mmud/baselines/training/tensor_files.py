"""Named tensors on disk: safetensors, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmud import codes as general_codes
from mmud.baselines import codes
from mmud.errors import MmudError, Place

Tensors = dict[str, torch.Tensor]


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a safetensors file atomically; it is on the disk when this returns.

    Raises:
        MmudError: MM008 when the operating system refuses (full disk, no permission).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    # Tensors that share storage are refused by the format; each is written for itself.
    own = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(own, temporary)
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise MmudError(general_codes.NOT_WRITABLE, f"cannot write: {error}", Place(file=str(path))) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path) -> Tensors:
    """Read a safetensors file onto the CPU.

    Raises:
        MmudError: MM904 when it is missing, cut off or no safetensors file.
    """
    try:
        found: Tensors = load_file(path, device="cpu")
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise MmudError(
            codes.CHECKPOINT_UNREADABLE, f"{type(error).__name__}: {error}", Place(file=str(path))
        ) from error
    return found


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """A SHA-256 over names, types, shapes and values of tensors, in the order of names: it tells sets of weights apart."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.to("cpu").contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
