"""When a WebUI counts as standing still, from what its progress showed and when."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from jobs.running.hang import STEPS_OF_PATIENCE, Stillness
from webui.drivers.a1111 import progress_schemas
from webui.drivers.a1111.server import told_progress
from webui.drivers.diffsynth.schemas import ToldHealth, ToldJob
from webui.drivers.diffsynth.server import told_progress as worker_progress
from webui.work.told import Patience, Progress

IDLE_S = 600.0
BUSY_S = 180.0

Look = tuple[float, Progress | None]


def told(answer: dict[str, object]) -> Progress:
    """What the driver makes of a WebUI's answer."""
    return told_progress(progress_schemas.WireProgress.model_validate(answer))


def idle(progress: float = 0.0) -> Progress:
    """Nothing is in a step: a checkpoint loads, extras work, an answer is encoded."""
    return told({"progress": progress, "state": {"job": "", "job_count": 0}})


def at_step(
    step: int, *, picture: int = 0, of: int = 1, progress: float | None = None, job: str = "task"
) -> Progress:
    """In step `step` of 20 of one picture."""
    done = step / 20 if progress is None else progress
    state = {"job": job, "job_count": of, "job_no": picture, "sampling_step": step, "sampling_steps": 20}
    return told({"progress": done, "state": state})


def fresh(longest_step_s: float = 0.0) -> Stillness:
    return Stillness(IDLE_S, BUSY_S, longest_step_s)


def verdict(looks: Iterable[Look], still: Stillness | None = None) -> float | None:
    """What the last look says; no earlier one may have said anything."""
    still = still or fresh()
    said: list[float | None] = [still.look(progress, now) for now, progress in looks]
    assert set(said[:-1]) <= {None}, said
    return said[-1]


def each_second(progress: Progress | None, start: int, end: int) -> list[Look]:
    return [(float(now), progress) for now in range(start, end)]


def test_a_request_that_moves_is_never_still() -> None:
    assert verdict((second * 100.0, at_step(second)) for second in range(20)) is None


def test_before_the_first_step_the_long_patience_holds() -> None:
    loading = each_second(idle(), 0, int(IDLE_S) + 1)
    assert verdict(loading) is None
    assert verdict([*loading, (IDLE_S + 1, idle())]) == IDLE_S + 1


def test_within_a_step_the_short_patience_holds() -> None:
    standing = [(0.0, idle()), *each_second(at_step(3), 10, 10 + int(BUSY_S) + 1)]
    assert verdict(standing) is None
    assert verdict([*standing, (10 + BUSY_S + 1, at_step(3))]) == BUSY_S + 1


def test_after_the_last_step_the_long_patience_holds_again() -> None:
    tail_work = [(0.0, at_step(20)), *each_second(idle(), 1, 1 + int(IDLE_S) + 1)]
    assert verdict(tail_work) is None
    assert verdict([*tail_work, (IDLE_S + 2, idle())]) == IDLE_S + 1


def test_a_slow_load_that_moves_late_is_no_hang_and_starts_the_count_anew() -> None:
    loading = [*each_second(idle(), 0, int(IDLE_S)), (IDLE_S, at_step(1))]
    assert verdict(loading) is None
    assert verdict([*loading, *each_second(at_step(1), int(IDLE_S) + 1, int(IDLE_S + BUSY_S) + 1)]) is None


@pytest.mark.parametrize(
    "other",
    [
        at_step(4),
        at_step(3, picture=1),
        at_step(3, of=2),
        at_step(3, progress=0.16),
        idle(),
    ],
    ids=["step", "picture", "count", "progress", "idle"],
)
def test_any_difference_is_a_move(other: Progress) -> None:
    still = fresh()
    assert verdict([(0.0, at_step(3)), (BUSY_S, at_step(3)), (BUSY_S + 1, other)], still) is None
    assert verdict([(BUSY_S * 2, other)], still) is None


def test_another_job_name_is_a_move() -> None:
    one, other = at_step(3), at_step(3, job="scripts_img2img")
    assert verdict([(0.0, one), (BUSY_S, one), (BUSY_S + 1, other), (BUSY_S * 2, other)]) is None


def test_progress_that_cannot_be_read_proves_nothing() -> None:
    assert verdict(each_second(None, 0, 5000)) is None


def test_progress_that_was_unreadable_once_starts_the_count_anew() -> None:
    looks = [(0.0, at_step(3)), (BUSY_S - 1, at_step(3)), (BUSY_S, None), (BUSY_S + 1, at_step(3))]
    assert verdict(looks) is None
    assert verdict([*looks, (2 * BUSY_S + 1, at_step(3))]) is None
    assert verdict([*looks, (2 * BUSY_S + 2, at_step(3))]) == BUSY_S + 1


def test_a_slow_node_gets_several_of_its_longest_step() -> None:
    slow_step_s = 100.0
    still = fresh()
    assert verdict([(0.0, at_step(1)), (slow_step_s, at_step(2))], still) is None
    assert still.longest_step_s == slow_step_s
    patience_s = STEPS_OF_PATIENCE * slow_step_s
    assert verdict([(slow_step_s + patience_s, at_step(2))], still) is None
    assert verdict([(slow_step_s + patience_s + 1, at_step(2))], still) == patience_s + 1


def test_what_was_learnt_on_the_node_before_counts_from_the_first_step() -> None:
    still = fresh(longest_step_s=100.0)
    assert verdict([(0.0, at_step(1)), (500.0, at_step(1))], still) is None
    assert verdict([(501.0, at_step(1))], still) == 501.0


def test_a_fast_node_keeps_the_patience_of_the_setting() -> None:
    still = fresh()
    assert verdict([(0.0, at_step(1)), (1.0, at_step(2))], still) is None
    assert verdict([(1.0 + BUSY_S, at_step(2))], still) is None


def test_steps_between_two_looks_share_the_time() -> None:
    still = fresh()
    verdict([(0.0, at_step(1)), (10.0, at_step(6))], still)
    assert still.longest_step_s == 2.0


def test_a_step_is_not_measured_over_a_load_or_from_picture_to_picture() -> None:
    still = fresh()
    verdict([(0.0, at_step(2)), (1.0, idle()), (500.0, at_step(3))], still)
    assert still.longest_step_s == 0.0
    # The next picture may have come further by now than the last one was when it was looked at.
    verdict([(600.0, at_step(8, picture=1)), (601.0, at_step(9, picture=1))], still)
    assert still.longest_step_s == 1.0


def silence(still: Stillness, start: int, end: int) -> list[float | None]:
    """A question each second that is taken and never answered."""
    return [still.look(None, float(now), silent=True) for now in range(start, end)]


def test_silence_in_the_middle_of_a_picture_is_a_hang_after_the_short_patience() -> None:
    still = fresh()
    verdict([(0.0, idle()), (9.0, at_step(3))], still)
    assert set(silence(still, 10, 10 + int(BUSY_S) + 1)) == {None}
    assert still.look(None, 10 + BUSY_S + 1, silent=True) == BUSY_S + 1


def test_silence_while_a_checkpoint_loads_gets_the_long_patience() -> None:
    still = fresh()
    verdict([(0.0, idle())], still)
    assert set(silence(still, 1, 1 + int(IDLE_S) + 1)) == {None}
    assert still.look(None, 1 + IDLE_S + 1, silent=True) == IDLE_S + 1


def test_silence_from_the_first_question_on_gets_the_long_patience() -> None:
    assert set(silence(fresh(), 0, int(IDLE_S) + 1)) == {None}


def test_silence_on_a_slow_node_gets_several_of_its_longest_step() -> None:
    still = fresh(longest_step_s=100.0)
    verdict([(0.0, at_step(3))], still)
    assert set(silence(still, 1, 502)) == {None}
    assert still.look(None, 502.0, silent=True) == 501.0


def test_an_answer_ends_a_silence() -> None:
    still = fresh()
    verdict([(0.0, at_step(3))], still)
    silence(still, 1, 100)
    assert still.silent_since == 1.0
    assert still.look(at_step(4), 100.0) is None
    assert still.silent_since is None
    assert set(silence(still, 101, 101 + int(BUSY_S) + 1)) == {None}


def test_silence_between_equal_answers_does_not_hide_that_nothing_moves() -> None:
    still = fresh()
    verdict([(0.0, at_step(3))], still)
    silence(still, 1, 170)
    assert still.look(at_step(3), BUSY_S + 1) == BUSY_S + 1


def test_a_refusal_is_no_silence() -> None:
    still = fresh()
    verdict([(0.0, at_step(3)), *each_second(None, 1, 5000)], still)
    assert still.silent_since is None


# --- films and edits --------------------------------------------------------------------------------------

STEP_S, PHASE_S = 400.0, 900.0


def of_a_worker(phase: str, step: int = 0) -> Progress:
    """What the driver of workers makes of their answers."""
    health = ToldHealth(state="ready", boot="b", job="j")
    return worker_progress(health, ToldJob(id="j", state="running", phase=phase, step=step, steps=8))


def for_workers() -> Stillness:
    return Stillness(IDLE_S, BUSY_S, by_patience={Patience.STEP: STEP_S, Patience.PHASE: PHASE_S})


@pytest.mark.parametrize(
    ("phase", "limit_s"),
    [("prepare", PHASE_S), ("encode", PHASE_S), ("denoise", STEP_S), ("decode", PHASE_S), ("save", PHASE_S)],
)
def test_each_phase_of_a_film_has_its_own_limit(phase: str, limit_s: float) -> None:
    still = for_workers()
    assert still.look(of_a_worker(phase), 0.0) is None
    assert still.look(of_a_worker(phase), limit_s) is None
    assert still.look(of_a_worker(phase), limit_s + 1) == limit_s + 1


def test_the_next_phase_or_step_begins_the_patience_anew() -> None:
    still = for_workers()
    assert still.look(of_a_worker("encode"), 0.0) is None
    assert still.look(of_a_worker("denoise", 0), 890.0) is None
    assert still.look(of_a_worker("denoise", 1), 1200.0) is None
    assert still.look(of_a_worker("decode", 8), 1500.0) is None
    assert still.look(of_a_worker("decode", 8), 1500.0 + PHASE_S) is None
    assert still.look(of_a_worker("decode", 8), 1501.0 + PHASE_S) is not None


def test_a_worker_with_slow_steps_gets_five_of_them() -> None:
    still = for_workers()
    still.look(of_a_worker("denoise", 0), 0.0)
    still.look(of_a_worker("denoise", 1), 300.0)
    assert still.look(of_a_worker("denoise", 1), 300.0 + STEP_S + 1) is None
    assert still.look(of_a_worker("denoise", 1), 301.0 + 5 * 300.0) is not None
