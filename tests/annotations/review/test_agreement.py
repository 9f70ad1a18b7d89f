"""Decisions and agreement: kappa against published examples, replay against a plain re-reading, disputes by cases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmud.annotations.review.agreement import agreements, cohen_kappa, progress
from mmud.annotations.review.decisions import Decisions, fitting_decisions, outcome_of
from mmud.annotations.review.journal import Entry, Kind, Verdict
from mmud.errors import MmudError

ACCEPT, REJECT, SKIP = Verdict.ACCEPT, Verdict.REJECT, Verdict.SKIP


def verdict(reviewer: str, sample: str, value: Verdict = ACCEPT, **fields: Any) -> Entry:
    values = {"dataset": "d", "labels": "l", "kind": Kind.VERDICT, "verdict": value} | fields
    return Entry.new(reviewer=reviewer, sample=sample, **values)


def edit(reviewer: str, sample: str, text: str, field: str = "answer") -> Entry:
    return Entry.new(reviewer=reviewer, sample=sample, dataset="d", labels="l", kind=Kind.EDIT, field=field, text=text)


def undo(entry: Entry, reviewer: str | None = None) -> Entry:
    return Entry.new(
        reviewer=reviewer or entry.reviewer,
        sample=entry.sample,
        dataset="d",
        labels="l",
        kind=Kind.UNDO,
        undoes=entry.id,
    )


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        # Wikipedia, "Cohen's kappa": 50 grant proposals, p_o 0.7, p_e 0.5; and its two tables of equal agreement.
        ([[20, 5], [10, 15]], 0.4),
        ([[45, 15], [25, 15]], 0.1304),
        ([[25, 35], [5, 35]], 0.2593),
        # Cohen 1960, table 1 (three categories, 200 patients): kappa .492.
        ([[88, 14, 18], [10, 40, 10], [2, 6, 12]], 0.492),
        # Sim and Wright 2005: 39 patients examined by two clinicians, kappa .67.
        ([[22, 2], [4, 11]], 0.67),
    ],
)  # fmt: skip
def test_published_kappas(table: list[list[int]], kappa: float) -> None:
    found = cohen_kappa(table)
    assert found == pytest.approx(kappa, abs=0.006)


def test_the_ends_of_kappa() -> None:
    assert cohen_kappa([[7, 0], [0, 3]]) == 1
    assert cohen_kappa([[0, 5], [5, 0]]) == -1
    assert cohen_kappa([[0, 0], [0, 0]]) is None
    assert cohen_kappa([[9, 0], [0, 0]]) is None
    assert cohen_kappa([[25, 25], [25, 25]]) == 0


@given(st.lists(st.lists(st.integers(0, 30), min_size=2, max_size=2), min_size=2, max_size=2))
def test_kappa_does_not_ask_who_is_first(table: list[list[int]]) -> None:
    turned = [list(row) for row in zip(*table, strict=True)]
    assert cohen_kappa(table) == cohen_kappa(turned)


def test_pairs_are_counted_from_decisions() -> None:
    entries = [verdict("anna", f"s{i}") for i in range(20)] + [verdict("ben", f"s{i}") for i in range(20)]
    entries += [verdict("anna", f"t{i}") for i in range(5)] + [verdict("ben", f"t{i}", REJECT) for i in range(5)]
    entries += [verdict("anna", f"u{i}", REJECT) for i in range(10)] + [verdict("ben", f"u{i}") for i in range(10)]
    entries += [verdict("anna", f"v{i}", REJECT) for i in range(15)] + [
        verdict("ben", f"v{i}", REJECT) for i in range(15)
    ]
    # None of these counts: a skip, a sample that one alone saw, and a verdict that settles a dispute.
    entries += [verdict("anna", "w", SKIP), verdict("ben", "w"), verdict("anna", "x")]
    entries += [verdict("anna", "t0", REJECT, final=True)]
    decisions = Decisions(entries)
    (pair,) = agreements(decisions)
    assert (pair.first, pair.second, pair.table) == ("anna", "ben", ((20, 5), (10, 15)))
    assert pair.samples == 50
    assert pair.share == pytest.approx(0.7)
    assert pair.kappa == pytest.approx(0.4)
    facts = progress(decisions, 100)
    assert (facts["total"], facts["decided"]) == (100, 52)
    assert facts["reviewers"]["ben"] == {"accept": 31, "reject": 20, "skip": 0, "edited": 0}


def test_cases_of_outcomes() -> None:
    def outcome(*entries: Entry, original: dict[str, str] | None = None) -> tuple[Any, str, list[str]]:
        found = outcome_of(Decisions(entries).samples.get("s", {}), original)
        return found.verdict, found.dispute, [one.text for one in found.edits]

    assert outcome() == (None, "", [])
    assert outcome(verdict("anna", "s")) == (ACCEPT, "", [])
    assert outcome(verdict("anna", "s", SKIP), verdict("ben", "s", REJECT)) == (REJECT, "", [])
    assert outcome(verdict("anna", "s"), verdict("ben", "s", REJECT)) == (None, "verdict", [])
    assert outcome(edit("anna", "s", "x")) == (None, "", [])
    assert outcome(edit("anna", "s", "x"), verdict("anna", "s")) == (ACCEPT, "", ["x"])
    both = [verdict("anna", "s"), verdict("ben", "s")]
    assert outcome(*both, edit("anna", "s", "x")) == (None, "text", [])
    assert outcome(*both, edit("anna", "s", "x"), edit("ben", "s", "x")) == (ACCEPT, "", ["x"])
    assert outcome(*both, edit("anna", "s", "old"), original={"answer": "old"}) == (ACCEPT, "", [])
    # Whoever settles it brings their own texts.
    settled = [*both, edit("ben", "s", "y"), edit("carl", "s", "z"), verdict("carl", "s", ACCEPT, final=True)]
    assert outcome(*settled) == (ACCEPT, "", ["z"])
    assert outcome_of(Decisions([edit("anna", "s", "x")]).samples["s"]).pending


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["anna", "ben"]),
        st.sampled_from(["s", "t"]),
        st.sampled_from(["accept", "reject", "edit", "undo"]),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(ACTIONS)
def test_undo_is_as_if_it_had_never_been(actions: list[tuple[str, str, str]]) -> None:
    """The reference: a stack of entries a reviewer, from which undo takes the last; what is left is played at once."""
    decisions = Decisions()
    stacks: dict[str, list[tuple[int, Entry]]] = {"anna": [], "ben": []}
    for number, (reviewer, sample, action) in enumerate(actions):
        if action == "undo":
            last = decisions.last(reviewer)
            assert last == (stacks[reviewer].pop()[1] if stacks[reviewer] else None)
            if last is not None:
                decisions.add(undo(last))
            continue
        made = edit(reviewer, sample, str(number)) if action == "edit" else verdict(reviewer, sample, Verdict(action))
        decisions.add(made)
        stacks[reviewer].append((number, made))
    left = sorted(stacks["anna"] + stacks["ben"])
    plain = Decisions([entry for _, entry in left])
    assert decisions.samples == plain.samples
    # Progress is counted along; counting anew at the end gives the same.
    said = [
        (name, reviewer, judgement.verdict.verdict if judgement.verdict else None, bool(judgement.edits))
        for name, judgements in decisions.samples.items()
        for reviewer, judgement in judgements.items()
    ]
    facts = progress(decisions, 2)
    assert facts["decided"] == len({name for name, _, value, _ in said if value is not None})
    assert set(facts["reviewers"]) == {reviewer for _, reviewer, _, _ in said}
    for reviewer, counts in facts["reviewers"].items():
        own = [row for row in said if row[1] == reviewer]
        assert counts["accept"] == sum(row[2] is ACCEPT for row in own)
        assert counts["reject"] == sum(row[2] is REJECT for row in own)
        assert counts["edited"] == sum(row[3] for row in own)


def test_nobody_undoes_what_another_said() -> None:
    first = verdict("anna", "s")
    decisions = Decisions([first, undo(first, "ben")])
    assert decisions.judgement("s", "anna").verdict == first


def test_entries_are_bound_to_labels() -> None:
    labels = {"s": "l", "t": "other"}
    entries = [verdict("anna", "s"), verdict("anna", "t"), verdict("anna", "gone")]
    decisions, findings = fitting_decisions(entries, "another dataset", labels)
    assert set(decisions.samples) == {"s"}
    assert [finding.code.id for finding in findings] == ["MM982", "MM988"]
    # The dataset's own fingerprint stands for all its labels.
    assert set(fitting_decisions(entries, "d", labels)[0].samples) == {"s", "t"}
    with pytest.raises(MmudError) as caught:
        fitting_decisions(entries[1:], "another dataset", labels)
    assert caught.value.code.id == "MM981"
    assert fitting_decisions([], "d", labels)[0].samples == {}
