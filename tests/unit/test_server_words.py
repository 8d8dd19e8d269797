"""What is said of a film's or an edit's server: a worker with phases, no WebUI with pictures."""

from __future__ import annotations

import pytest

from jobs.lifecycle import EventType
from jobs.reading.event_sentences import event_text, event_title
from jobs.reading.live import QueueProgress
from webui.driver import driver_names, driver_of
from webui.drivers.diffsynth.schemas import PHASES, STEP_PHASE, ToldHealth, ToldJob
from webui.drivers.diffsynth.server import PHASE_WORDS, told_progress
from webui.kinds import WorkKind, result_name, server_noun
from webui.words import ServerNoun
from webui.work.limits import EDIT, Limit

OF_FILMS = (WorkKind.I2V, WorkKind.EDIT)


def progress(kind: str = WorkKind.I2V, **facts: object) -> QueueProgress:
    told: dict[str, object] = {
        "stage": kind,
        "stage_number": 1,
        "stage_total": 1,
        "step": None,
        "steps": None,
        "fraction": None,
        "elapsed_s": None,
        "left_s": None,
        "preview": None,
    }
    return QueueProgress(**{**told, **facts}, kind=kind)  # type: ignore[arg-type]


def test_a_node_s_server_has_one_name_for_its_kind() -> None:
    assert [server_noun(kind) for kind in WorkKind] == [
        ServerNoun.WEBUI,
        ServerNoun.WORKER,
        ServerNoun.WORKER,
    ]
    for name in driver_names():
        assert driver_of(name).name == name
        assert len({server_noun(kind) for kind in driver_of(name).kinds}) == 1


def test_a_film_is_named_without_a_number() -> None:
    assert [result_name(kind, 2) for kind in WorkKind] == ["picture 2", "film", "edit"]


@pytest.mark.parametrize("kind", OF_FILMS)
def test_progress_of_a_film_reads_as_a_person_says_it(kind: str) -> None:
    assert progress(kind, step=3, steps=8).words == "Step 3 of 8"
    assert progress(kind, phase="Encoding").words == "Encoding"
    assert progress(kind, phase="Decoding", step=8, steps=8).words == "Decoding"
    assert progress(kind, waits_for="the worker").words == "Waiting for the worker"
    assert progress(kind).words == "Started"
    assert progress(kind, step=3, steps=8, fraction=0.35, left_s=12.0).line == (
        "Step 3 of 8, 35 %, about 12 s left"
    )


def test_progress_of_a_picture_names_its_stage() -> None:
    told = progress(WorkKind.IMAGE, stage="txt2img", stage_total=2)
    assert told.words == "txt2img, stage 1 of 2"
    told = progress(WorkKind.IMAGE, stage="txt2img", stage_total=2, step=3, steps=20)
    assert told.words == "txt2img, stage 1 of 2 · step 3 of 20"


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_of_a_worker_is_told_in_words(phase: str) -> None:
    health = ToldHealth(state="ready", kind="i2v", boot="b")
    told = told_progress(health, ToldJob(id="1", state="running", phase=phase, step=3, steps=8))
    assert told.phase == ("" if phase == STEP_PHASE else PHASE_WORDS[phase])
    assert set(PHASE_WORDS) == set(PHASES)


@pytest.mark.parametrize("stage", OF_FILMS)
def test_events_of_a_film_speak_of_its_worker(stage: str) -> None:
    broke = {"stage": stage, "error_code": "WEBUI_HANG", "restart": True, "generation": 2}
    came = {"stage": stage, "generation": 3, "restarted": True}
    assert event_title(EventType.CRASH_SUSPECTED, broke) == "Worker crash suspected"
    assert event_title(EventType.WEBUI_RESTARTED, came) == "Worker restarted"
    assert event_title(EventType.WEBUI_RESTARTED, {**came, "restarted": False}) == "Worker not restarted"
    for data in (
        broke,
        {**broke, "restart": False},
        {**broke, "restart": False, "error_code": "WEBUI_GATEWAY"},
    ):
        told = event_text(EventType.CRASH_SUSPECTED, data)
        assert "the worker" in told.lower()
        assert "WebUI" not in told
    assert event_title(EventType.WEBUI_RESTARTED, {"generation": 3}) == "WebUI restarted"


def test_ranges_are_written_without_needless_zeros() -> None:
    width, scale = EDIT["width"], EDIT["cfg_scale"]
    assert isinstance(width, Limit)
    assert isinstance(scale, Limit)
    assert scale.range_words == "0.1-20"
    assert width.range_words == "64-2,048 pixels, or 0 to follow the shape of the picture"
