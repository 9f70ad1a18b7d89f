"""Tokens of their own for the tags: ``<LCL-1>`` to ``<LCL-N>`` and ``<GLB>``.

The paper enlarges the embedding and the head and trains both whole: 262 million parameters beside a network of 25 million. By
default only the new tokens' rows are trained here, beside a frozen embedding and head: hooks put them in, the language model is
neither patched nor resized, and its ``state_dict`` stays what it was.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from mmud.annotations.instructions.instances import GENERATION_TAG
from mmud.annotations.tags import render
from mmud.baselines.neural_tuning import codes
from mmud.errors import MmudError

_SAMPLED_ROWS = 4096
"""Rows of an embedding that its statistics are taken from: the whole of 150,000 would take seconds."""


@dataclass(frozen=True)
class TagTokens:
    """The new tokens' ids, which follow one another.

    Attributes:
        first: the id of ``<LCL-1>``.
        tag_limit: N; the id of ``<LCL-k>`` is first + k - 1, that of ``<GLB>`` is first + N.
    """

    first: int
    tag_limit: int

    @property
    def count(self) -> int:
        return self.tag_limit + 1

    @property
    def image(self) -> int:
        """The id of ``<GLB>``."""
        return self.first + self.tag_limit

    def number(self, token: int) -> int | None:
        """k of ``<LCL-k>``, 0 of ``<GLB>``, None of any other token."""
        if token == self.image:
            return 0
        return token - self.first + 1 if self.first <= token < self.image else None


def with_tags(tokenizer: Any, tag_limit: int, rows: int) -> tuple[Any, TagTokens]:
    """A copy of a tokenizer that has the tags as tokens.

    Args:
        tokenizer: of transformers.
        tag_limit: N of ``<LCL-1>`` to ``<LCL-N>``.
        rows: of the language model's embedding.

    Raises:
        MmudError: MM911 when it has a tag already, MM910 when it cannot have them.
    """
    names = [*map(render, range(1, tag_limit + 1)), GENERATION_TAG]
    taken = sorted(set(names) & set(tokenizer.get_vocab()))
    if taken:
        raise MmudError(codes.TAGS_TAKEN, f"the tokenizer has {', '.join(taken)}")
    if len(tokenizer) > rows:
        message = f"the tokenizer has {len(tokenizer)} tokens, the language model {rows} embeddings"
        raise MmudError(codes.TOKENIZER_MISMATCH, message)
    if tokenizer.eos_token_id is None:
        raise MmudError(codes.TOKENIZER_MISMATCH, "the tokenizer has no token that ends a text")
    from transformers import AddedToken

    enlarged = copy.deepcopy(tokenizer)
    # A tag takes the space before it: a word-level tokenizer would leave a lone space, which no language model has learnt to say.
    enlarged.add_tokens([AddedToken(name, lstrip=True, normalized=False) for name in names])
    ids = enlarged.convert_tokens_to_ids(names)
    first = len(tokenizer)
    if ids != list(range(first, first + len(names))):
        raise MmudError(codes.TOKENIZER_MISMATCH, f"the tags became tokens {ids}, not those from {first} on")
    spelt = enlarged("".join(names), add_special_tokens=False)["input_ids"]
    if [token for token in spelt if token in ids] != ids:
        raise MmudError(codes.TOKENIZER_MISMATCH, "the tokenizer splits the tags that were added to it")
    return enlarged, TagTokens(first, tag_limit)


def embedding_and_head(language_model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The modules that read tokens in and write logits out.

    Raises:
        MmudError: MM910 when the model has no head over its tokens.
    """
    model: Any = language_model
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is None:
        raise MmudError(codes.TOKENIZER_MISMATCH, f"{type(language_model).__name__} has no head over its tokens")
    return embedding, head


def embedding_rows(language_model: nn.Module) -> int:
    """How many tokens the language model has embeddings for."""
    weight: Any = embedding_and_head(language_model)[0].weight
    return int(weight.shape[0])


@torch.no_grad()
def embedding_sample(language_model: nn.Module) -> torch.Tensor:
    """Embeddings as the first layer receives them, shape (rows, width): evenly spread over the tokens, in float32."""
    embedding = embedding_and_head(language_model)[0]
    weight: Any = embedding.weight
    rows = int(weight.shape[0])
    ids = torch.arange(0, rows, max(1, rows // _SAMPLED_ROWS), device=weight.device)
    # Through the module, since some models scale their embeddings inside it.
    sample: torch.Tensor = embedding(ids)
    return sample.float()


class NewTokens(nn.Module):
    """What the tags' tokens are to the language model."""

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained and saved."""
        return dict(self.named_parameters())

    @contextmanager
    def switched_off(self) -> Iterator[None]:
        """The language model with its own tokens alone, for the length of a block."""
        yield


class TokenRows(NewTokens):
    """Rows of their own beside a frozen embedding and head.

    Args:
        language_model: a causal language model.
        tokens: the new tokens.
    """

    def __init__(self, language_model: nn.Module, tokens: TagTokens) -> None:
        super().__init__()
        embedding, head = embedding_and_head(language_model)
        self.tokens = tokens
        self.switched_on = True
        self._waiting: list[torch.Tensor] = []
        embedding_weight: Any = embedding.weight
        head_weight: Any = head.weight
        self.embedding = nn.Parameter(_like(embedding_sample(language_model), tokens.count, embedding_weight))
        self.head = nn.Parameter(_like(head_weight[:_SAMPLED_ROWS], tokens.count, head_weight))
        self._handles: list[RemovableHandle] = [
            embedding.register_forward_pre_hook(self._before_embedding),
            embedding.register_forward_hook(self._after_embedding),
            head.register_forward_hook(self._after_head),
        ]

    def detach_from_model(self) -> None:
        """Take the hooks off."""
        while self._handles:
            self._handles.pop().remove()

    def _is_new(self, ids: torch.Tensor) -> torch.Tensor:
        return (ids >= self.tokens.first) & (ids < self.tokens.first + self.tokens.count)

    def _before_embedding(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        if not self.switched_on:
            return inputs
        ids: torch.Tensor = inputs[0]
        self._waiting.append(ids)
        # The frozen table may end before the new ids.
        return (ids.masked_fill(self._is_new(ids), 0), *inputs[1:])

    def _after_embedding(self, module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        if not self.switched_on:
            return output
        ids = self._waiting.pop()
        new = self._is_new(ids)
        rows = self.embedding[(ids - self.tokens.first).clamp(0, self.tokens.count - 1)].to(output.dtype)
        return torch.where(new[..., None], rows, output)

    def _after_head(self, module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        if not self.switched_on:
            return output
        hidden: torch.Tensor = inputs[0]
        added = functional.linear(hidden.to(self.head.dtype), self.head).to(output.dtype)
        end = self.tokens.first + self.tokens.count
        # Tables are often longer than the vocabulary; new tokens take the unused rows first.
        return torch.cat([output[..., : self.tokens.first], added, output[..., end:]], dim=-1)

    @contextmanager
    def switched_off(self) -> Iterator[None]:
        """The language model with its own tokens alone."""
        before, self.switched_on = self.switched_on, False
        try:
            yield
        finally:
            self.switched_on = before


class WholeEmbeddings(NewTokens):
    """The paper's way: embedding and head are enlarged and trained whole. The language model itself changes."""

    def __init__(self, language_model: nn.Module, tokens: TagTokens) -> None:
        super().__init__()
        model: Any = language_model
        rows = embedding_rows(language_model)
        end = tokens.first + tokens.count
        if end > rows:
            model.resize_token_embeddings(end, mean_resizing=False)
        embedding, head = embedding_and_head(language_model)
        with torch.no_grad():
            for module in (embedding, head):
                weight: Any = module.weight
                weight[tokens.first : end] = _like(weight[: tokens.first], tokens.count, weight)
                weight.requires_grad_(True)
        # In a list, so that they are not registered here a second time.
        self._weights = [("embedding", embedding), ("head", head)]

    def trained(self) -> dict[str, nn.Parameter]:
        """Embedding and head; one of them where the model ties them."""
        found: dict[str, nn.Parameter] = {}
        for name, module in self._weights:
            weight: Any = module.weight
            if all(weight is not other for other in found.values()):
                found[name] = weight
        return found


@torch.no_grad()
def _like(rows: torch.Tensor, count: int, weight: torch.Tensor) -> torch.Tensor:
    """New rows around the mean of those there are: a token that is like no other would be chosen always or never."""
    if rows.is_meta:
        return torch.empty(count, rows.shape[1], device="meta")
    rows = rows.float()
    drawn = torch.randn(count, rows.shape[1]) * rows.std(0, correction=0).mean().cpu() / 4
    return (rows.mean(0).cpu() + drawn).to(weight.device)
