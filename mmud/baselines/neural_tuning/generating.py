"""Answers in batches: greedy decoding with a key-value cache, and how samples are put into batches of like length.

Prompts are padded on the left, so that every sequence's next token stands in the last column; padding takes no positions and is
never attended to. Answers therefore do not depend on the batch that they are made in.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from mmud.baselines.neural_tuning.interfaces import Batch, TunedModel

T = TypeVar("T")


def length_buckets(items: Iterable[T], length: Callable[[T], int], batch: int, window: int = 8) -> Iterator[list[T]]:
    """Items in batches of like length.

    Args:
        items: in any order; read as a stream, ``window`` batches ahead.
        length: of an item.
        batch: at most so many at once.
        window: in batches; more gives less padding and keeps more waiting.
    """
    waiting: list[T] = []

    def batches() -> Iterator[list[T]]:
        waiting.sort(key=length, reverse=True)
        for start in range(0, len(waiting), batch):
            yield waiting[start : start + batch]
        waiting.clear()

    for item in items:
        waiting.append(item)
        if len(waiting) == batch * window:
            yield from batches()
    yield from batches()


class KeptStates:
    """The language model's states as answers were made: what masks and images are read from without a second pass.

    The state of a position is known once its token was read, and a tag is predicted by the position before it; so all that
    decoders ask for is there. Kept are L layers of (rows, T, W), about half of what a key-value cache of as many heads takes.
    """

    def __init__(self) -> None:
        self._lengths: list[int] = []
        self._pieces: list[tuple[list[int], tuple[torch.Tensor, ...]]] = []

    def begin(self, batch: Batch) -> None:
        """Before the first states of a batch of prompts."""
        self._lengths, self._pieces = batch.attention_mask.sum(1).tolist(), []

    def add(self, rows: Sequence[int], states: Sequence[torch.Tensor]) -> None:
        """States of these rows: of all of their prompts, and later of one token each."""
        self._pieces.append((list(rows), tuple(states)))

    def reach(self, rows: Sequence[int], lengths: Sequence[int]) -> bool:
        """Whether the states are there that predict the tokens of answers of these lengths, which may not be what was said."""
        read = Counter(row for those, _ in self._pieces for row in those)
        return all(read[row] >= length for row, length in zip(rows, lengths, strict=True))

    def laid_out(self, rows: Sequence[int], whole: Batch) -> tuple[torch.Tensor, ...]:
        """L tensors (B, T, W) for a batch of prompts and answers, as a pass of the language model over it would give them.

        Args:
            rows: of the prompts, those that ``whole`` has, in its order.
            whole: padded on the right. Positions that were never read are zero.
        """
        length = whole.attention_mask.shape[1]
        begun, first = self._pieces[0]
        laid = tuple(one.new_zeros(len(rows), length, one.shape[-1]) for one in first)
        place_of = {row: place for place, row in enumerate(rows)}
        for row, place in place_of.items():
            end, number = self._lengths[row], begun.index(row)
            for states, prompt in zip(laid, first, strict=True):
                states[place, :end] = prompt[number, -end:]
        for step, (those, pieces) in enumerate(self._pieces[1:]):
            found = [
                (place_of[row], self._lengths[row] + step, number)
                for number, row in enumerate(those)
                if row in place_of and self._lengths[row] + step < length
            ]
            if found:
                places, positions, numbers = torch.tensor(found, device=laid[0].device).unbind(1)
                for states, piece in zip(laid, pieces, strict=True):
                    states[places, positions] = piece[numbers, -1]
        return laid


class _Decoding:
    """One batch in the making: which rows are left, what they said, and the cache of their keys and values."""

    def __init__(self, model: TunedModel, batch: Batch, use_cache: bool, kept: KeptStates | None) -> None:
        self.model: Any = model.language_model
        self._embed = self.model.get_input_embeddings()
        known = inspect.signature(self.model.forward).parameters
        self._takes_positions = "position_ids" in known
        self._keep_last = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        self.use_cache = use_cache
        self.inputs = model.embed(batch)
        self.attention = batch.attention_mask
        self.positions = batch.position_ids
        self.cache: Any = None
        self.rows = list(range(len(batch)))
        self._kept = kept
        if kept is not None:
            kept.begin(batch)

    def next_tokens(self) -> torch.Tensor:
        """The likeliest next token of each row that is left; shape (rows,)."""
        positions = {"position_ids": self.positions} if self._takes_positions else {}
        output = self.model(
            inputs_embeds=self.inputs,
            attention_mask=self.attention,
            past_key_values=self.cache,
            use_cache=self.use_cache,
            output_hidden_states=self._kept is not None,
            return_dict=True,
            **positions,
            **self._keep_last,
        )
        self.cache = output.past_key_values if self.use_cache else None
        if self._kept is not None:
            self._kept.add(self.rows, output.hidden_states)
        tokens: torch.Tensor = output.logits[:, -1].argmax(-1)
        return tokens

    def append(self, tokens: torch.Tensor) -> None:
        """Take the tokens over as the rows' next ones."""
        embedded = self._embed(tokens[:, None]).to(self.inputs.dtype)
        position = self.positions[:, -1:] + 1
        self.attention = torch.cat([self.attention, torch.ones_like(self.attention[:, :1])], dim=1)
        if self.use_cache:
            self.inputs, self.positions = embedded, position
        else:
            self.inputs = torch.cat([self.inputs, embedded], dim=1)
            self.positions = torch.cat([self.positions, position], dim=1)

    def keep(self, kept: Sequence[int]) -> None:
        """Go on with some of the rows alone, by their place among those left."""
        index = torch.tensor(kept, dtype=torch.long, device=self.attention.device)
        self.inputs, self.attention, self.positions = (
            self.inputs[index],
            self.attention[index],
            self.positions[index],
        )
        if self.cache is not None:
            self.cache.batch_select_indices(index)
        self.rows = [self.rows[place] for place in kept]


@torch.inference_mode()
def generate(
    model: TunedModel,
    batch: Batch,
    limits: Sequence[int],
    stop: int | Sequence[int],
    *,
    use_cache: bool = True,
    kept: KeptStates | None = None,
) -> list[list[int]]:
    """Greedy answers to prompts.

    Args:
        model: switched to evaluation.
        batch: prompts alone, padded on the left, on the model's device.
        limits: how many tokens each answer may have at most.
        stop: the token or tokens that end an answer.
        use_cache: False computes every prefix anew, as the published code would: many times slower, the same answers.
        kept: takes the states up; with a cache alone.

    Returns:
        The tokens of each answer, without the one that ended it.
    """
    stops = {stop} if isinstance(stop, int) else set(stop)
    said: list[list[int]] = [[] for _ in range(len(batch))]
    most = list(limits)
    decoding = _Decoding(model, batch, use_cache, kept if use_cache else None)
    going = [row for row in decoding.rows if most[row] > 0]
    if len(going) < len(decoding.rows):
        decoding.keep(going)
    while decoding.rows:
        tokens = decoding.next_tokens()
        unfinished = []
        for place, (row, token) in enumerate(zip(decoding.rows, tokens.tolist(), strict=True)):
            # A row that is finished only waits until enough others are.
            if len(said[row]) < most[row]:
                if token in stops:
                    most[row] = len(said[row])
                else:
                    said[row].append(token)
            if len(said[row]) < most[row]:
                unfinished.append(place)
        if not unfinished:
            break
        decoding.append(tokens)
        # Dropping rows copies the cache, so it is done when it halves the work.
        if 2 * len(unfinished) <= len(decoding.rows):
            decoding.keep(unfinished)
    return said
