"""The losses of a training: always a line of JSON a step that is logged, and TensorBoard's scalars where it is installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmud import codes as general_codes
from mmud.errors import MmudError, Place
from mmud.files import write_text

LOG_NAME = "log.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


class TrainingLog:
    """``log.jsonl``, and a folder for TensorBoard. A context manager.

    Args:
        folder: to write in.
        after: lines of later steps are removed: they belong to steps that an interruption undid.
        note: says once how to get TensorBoard, where it is missing.

    Raises:
        MmudError: MM008 when it cannot be written.
    """

    def __init__(self, folder: Path, after: int, note: Callable[[str], None] = lambda text: None) -> None:
        self.file = folder / LOG_NAME
        self.lines = [line for line in read_log(folder) if line["step"] <= after]
        write_text(self.file, "".join(_encoded(line) for line in self.lines))
        self._stream = self._open()
        self._board = _board(folder / TENSORBOARD_FOLDER, after, note)

    def _open(self) -> Any:
        try:
            return open(self.file, "a", encoding="utf-8")
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> MmudError:
        return MmudError(general_codes.NOT_WRITABLE, f"cannot write: {error}", Place(file=str(self.file)))

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Log the scalars of a step."""
        line = {"step": step, **scalars}
        self.lines.append(line)
        try:
            self._stream.write(_encoded(line))
            self._stream.flush()
        except OSError as error:
            raise self._refused(error) from error
        if self._board is not None:
            for name, value in scalars.items():
                self._board.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if self._board is not None:
            self._board.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a log, without one that an interruption cut off."""
    file = folder / LOG_NAME
    if not file.exists():
        return []
    found = []
    for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            break
        if not isinstance(line, dict) or not isinstance(line.get("step"), int):
            break
        found.append(line)
    return found


def _encoded(line: Mapping[str, Any]) -> str:
    return json.dumps(line, allow_nan=False) + "\n"


def _board(folder: Path, after: int, note: Callable[[str], None]) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        note(f"Losses go to {LOG_NAME}. For TensorBoard as well: pip install tensorboard")
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=after + 1)
