"""The simulator's parts, each by itself: turns, tasks, state, drawing, catalog; faults have a file of their own."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from webui.simulator import drawing
from webui.simulator.answers import EscapedError
from webui.simulator.catalog import SimulatedCatalog
from webui.simulator.checkpoints import Checkpoints
from webui.simulator.dialects import A1111
from webui.simulator.options import Options
from webui.simulator.parameters import parsed
from webui.simulator.sampling import Sampler
from webui.simulator.state import State
from webui.simulator.turns import REMEMBERED_TASKS, Tasks, Turns

ROOT = Path(__file__).parents[2]


# --- turns and tasks ----------------------------------------------------------------------------------


def test_turns_are_given_in_the_order_of_asking() -> None:
    turns = Turns()
    order: list[int] = []
    threads: list[threading.Thread] = []
    with turns:
        for number in range(8):
            threads.append(threading.Thread(target=_take, args=(turns, order, number)))
            threads[-1].start()
            deadline = time.monotonic() + 120
            while turns.waiting <= number and time.monotonic() < deadline:
                time.sleep(0.001)
        assert turns.busy
    for thread in threads:
        thread.join(120)
    assert order == list(range(8))
    assert not turns.busy


def _take(turns: Turns, order: list[int], number: int) -> None:
    with turns:
        order.append(number)


def test_turn_is_handed_on_when_a_job_fails() -> None:
    turns = Turns()
    with pytest.raises(RuntimeError), turns:
        raise RuntimeError
    with turns:
        pass


def test_failed_task_stays_the_running_one_until_the_next_starts() -> None:
    tasks = Tasks()
    tasks.add("failed")
    tasks.start("failed")
    assert tasks.current is not None
    tasks.add("next")
    assert tasks.pending() == ["next"]
    tasks.start("next")
    tasks.finish("next")
    assert [tasks.is_finished("next"), tasks.is_finished("failed")] == [True, False]


def test_only_the_last_tasks_are_remembered() -> None:
    tasks = Tasks()
    for number in range(REMEMBERED_TASKS + 1):
        tasks.finish(str(number))
    assert [tasks.is_finished("0"), tasks.is_finished("1")] == [False, True]


# --- state and sampling -------------------------------------------------------------------------------


def test_share_counts_passes_and_steps() -> None:
    state = State()
    assert state.share_done() == 0.0
    state.begin("scripts_txt2img")
    assert (state.job_count, state.share_done()) == (-1, 0.0)
    state.job_count, state.job_no, state.sampling_step, state.sampling_steps = 4, 1, 5, 10
    assert state.share_done() == pytest.approx(0.375)


def test_interrupt_of_an_earlier_job_is_forgotten_at_the_next_begin() -> None:
    state = State(interrupted=True, skipped=True)
    state.begin("scripts_txt2img")
    assert (state.interrupted, state.skipped) == (False, False)
    state.interrupted = True
    state.end()
    assert (state.interrupted, state.job, state.job_count) == (True, "", 0)


def test_sampling_stops_before_the_step_after_an_interrupt() -> None:
    state = State()

    def interrupt() -> None:
        state.interrupted = True

    assert Sampler(state, 0, interrupt).run(10) == pytest.approx(0.1)
    assert Sampler(State(), 0, lambda: None).run(10) == 1.0


def test_first_step_is_told_once_over_all_passes() -> None:
    told: list[int] = []
    sampler = Sampler(State(), 0, lambda: told.append(1))
    sampler.run(3)
    sampler.run(3)
    assert told == [1]


# --- catalog, settings, texts -------------------------------------------------------------------------


def test_checkpoint_answers_to_its_names_and_to_its_hash_once_loaded() -> None:
    checkpoints = Checkpoints(["tinyA.safetensors", "tinyB"], 0)
    first = checkpoints.all[0]
    assert first.shown()["hash"] is None
    assert checkpoints.find(first.short_hash) is None
    for alias in ("tinyA", "tinyA.safetensors", f"tinyA.safetensors [{first.short_hash}]", first.path):
        assert checkpoints.find(alias) is first
    checkpoints.load(first)
    assert checkpoints.find(first.short_hash) is first
    assert first.shown()["title"] == f"tinyA.safetensors [{first.short_hash}]"
    assert [checkpoints.find(name) for name in ("tinya", "", None, 7)] == [None] * 4


@pytest.mark.parametrize(
    ("sampler", "scheduler", "label"),
    [
        ("DPM++ 2M", None, "Karras"),
        ("DPM++ 2M", "exponential", "Exponential"),
        ("Euler", "SGM Uniform", "SGM Uniform"),
        ("Euler", None, None),
        ("Euler", "no-such", None),
    ],
)
def test_schedule_label_is_that_of_the_scheduler_or_the_samplers_own(
    sampler: str, scheduler: str | None, label: str | None
) -> None:
    assert SimulatedCatalog(A1111.document("catalog")).schedule_label(sampler, scheduler) == label


def test_refused_override_leaves_the_settings_as_they_were() -> None:
    options = Options(Checkpoints(["tinyA", "tinyB"], 0), A1111)
    with pytest.raises(EscapedError, match="'nonsense'"):
        options.override({"CLIP_stop_at_last_layers": 2, "sd_model_checkpoint": "tinyB", "nonsense": 1})
    assert (options.clip_skip(), options.checkpoint.name) == (1, "tinyA")


def test_infotext_is_read_into_fields() -> None:
    text = 'a: b, c\nNegative prompt: d\nSteps: 2, Sampler: Euler, Size: 64x32, Lora hashes: "x: 1, y: 2"'
    fields = parsed(text)
    assert (fields["Prompt"], fields["Negative prompt"]) == ("a: b, c", "d")
    assert (fields["Size-1"], fields["Size-2"], fields["Lora hashes"]) == ("64", "32", "x: 1, y: 2")
    assert parsed("only words")["Prompt"] == "only words"


# --- drawing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 8), (64, 64), (96, 512), (1100, 1100)])
def test_any_size_can_be_drawn_on(size: tuple[int, int]) -> None:
    picture = drawing.landscape("1", "words", *size)
    drawing.caption(picture, drawing.Caption("txt2img", "word " * 300 + "x" * 300, "seed 1  ·  " * 30))
    assert picture.size == size
    assert drawing.half_finished(picture, 0.1).size == size


def test_simulator_imports_neither_django_nor_the_client() -> None:
    code = "import sys, webui.simulator.__main__; print(sorted(sys.modules))"
    listed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    ).stdout
    for name in (
        "'django'",
        "'pydantic'",
        "'requests'",
        "'webui.drivers.a1111.client'",
        "'webui.drivers.a1111.schemas'",
    ):
        assert name not in listed
