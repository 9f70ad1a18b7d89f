"""The data order and the learning rates: properties, and transformers' own schedule as the reference."""

from __future__ import annotations

from collections import Counter

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from mmud.baselines.training.order import Order, mixing_pattern  # noqa: E402
from mmud.baselines.training.schedule import Budget, rate_factor  # noqa: E402


def test_a_pattern_spreads_kinds_as_evenly_as_their_weights_allow() -> None:
    # Nginx's published example of smooth weighted round robin: weights 5, 1, 1 give a a b a c a a.
    assert mixing_pattern({"a": 5, "b": 1, "c": 1}) == ["a", "a", "b", "a", "c", "a", "a"]
    assert mixing_pattern({"a": 2, "b": 2}) == ["a", "b"]


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": 1, "b": -1}])
def test_weights_without_sense_are_refused(weights: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        mixing_pattern(weights)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=1),
    st.integers(1, 7),
    st.integers(0, 2**32 - 1),
)
def test_every_epoch_of_every_stream_holds_each_example_once(
    streams: dict[str, tuple[int, int]], batch: int, seed: int
) -> None:
    counts = {kind: count for kind, (count, _) in streams.items()}
    weights = {kind: weight for kind, (_, weight) in streams.items()}
    order = Order(counts, weights, batch, seed)
    drawn = [draw for step in range(30) for draw in order.step(step)]
    assert len(drawn) == 30 * batch
    for kind, count in counts.items():
        own = [draw for draw in drawn if draw.kind == kind]
        assert [draw.number for draw in own] == list(range(len(own)))
        for start in range(0, len(own) - count + 1, count):
            assert sorted(draw.index for draw in own[start : start + count]) == list(range(count))
    share = Counter(draw.kind for draw in drawn)
    total = sum(weights.values())
    assert all(abs(share[kind] - len(drawn) * weight / total) < total for kind, weight in weights.items())


def test_a_step_depends_on_seed_and_step_alone() -> None:
    order = Order({"a": 50, "b": 20}, {"a": 2, "b": 1}, 8, seed=5)
    forward = [order.step(step) for step in range(40)]
    again = Order({"a": 50, "b": 20}, {"a": 2, "b": 1}, 8, seed=5)
    assert [again.step(step) for step in reversed(range(40))] == forward[::-1]
    assert [Order({"a": 50, "b": 20}, {"a": 2, "b": 1}, 8, seed=6).step(step) for step in range(40)] != forward


def test_kinds_without_examples_or_weight_are_left_out() -> None:
    assert Order({"a": 3, "b": 0, "c": 9}, {"a": 1, "b": 1, "c": 0}, 2, 0).kinds == ["a"]


def test_the_cosine_equals_that_of_transformers() -> None:
    from transformers import get_cosine_schedule_with_warmup

    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    schedule = get_cosine_schedule_with_warmup(optimiser, num_warmup_steps=10, num_training_steps=60)
    expected = []
    for _ in range(60):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    ours = [rate_factor(step, 0.0, Budget(steps=60), 10) for step in range(60)]
    assert ours[10:] == pytest.approx(expected[10:])
    # Theirs wastes the first step on a rate of zero; ours reaches the full rate one step earlier.
    assert ours[:10] == pytest.approx([*expected[1:10], 1.0])


def test_a_budget_of_minutes_follows_the_clock() -> None:
    budget = Budget(minutes=2)
    assert rate_factor(100, 60.0, budget, 10) == pytest.approx(0.5)
    assert rate_factor(100, 120.0, budget, 10, final=0.1) == pytest.approx(0.1)
    assert rate_factor(100, 119.0, budget, 10, "constant") == 1.0
    assert budget.fraction(10**9, 30.0) == 0.25
    assert Budget(steps=10, minutes=1).fraction(2, 30.0) == 0.5
    with pytest.raises(ValueError, match="budget"):
        Budget()
