"""A short campaign on the database at hand; the long ones are run by `python -m tests.fault.campaign`."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.stack import ROOT
from tests.fault.campaign.campaign import run
from tests.fault.campaign.inject import STRIKES
from tests.fault.campaign.plan import KINDS, Needs, deck
from tests.fault.campaign.plan_workers import WORKER_KINDS
from tests.fault.campaign.planted import PLANTS, PlantError, copy_tree, plant
from tests.fault.campaign.report import lines_of

SERVER = os.environ.get("DATABASE_URL", "")


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_twenty_faults_break_no_promise(tmp_path: Path) -> None:
    document = run(tmp_path, faults=20, seed=20, server=SERVER if SERVER.startswith("postgres") else "")
    assert not document["violations"], "\n".join(lines_of(document))
    assert document["faults"] >= 18, document["missed"]
    assert document["jobs"]["completed"] > 10


def test_every_kind_of_fault_is_drawn_equally_often() -> None:
    counts = Counter(card.kind.name for card in deck(10 * len(KINDS), seed=1))
    assert counts == {kind.name: 10 for kind in KINDS}


def test_a_seed_makes_the_same_deck_again_and_another_makes_another() -> None:
    assert deck(50, seed=1) == deck(50, seed=1)
    assert deck(50, seed=1) != deck(50, seed=2)


def test_enough_of_the_faults_kill_processes_of_ours() -> None:
    assert sum(card.kind.kills for card in deck(10 * len(KINDS), seed=1)) >= 90


def test_what_cannot_strike_here_is_not_drawn() -> None:
    possible = [kind for kind in KINDS if kind.needs is Needs.NOTHING]
    assert {card.kind for card in deck(len(possible), seed=1, possible=possible)} == set(possible)
    with pytest.raises(ValueError, match="cannot strike here: postgresql-restarted"):
        deck(1, seed=1, only=["postgresql-restarted"], possible=possible)


def test_every_kind_can_be_committed() -> None:
    assert STRIKES.keys() == {kind.name for kind in (*KINDS, *WORKER_KINDS)}


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="earthquake"):
        deck(1, seed=1, only=["earthquake"])


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_finds_its_place_in_the_source(name: str, tmp_path: Path) -> None:
    tree = copy_tree(ROOT, tmp_path / "source")
    plant(name, tree)
    for patch in PLANTS[name].patches:
        text = (tree / patch.file).read_text(encoding="utf-8")
        compile(text, patch.file, "exec")
        assert patch.new in text


def test_a_bug_whose_place_has_changed_is_not_planted_silently(tmp_path: Path) -> None:
    tree = copy_tree(ROOT, tmp_path / "source")
    name = next(iter(PLANTS))
    (tree / PLANTS[name].patches[0].file).write_text("nothing\n")
    with pytest.raises(PlantError, match="stands 0 times"):
        plant(name, tree)
