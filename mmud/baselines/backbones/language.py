"""The language model: a small Llama, its batches and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from mmud.baselines.backbones.documents import BAG, GRID, Document, Writer
from mmud.baselines.backbones.world import pretraining_world
from mmud.dataset.sources.scenes.stream import Stream
from mmud.dataset.sources.scenes.world import generate

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

#: Chosen by tokens a second and by loss after equal time; see docs/scenes-tiny.md.
SIZE: Final[dict[str, int]] = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}


def build_language_model(tokenizer: PreTrainedTokenizerFast, **changes: int) -> LlamaForCausalLM:
    """An untrained model for the tokenizer; its weights follow torch's seed.

    Embeddings and head are tied: an answer copies words of its context, and one table then serves both ends.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    settings: dict[str, Any] = {**SIZE, **changes}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attention_bias=False,
        **settings,
    )
    return LlamaForCausalLM(config)


@dataclass(slots=True)
class Batch:
    """Documents of one length, padded on the right (causal attention needs no mask for that).

    Attributes:
        ids, positions: (B, T) int64.
        weights: (B, T) float32; the weight of a token as a target.
        grid_rows: (G,) which rows have a grid context.
        shares: (G, GRID * GRID, K), words: (G, K, BAG): see GridContext; K is one more than the most objects.
    """

    ids: Tensor
    positions: Tensor
    weights: Tensor
    grid_rows: Tensor
    shares: Tensor
    words: Tensor


def collate(documents: Sequence[Document], pad: int, left: bool = False) -> Batch:
    """A batch of documents; ``left`` puts the padding in front, for generation."""
    longest = max(len(document.ids) for document in documents)

    def filled(values: Sequence[Any], value: Any) -> list[Any]:
        padding = [value] * (longest - len(values))
        return [*padding, *values] if left else [*values, *padding]

    grids = [(row, document.grid) for row, document in enumerate(documents) if document.grid is not None]
    most = max((len(context.words) for _, context in grids), default=1)
    shares = torch.zeros(len(grids), GRID * GRID, most)
    words = torch.full((len(grids), most, BAG), -1)
    for position, (_, context) in enumerate(grids):
        shares[position, :, : context.shares.shape[1]] = torch.from_numpy(context.shares)
        words[position, : len(context.words)] = torch.from_numpy(context.words)
    return Batch(
        ids=torch.tensor([filled(document.ids, pad) for document in documents]),
        positions=torch.tensor([filled(document.positions, 0) for document in documents]),
        weights=torch.tensor([filled(document.weights, 0.0) for document in documents]),
        grid_rows=torch.tensor([row for row, _ in grids], dtype=torch.long),
        shares=shares,
        words=words,
    )


def bag_embeddings(table: Tensor, words: Tensor) -> Tensor:
    """(…, BAG) token ids, -1 for none -> (…, width): the sum of the words' embeddings."""
    known = (words >= 0).unsqueeze(-1)
    summed: Tensor = (nn.functional.embedding(words.clamp_min(0), table) * known).sum(-2)
    return summed


def to_embedding_scale(vectors: Tensor, table: Tensor) -> Tensor:
    """Vectors (…, width) brought to the root mean square of the embedding table: what image tokens come in as well."""
    scale = table.detach().square().mean().sqrt()
    return vectors * (vectors.square().mean(-1, keepdim=True) + 1e-8).rsqrt() * scale


def grid_embeddings(table: Tensor, shares: Tensor, words: Tensor) -> Tensor:
    """(G, positions, K) shares and (G, K, BAG) words -> (G, positions, width): grid contexts as embeddings."""
    return to_embedding_scale(shares @ bag_embeddings(table, words), table)


def embed(model: LlamaForCausalLM, batch: Batch, starts: Tensor | None = None) -> Tensor:
    """(B, T, width): embeddings of a batch, grid contexts in their places.

    Args:
        starts: (G,) position of ``<s>`` in each row with a grid; 0 when left out.
    """
    table: Any = model.get_input_embeddings().weight
    embedded: Tensor = nn.functional.embedding(batch.ids, table)
    if len(batch.grid_rows):
        contexts = grid_embeddings(table, batch.shares, batch.words)
        first = torch.zeros_like(batch.grid_rows) if starts is None else starts
        columns = first[:, None] + 1 + torch.arange(GRID * GRID)
        embedded = embedded.index_put((batch.grid_rows[:, None].expand_as(columns), columns), contexts)
    return embedded


def weighted_loss(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Cross-entropy of the next token, averaged by the documents' weights."""
    hidden = model.model(
        inputs_embeds=embed(model, batch), position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    weights = batch.weights[:, 1:]
    wanted = weights > 0
    logits = model.lm_head(hidden[:, :-1][wanted])
    losses = nn.functional.cross_entropy(logits, batch.ids[:, 1:][wanted], reduction="none")
    chosen = weights[wanted]
    loss: Tensor = (losses * chosen).sum() / chosen.sum()
    return loss


class LanguageData:
    """Batches by step: a pure function of the seed, so that a resumed run goes on with the same ones.

    Args:
        writer: Writes the documents.
        seed: Of the run.
        rows: Documents of a batch.
    """

    def __init__(self, writer: Writer, seed: int, rows: int) -> None:
        self.writer = writer
        self.seed = seed
        self.rows = rows
        self.world = pretraining_world(seed)

    def batch(self, step: int) -> Batch:
        documents = []
        for index in range(step * self.rows, (step + 1) * self.rows):
            scene = generate(self.world, index)
            documents.append(self.writer.write(scene, Stream("language", self.seed, index)))
        return collate(documents, int(self.writer.tokenizer.pad_token_id))
