"""Greedy decoding against transformers' own, and against itself: alone, in company, cached, computed anew."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from mmud.baselines.neural_tuning.generating import KeptStates, generate, length_buckets  # noqa: E402
from mmud.images import decode_image  # noqa: E402
from tests.baselines.neural_tuning import small_models as small  # noqa: E402

NEVER = 10**6


@pytest.fixture(scope="module")
def made() -> tuple[Any, list[Any]]:
    model = small.model()
    with torch.no_grad():
        for weight in model.language_model.parameters():
            # As it is initialised, a language model repeats one token whatever it is asked.
            if weight.ndim > 1:
                weight.mul_(8)
    return model, small.instances(3, with_answer=False)


def prompts(model: Any, pairs: list[Any]) -> Any:
    return small.collated(model, pairs, for_generation=True)


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 7), st.integers(1, 4))
def test_buckets_hold_every_item_once_and_like_lengths_together(lengths: list[int], batch: int, window: int) -> None:
    items = list(enumerate(lengths))
    found = list(length_buckets(items, lambda item: item[1], batch, window))
    assert sorted(item for bucket in found for item in bucket) == items
    assert all(len(bucket) <= batch for bucket in found)
    for start in range(0, len(items), batch * window):
        block = items[start : start + batch * window]
        own = [bucket for bucket in found if bucket[0] in block]
        assert len(own) == -(-len(block) // batch)
        assert [length for bucket in own for _, length in bucket] == sorted((n for _, n in block), reverse=True)


def test_it_says_what_transformers_generates(made: tuple[Any, list[Any]]) -> None:
    model, pairs = made
    batch = prompts(model, pairs)
    assert not bool(batch.attention_mask.all())
    ours = generate(model, batch, [12] * len(batch), NEVER)
    with torch.inference_mode():
        theirs = model.language_model.generate(
            inputs_embeds=model.embed(batch),
            attention_mask=batch.attention_mask,
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
    assert ours == theirs[:, -12:].tolist()
    # A model that says one thing whatever it is asked would pass any test of this file.
    assert len({tuple(tokens) for tokens in ours}) > 3


def test_company_and_cache_change_nothing(made: tuple[Any, list[Any]]) -> None:
    model, pairs = made
    together = generate(model, prompts(model, pairs), [20] * len(pairs), NEVER)
    alone = [generate(model, prompts(model, [pair]), [20], NEVER)[0] for pair in pairs]
    anew = generate(model, prompts(model, pairs), [20] * len(pairs), NEVER, use_cache=False)
    assert together == alone
    assert together == anew


def test_each_answer_ends_at_its_stop_or_its_limit(made: tuple[Any, list[Any]]) -> None:
    model, pairs = made
    batch = prompts(model, pairs)
    whole = generate(model, batch, [20] * len(pairs), NEVER)
    stop = whole[0][5]
    limits = [(7 * number) % 21 for number in range(len(pairs))]
    expected = []
    for tokens, limit in zip(whole, limits, strict=True):
        end = tokens.index(stop) if stop in tokens else len(tokens)
        expected.append(tokens[: min(end, limit)])
    for use_cache in (True, False):
        assert generate(model, batch, limits, stop, use_cache=use_cache) == expected
    assert generate(model, batch, [0] * len(pairs), stop) == [[]] * len(pairs)


def test_states_are_kept_as_one_pass_over_the_whole_gives_them(made: tuple[Any, list[Any]]) -> None:
    model, pairs = made
    batch = prompts(model, pairs)
    # Rows that say nothing, that are dropped on the way, and that go on to the end.
    limits = [(5 * number) % 18 for number in range(len(pairs))]
    kept = KeptStates()
    said = generate(model, batch, limits, NEVER, kept=kept)
    rows = [row for row in reversed(range(len(pairs))) if limits[row]]
    assert 2 < len(rows) < len(pairs)
    instances, samples = zip(*(pairs[row] for row in rows), strict=True)
    images = [decode_image(sample.image_bytes()) for sample in samples]
    features = [
        model.image_features([image])[0] if instance.needs_image else None
        for instance, image in zip(instances, images, strict=True)
    ]
    whole = model.collate(instances, features, answers=[said[row] for row in rows])
    expected = model._pass(whole, 1).hidden_states
    found = kept.laid_out(rows, whole)
    assert kept.reach(rows, [len(said[row]) for row in rows])
    # What is put behind the last token that was said would need its state.
    longest = limits.index(max(limits))
    assert not kept.reach(rows, [len(said[row]) + (row == longest) for row in rows])
    assert len(found) == len(expected)
    # Each position but the last one, whose token nobody read where the answer ended at its limit.
    read = whole.attention_mask.bool()
    for place, row in enumerate(rows):
        read[place, int(batch.attention_mask[row].sum()) + len(said[row]) - 1] = False
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours[read], theirs[read], rtol=1e-4, atol=1e-4)
