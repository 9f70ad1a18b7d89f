"""The language model: a small Llama, its batches, its loss, and the gate that it has to pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from mmud.baselines.backbones.documents import BAG, ContextKind, Document, Mixture, Writer
from mmud.baselines.backbones.turns import PLACES, Turn, question_turn
from mmud.baselines.backbones.world import PRETRAINING_SEED, tiny_world
from mmud.dataset.sources.scenes.language.questions import ask_family
from mmud.dataset.sources.scenes.stream import Stream
from mmud.dataset.sources.scenes.vocabulary import REFERENCES
from mmud.dataset.sources.scenes.world import Scene, generate

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

SIZE: Final[dict[str, int]] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
EMBEDDING_DEVIATION: Final = 0.06
QUERY_DEVIATION: Final = 0.08
VALUE_SHARE: Final = 0.7
"""How the weights start; see `build_language_model`."""


def build_language_model(tokenizer: PreTrainedTokenizerFast, **changes: int) -> LlamaForCausalLM:
    """An untrained model for the tokenizer; its weights follow torch's seed.

    Embeddings and head are tied: an answer copies words of its context, and one table then serves both ends. Each head starts
    with nearly the same map for queries and keys, and with an output map that undoes its value map ("mimetic" initialisation,
    Trockman and Kolter 2023, arXiv 2305.09828): it looks for tokens that are alike and copies them. Numbers start on a curve,
    in their order. On drills with five objects this took the place of some thousand steps.
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
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        _start_embeddings(model, Writer(tokenizer))
        _start_attention(model)
    return model


def _start_embeddings(model: LlamaForCausalLM, writer: Writer) -> None:
    table: Any = model.get_input_embeddings().weight
    table.normal_(0, EMBEDDING_DEVIATION)
    width = table.shape[1]
    axes = torch.randn(2, width) * EMBEDDING_DEVIATION
    for number in range(PLACES):
        along = 2 * number / (PLACES - 1) - 1
        own = 0.5 * EMBEDDING_DEVIATION * torch.randn(width)
        table[writer.word(str(number))] = own + 1.2 * along * axes[0] + 0.8 * math.cos(along * math.pi / 2) * axes[1]


def _start_attention(model: LlamaForCausalLM) -> None:
    width = int(model.config.hidden_size)
    for layer in model.model.layers:
        attention: Any = layer.self_attn
        shared = torch.randn(width, width) * QUERY_DEVIATION
        for projection in (attention.q_proj, attention.k_proj):
            projection.weight.copy_(shared + 0.3 * QUERY_DEVIATION * torch.randn(width, width))
        turned = torch.linalg.qr(torch.randn(width, width))[0] * math.sqrt(VALUE_SHARE)
        attention.v_proj.weight.copy_(turned + 0.02 * torch.randn(width, width))
        attention.o_proj.weight.copy_(turned.T + 0.02 * torch.randn(width, width))


@dataclass(slots=True)
class TextBatch:
    """Documents of one length, padded on the right (causal attention needs no mask for that).

    Attributes:
        ids: (B, T) int64.
        weights: (B, T) float32; the weight of a token as a target.
        soft_rows: (G,) which rows have positions without words.
        soft_positions: (G,) how many.
        shares: (G, P, K), words: (G, K, BAG): see `SoftContext`, padded.
    """

    ids: Tensor
    weights: Tensor
    soft_rows: Tensor
    soft_positions: Tensor
    shares: Tensor
    words: Tensor


def collate(documents: Sequence[Document], pad: int) -> TextBatch:
    """A batch of documents."""
    longest = max(len(document.ids) for document in documents)
    soft = [(row, document.soft) for row, document in enumerate(documents) if document.soft is not None]
    positions = max((context.shares.shape[0] for _, context in soft), default=0)
    most = max((context.shares.shape[1] for _, context in soft), default=0)
    shares = torch.zeros(len(soft), positions, most)
    words = torch.full((len(soft), most, BAG), -1)
    for number, (_, context) in enumerate(soft):
        shares[number, : context.shares.shape[0], : context.shares.shape[1]] = torch.from_numpy(context.shares)
        words[number, : len(context.words)] = torch.from_numpy(context.words)
    return TextBatch(
        ids=torch.tensor([[*one.ids, *[pad] * (longest - len(one.ids))] for one in documents]),
        weights=torch.tensor([[*one.weights, *[0.0] * (longest - len(one.ids))] for one in documents]),
        soft_rows=torch.tensor([row for row, _ in soft], dtype=torch.long),
        soft_positions=torch.tensor([context.shares.shape[0] for _, context in soft], dtype=torch.long),
        shares=shares,
        words=words,
    )


def soft_embeddings(table: Tensor, shares: Tensor, words: Tensor) -> Tensor:
    """(G, P, K) shares and (G, K, BAG) words -> (G, P, width): sums of words, brought to the embeddings' root mean square."""
    known = (words >= 0).unsqueeze(-1)
    bags = (nn.functional.embedding(words.clamp_min(0), table) * known).sum(-2)
    mixed = shares @ bags
    scale = table.detach().square().mean().sqrt()
    scaled: Tensor = mixed * (mixed.square().mean(-1, keepdim=True) + 1e-8).rsqrt() * scale
    return scaled


def embed(model: LlamaForCausalLM, batch: TextBatch) -> Tensor:
    """(B, T, width): embeddings of a batch, positions without words filled."""
    table: Any = model.get_input_embeddings().weight
    embedded: Tensor = nn.functional.embedding(batch.ids, table)
    if not len(batch.soft_rows):
        return embedded
    soft = soft_embeddings(table, batch.shares, batch.words)
    positions = torch.arange(soft.shape[1])[None].expand(len(soft), -1)
    filled = positions < batch.soft_positions[:, None]
    rows = batch.soft_rows[:, None].expand_as(positions)[filled]
    return embedded.index_put((rows, positions[filled] + 1), soft[filled])


def hidden_states(model: LlamaForCausalLM, embedded: Tensor) -> Tensor:
    """(B, T, width) embeddings to (B, T, width) last states."""
    states: Tensor = model.model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    return states


def weighted_loss(model: LlamaForCausalLM, batch: TextBatch, embedded: Tensor) -> Tensor:
    """Cross-entropy of the next token, averaged by the documents' weights.

    Args:
        embedded: (B, T, width): the batch as `embed` gives it, or with something else in place of the context.
    """
    weights = batch.weights[:, 1:]
    wanted = weights > 0
    logits = model.lm_head(hidden_states(model, embedded)[:, :-1][wanted])
    losses = nn.functional.cross_entropy(logits, batch.ids[:, 1:][wanted], reduction="none")
    chosen = weights[wanted]
    loss: Tensor = (losses * chosen).sum() / chosen.sum()
    return loss


# -- the curriculum ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lesson:
    """A stretch of pretraining.

    Attributes:
        until: step at which it ends.
        objects: fewest and most in a scene.
        mixture: what documents hold.
        world: what else is not as in the tiny world.
    """

    until: int
    objects: tuple[int, int]
    mixture: Mixture
    world: Mapping[str, Any] = field(default_factory=dict)


#: The first lessons refer to objects in every way there is; the last in those of the tiny world.
_EVERY_WAY: Final = {"references": REFERENCES, "names_first": False}
CURRICULUM: Final[tuple[Lesson, ...]] = (
    Lesson(500, (3, 5), Mixture((1, 1, 0), 0.95, 0.0, 112), _EVERY_WAY),
    Lesson(2000, (3, 5), Mixture((2, 2, 1), 0.7, 0.02, 128), _EVERY_WAY),
    Lesson(3500, (5, 6), Mixture((3, 1, 4), 0.35, 0.08, 168, long=True)),
    Lesson(5000, (5, 6), Mixture((3, 1, 4), 0.3, 0.2, 168, long=True, background=0.25)),
    Lesson(10**9, (5, 6), Mixture((3, 1, 4), 0.2, 0.2, 176, long=True, background=0.25)),
)
_KINDS: Final[tuple[ContextKind, ...]] = ("records", "bags", "grid")
_TOKENS_A_STEP: Final = 32 * 112
_SCENES_A_STEP: Final = 64


class LanguageBatches:
    """Batches by step: a pure function of step and seed, so that a run that was interrupted goes on with the same ones.

    Args:
        writer: writes the documents.
        seed: of the run.
    """

    def __init__(self, writer: Writer, seed: int = 0) -> None:
        self.writer = writer
        self.seed = seed

    def batch(self, step: int) -> TextBatch:
        """The batch of a step."""
        lesson = next(lesson for lesson in CURRICULUM if step < lesson.until)
        fewest, most = lesson.objects
        seed = PRETRAINING_SEED + 10 * fewest + most + 1000 * self.seed
        world = tiny_world(seed, min_objects=fewest, max_objects=most, **lesson.world)
        rows = max(8, _TOKENS_A_STEP // lesson.mixture.length)
        documents = []
        for index in range(step * _SCENES_A_STEP, step * _SCENES_A_STEP + rows):
            stream = Stream("language", self.seed, index)
            scene = generate(world, index)
            kind = _KINDS[stream.weighted(lesson.mixture.kinds)]
            documents.append(self.writer.write(scene, lesson.mixture, stream, kind))
        return collate(documents, self.writer.pad)


# -- the gate ---------------------------------------------------------------------------------------------------------------


def gate_questions(scene: Scene) -> dict[str, Turn]:
    """One question of each family that the scene offers, by family."""
    found = {}
    for family in scene.config.families:
        question = ask_family(family, scene.view, scene.config, Stream("gate", scene.index, family))
        if question is not None:
            found[family] = question_turn(question)
    return found


@torch.no_grad()
def exact_answers(
    model: LlamaForCausalLM,
    writer: Writer,
    scenes: Sequence[Scene],
    kind: ContextKind,
    batch_size: int = 64,
) -> Mapping[str, tuple[int, int]]:
    """How many questions are answered word for word, by family: (right, asked).

    Decoding is greedy: an answer is what greedy decoding gives exactly when each of its tokens is the likeliest after those
    before it, so one pass over question and answer tells.
    """
    model.train(False)
    documents: list[tuple[str, int, Document]] = []
    for scene in scenes:
        for family, turn in gate_questions(scene).items():
            document = writer.context(scene, kind, Stream("gate context", scene.index, family))
            writer.ask(document, turn.question)
            begun = len(document.ids)
            writer.answer(document, turn)
            documents.append((family, begun, document))
    documents.sort(key=lambda item: len(item[2].ids))
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for start in range(0, len(documents), batch_size):
        chosen = documents[start : start + batch_size]
        batch = collate([document for _, _, document in chosen], writer.pad)
        likeliest = model.lm_head(hidden_states(model, embed(model, batch))[:, :-1]).argmax(-1)
        agreed = likeliest == batch.ids[:, 1:]
        for row, (family, begun, document) in enumerate(chosen):
            asked[family] += 1
            right[family] += bool(agreed[row, begun - 1 : len(document.ids) - 1].all())
    return {family: (right[family], asked[family]) for family in asked}


def share_exact(found: Mapping[str, tuple[int, int]]) -> float:
    """Share of all questions that are answered exactly."""
    return sum(right for right, _ in found.values()) / max(1, sum(asked for _, asked in found.values()))
