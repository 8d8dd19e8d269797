"""When the engine counts as deaf, on a clock of our own."""

from __future__ import annotations

from jobs.supervising.engine_hearing import Hearing, Sight

TREE = frozenset({(10, 1), (11, 1)})
REPLACED = frozenset({(10, 1), (12, 2)})


def hearing() -> Hearing:
    return Hearing(deaf_s=30, suspect_s=5)


def test_silence_is_deafness_only_after_its_time() -> None:
    ears = hearing()
    assert not ears.look(Sight(True, TREE), 0)
    assert not ears.look(Sight(True, TREE), 29.9)
    assert ears.look(Sight(True, TREE), 30)


def test_an_interruption_starts_the_time_anew() -> None:
    ears = hearing()
    ears.look(Sight(True, TREE), 0)
    ears.look(Sight(False, TREE), 20)
    assert not ears.look(Sight(True, TREE), 40)
    assert not ears.look(Sight(True, TREE), 69)


def test_a_replaced_process_shortens_the_time() -> None:
    ears = hearing()
    ears.look(Sight(False, TREE), 0)
    ears.look(Sight(True, REPLACED), 1)
    assert ears.suspicious
    assert not ears.look(Sight(True, REPLACED), 5.9)
    assert ears.look(Sight(True, REPLACED), 6)


def test_an_answer_clears_the_suspicion() -> None:
    ears = hearing()
    ears.look(Sight(False, TREE), 0)
    ears.look(Sight(False, REPLACED), 1)
    ears.answered(REPLACED)
    assert not ears.suspicious
    assert not ears.look(Sight(True, REPLACED), 2)
    assert not ears.look(Sight(True, REPLACED), 31)


def test_a_process_that_joins_the_tree_is_no_suspicion() -> None:
    ears = hearing()
    ears.look(Sight(False, TREE), 0)
    ears.look(Sight(False, TREE | {(13, 3)}), 1)
    assert not ears.suspicious
