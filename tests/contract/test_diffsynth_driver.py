"""The driver of DiffSynth workers against simulated workers with faults, and against the real one, driven by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.hand_worker import TOKEN as HAND_TOKEN
from tests.contract.hand_worker import HandPipeline, HandWorker, hand_worker, wait_until
from tests.contract.simulated_worker import TOKEN, SimulatedWorkerProcess
from tests.diffsynth.works import picture, sha256_of
from tests.free_ports import free_port
from webui.drivers.diffsynth.driver import DRIVER
from webui.drivers.diffsynth.server import DiffSynthServer
from webui.errors import (
    InvalidImageError,
    RequestValidationError,
    WebUIAuthError,
    WebUIBadAnswerError,
    WebUIConnectionLostError,
    WebUIError,
    WebUINotSentError,
    WebUIOutOfMemoryError,
    WebUIServerError,
    WebUITimeoutError,
    WebUITooFewPicturesError,
    crash_eligible,
)
from webui.work.catalog import Has, Need, Thing
from webui.work.parameters import EditParameters, I2VParameters
from webui.work.pictures import Pictures, read_header
from webui.work.timeouts import DEFAULT_TIMEOUTS, Timeouts
from webui.work.told import ApiAnswer, Fate, Outcome, Patience, Progress
from webui.work.unit import Request, Work

TASK = "stablenew-1-0-0-abcd"
FILM = I2VParameters(
    width=96,
    height=64,
    num_frames=5,
    fps=8,
    steps=3,
    cfg_scale=1.0,
    boundary=0.9,
    sigma_shift=5.0,
    fit="crop",
    model="",
)
EDIT = EditParameters(width=96, height=64, steps=4, cfg_scale=1.0, scheduler="lightning", model="")


def request_of(kind: str, *inputs: bytes, prompt: str = "a boat moves", task_id: str = TASK) -> Request:
    return DRIVER.request(
        Work(
            stage=kind,
            parameters=FILM if kind == "i2v" else EDIT,
            prompt=prompt,
            negative_prompt="",
            parts={},
            seed=7,
            subseed=0,
            subseed_strength=0.0,
            images=(0,),
            checkpoint="",
            vae="",
            clip_skip=None,
            task_id=task_id,
            inputs=inputs or (picture(),),
        )
    )


def server_at(url: str, token: str = TOKEN, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> DiffSynthServer:
    server = DRIVER.connect(url, auth=("token", token), timeouts=timeouts)
    assert isinstance(server, DiffSynthServer)
    return server


def sent(server: DiffSynthServer, request: Request) -> Pictures:
    pictures = server.send(request)
    assert isinstance(pictures, Pictures)
    return pictures


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[Callable[..., tuple[DiffSynthServer, SimulatedWorkerProcess]]]:
    running: list[SimulatedWorkerProcess] = []

    def start(kind: str, *words: str) -> tuple[DiffSynthServer, SimulatedWorkerProcess]:
        process = SimulatedWorkerProcess(tmp_path, kind, *words).__enter__()
        running.append(process)
        return server_at(process.worker.base_url), process

    yield start
    for process in running:
        process.end()


Simulated = Callable[..., tuple[DiffSynthServer, SimulatedWorkerProcess]]


def drawn(process: SimulatedWorkerProcess) -> int:
    """How many jobs it has begun, over its starts."""
    return len(process.told("begin"))


# --- a job ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_a_job_comes_to_its_result_and_tells_what_was_used(simulated: Simulated, kind: str) -> None:
    server, _ = simulated(kind)
    request = request_of(kind)
    pictures = sent(server, request)
    (content,), (told,) = pictures, pictures.told
    assert told.seed == 7
    assert (told.info["width"], told.info["height"], told.info["steps"]) == (
        "96",
        "64",
        str(request.body["steps"]),
    )
    assert (request.frames, request.fps) == ((5, 8) if kind == "i2v" else (0, 0))
    own = DRIVER.picture_facts(content)
    if kind == "edit":
        assert (read_header(content).width_px, own.seed) == (96, 7)
    else:
        assert (content[4:8], own.infotext) == (b"ftyp", "")
    testimony = DRIVER.testimony(request, 0, told=told, own=own, catalog=None)
    assert {one.field for one in testimony} == {
        "Drawn size", "Steps", "CFG scale", "Seed",
        *(("Frames", "Frames per second", "Boundary", "Sigma shift", "Fit") if kind == "i2v" else ("Scheduler",)),
    }  # fmt: skip
    assert all(one.sayings and all(said.same for said in one.sayings) for one in testimony)


def test_pictures_are_put_once_and_several_stay_in_order(simulated: Simulated) -> None:
    server, process = simulated("edit")
    first, second = picture(), picture(colour="navy")
    request = request_of("edit", first, second)
    assert request.body["inputs"] == [sha256_of(first), sha256_of(second)]
    sent(server, request)
    sent(server, request_of("edit", second, first, task_id="other"))
    assert drawn(process) == 2
    assert server.client.has_input(sha256_of(first))


def test_one_id_is_one_execution_however_often_it_is_sent(simulated: Simulated) -> None:
    server, process = simulated("edit")
    request = request_of("edit")
    assert sent(server, request) == sent(server, request)
    assert drawn(process) == 1
    assert server.fate_of(TASK) is Fate.DONE
    assert sent(server, replace(request, task_id=f"{TASK}.2")) == sent(server, request)
    assert drawn(process) == 2


def test_another_sender_gets_the_result_that_is_there(simulated: Simulated) -> None:
    """Our own worker was lost: whoever takes its place asks under the old id."""
    server, process = simulated("edit")
    request = request_of("edit")
    first = sent(server, request)
    successor = server_at(process.worker.base_url)
    assert successor.fate_of(TASK) is Fate.DONE
    assert successor.fate_of("unknown") is Fate.UNKNOWN
    assert sent(successor, request) == first
    assert drawn(process) == 1


# --- what is lost on its way ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["once drop@1", "once drop-poll@1", "once drop-result@1"])
def test_a_lost_answer_is_asked_for_again_and_not_executed_again(simulated: Simulated, fault: str) -> None:
    server, process = simulated("edit", "--fault", fault, "--seconds-per-step", "0.02")
    assert len(sent(server, request_of("edit"))) == 1
    assert drawn(process) == 1


def test_a_picture_that_the_worker_has_dropped_is_put_again(simulated: Simulated) -> None:
    server, _ = simulated("edit", "--fault", "once missing-input@1")
    assert len(sent(server, request_of("edit"))) == 1


def test_a_busy_worker_is_waited_for(simulated: Simulated) -> None:
    server, _ = simulated("edit", "--fault", "once busy@1")
    assert len(sent(server, request_of("edit"))) == 1


def test_a_result_that_stays_damaged_is_a_bad_answer(simulated: Simulated) -> None:
    server, process = simulated("edit", "--fault", "wrong-hash@*")
    with pytest.raises(WebUIBadAnswerError, match="damaged 3 times"):
        server.send(request_of("edit"))
    assert drawn(process) == 1


def test_a_result_that_always_breaks_off_is_a_lost_connection(simulated: Simulated) -> None:
    server, process = simulated("edit", "--fault", "truncated@*")
    with pytest.raises(WebUIConnectionLostError):
        server.send(request_of("edit"))
    assert drawn(process) == 1


FAILURES: list[tuple[str, type[WebUIError], bool]] = [
    ("oom@1", WebUIOutOfMemoryError, True),
    ("failed@1", WebUIServerError, True),
    ("input@1", InvalidImageError, False),
    ("refused@1", RequestValidationError, False),
    ("gone@1", WebUIBadAnswerError, False),
    ("die@1", WebUIConnectionLostError, True),
    ("die-decode@1", WebUIConnectionLostError, True),
    ("forget@1", WebUIConnectionLostError, True),
]


@pytest.mark.parametrize(("fault", "error", "crash"), FAILURES)
def test_a_failed_job_is_the_error_that_costs_what_it_should(
    simulated: Simulated, fault: str, error: type[WebUIError], crash: bool
) -> None:
    server, _ = simulated("edit", "--fault", fault)
    with pytest.raises(WebUIError) as met:
        server.send(request_of("edit"))
    assert type(met.value) is error
    assert crash_eligible(met.value) is crash
    facts = met.value
    assert (facts.endpoint, facts.method, facts.stage) == ("/jobs", "POST", "edit")
    if fault == "refused@1":
        assert "steps: simulated refusal" in facts.words


def test_a_worker_that_is_not_there_was_never_sent_the_job() -> None:
    with pytest.raises(WebUINotSentError) as met:
        server_at(f"http://127.0.0.1:{free_port()}").send(request_of("edit"))
    assert crash_eligible(met.value)


def test_what_became_of_a_job_is_unknown_where_no_worker_answers() -> None:
    assert server_at(f"http://127.0.0.1:{free_port()}").fate_of(TASK) is Fate.UNKNOWN


def test_a_wrong_token_is_refused_in_words(simulated: Simulated) -> None:
    _, process = simulated("edit")
    stranger = server_at(process.worker.base_url, token="wrong")
    with pytest.raises(WebUIAuthError):
        stranger.send(request_of("edit"))
    asked = stranger.ask()
    assert asked.answer is ApiAnswer.WRONG_PASSWORD
    assert "refuses our token" in asked.reason
    assert stranger.inspect().outcome is Outcome.PASSWORD_REFUSED
    assert DRIVER.connect(process.worker.base_url).inspect().outcome is Outcome.PASSWORD_WANTED


def test_the_deadline_ends_a_job_that_hangs(simulated: Simulated) -> None:
    _, process = simulated("edit", "--fault", "hang@1")
    hurried = server_at(process.worker.base_url, timeouts=replace(DEFAULT_TIMEOUTS, generation_s=0.5))
    with pytest.raises(WebUITimeoutError, match=r"not done after 0\.5 s") as met:
        hurried.send(request_of("edit"))
    assert crash_eligible(met.value)


def test_a_written_down_request_runs_where_its_pictures_still_are(simulated: Simulated) -> None:
    server, process = simulated("edit")
    request = request_of("edit")
    restored = DRIVER.restore("edit", "/jobs", dict(request.body))
    assert (restored.sha256, restored.uploads) == (request.sha256, ())
    with pytest.raises(InvalidImageError, match="does not have the input picture"):
        server.send(restored)
    first = sent(server, request)
    assert sent(server, restored) == first
    assert drawn(process) == 2, "a replay is drawn anew"


# --- the real worker, driven by hand ----------------------------------------------------------------------


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[tuple[HandWorker, HandPipeline, DiffSynthServer]]:
    pipeline = HandPipeline(waits=True)
    with hand_worker(tmp_path, pipeline) as hand:
        yield hand, pipeline, server_at(hand.server.url, token=HAND_TOKEN)


ByHand = tuple[HandWorker, HandPipeline, DiffSynthServer]


class Background:
    """A send in a thread, as a run does it."""

    def __init__(self, server: DiffSynthServer, request: Request) -> None:
        self.result: Pictures | None = None
        self.error: WebUIError | None = None
        self._thread = threading.Thread(target=self._run, args=(server, request), daemon=True)
        self._thread.start()

    def _run(self, server: DiffSynthServer, request: Request) -> None:
        try:
            self.result = sent(server, request)
        except WebUIError as exc:
            self.error = exc

    def join(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive()


def is_at_step(step: int, told: Progress) -> bool:
    return told.step == step


def test_progress_moves_with_phase_and_step(by_hand: ByHand) -> None:
    _, pipeline, server = by_hand
    assert server.progress().idle
    sending = Background(server, request_of("edit"))
    wait_until(server.progress, lambda told: told.patience is Patience.STEP)

    def at(step: int) -> Progress:
        return wait_until(server.progress, lambda told: told.step == step)

    seen = []
    for step in range(3):
        seen.append(at(step))
        pipeline.allow()
    assert [told.steps for told in seen] == [4, 4, 4]
    assert len({told.fingerprint for told in seen}) == 3
    assert [told.fraction for told in seen] == sorted({told.fraction for told in seen})
    assert not any(told.idle for told in seen)
    assert server.preview() is None
    pipeline.allow(10)
    sending.join()
    assert sending.result is not None
    wait_until(server.progress, lambda told: told.idle)


def test_an_interrupt_ends_our_own_job_at_its_next_step(by_hand: ByHand) -> None:
    hand, pipeline, server = by_hand
    sending = Background(server, request_of("edit"))
    wait_until(server.progress, lambda told: not told.idle)
    assert server.is_running(TASK, alone=False)
    server.interrupt()
    pipeline.allow()
    sending.join()
    assert isinstance(sending.error, WebUITooFewPicturesError)
    assert hand.state(TASK)["state"] == "cancelled"
    assert not server.is_running(TASK, alone=False)
    assert server.fate_of(TASK) is Fate.ENDED


def test_an_interrupt_leaves_the_job_of_another_alone(by_hand: ByHand) -> None:
    """Ours only waits for the worker, and is taken back before it was ever accepted."""
    hand, _, server = by_hand
    hand.send("somebody-else")
    sending = Background(server, request_of("edit"))
    wait_until(lambda: server.is_running(TASK, alone=False), bool)
    server.interrupt()
    sending.join()
    assert isinstance(sending.error, WebUITooFewPicturesError)
    assert hand.state("somebody-else")["state"] in ("queued", "running")
    assert hand.ask("GET", f"/jobs/{TASK}").status == 404


def test_a_leftover_is_ended_by_whoever_comes_after(by_hand: ByHand) -> None:
    hand, pipeline, server = by_hand
    sending = Background(server, request_of("edit"))
    wait_until(server.progress, lambda told: not told.idle)
    successor = server_at(hand.server.url, token=HAND_TOKEN)
    assert successor.fate_of(TASK) is Fate.RUNNING
    assert successor.is_running(TASK, alone=True)
    assert not successor.end_leftover(TASK, alone=True)
    pipeline.allow()
    wait_until(lambda: successor.end_leftover(TASK, alone=True), bool)
    sending.join()
    assert successor.end_leftover("never-heard-of", alone=True)


def test_a_worker_tells_what_it_has(by_hand: ByHand) -> None:
    _, _, server = by_hand
    catalog = server.catalog()
    assert catalog.names(Thing.CHECKPOINT) == ("by-hand",)
    assert catalog.names(Thing.LORA) == ("few-steps",)
    assert DRIVER.find(catalog, Need(Thing.CHECKPOINT, "by-hand")).has is Has.YES
    missing = DRIVER.find(catalog, Need(Thing.CHECKPOINT, "other"))
    assert (missing.has, missing.nearest) == (Has.NO, "by-hand")
    assert DRIVER.find(catalog, Need(Thing.LORA, "other")).has is Has.UNKNOWN
    assert DRIVER.dialect_title(catalog.dialect) == "DiffSynth worker"
    assert server.loaded_checkpoint(even_if_busy=True) == "by-hand"
    assert server.memory().ram_bytes
    assert "does not restart itself" in server.restart()
    verdict = server.inspect()
    assert verdict.outcome is Outcome.WORKS
    facts = dict(verdict.facts)
    assert (facts["Kind"], facts["Model"], facts["Device"], facts["LoRAs"]) == (
        "DiffSynth worker: edits",
        "by-hand",
        "cpu",
        "few-steps",
    )


# --- before it is ready -----------------------------------------------------------------------------------


def test_a_loading_worker_is_waited_for(tmp_path: Path) -> None:
    go_on = threading.Event()

    def build(configuration: object, enter: Callable[[str], None]) -> HandPipeline:
        enter("weights")
        assert go_on.wait(120)
        return HandPipeline()

    with hand_worker(tmp_path, build=build, waits_until_ready=False) as hand:
        server = server_at(hand.server.url, token=HAND_TOKEN)
        asked = wait_until(server.ask, lambda asked: "its model" in asked.reason)
        assert (asked.answer, asked.kind) == (ApiAnswer.LOADING, "edit")
        verdict = server.inspect()
        assert (verdict.outcome, verdict.works) == (Outcome.LOADING, False)
        sending = Background(server, request_of("edit"))
        go_on.set()
        sending.join()
        assert sending.result is not None


def test_a_worker_that_failed_to_load_says_why(tmp_path: Path) -> None:
    with SimulatedWorkerProcess(tmp_path, "i2v", "--fault", "failed-load@1", waits=False) as process:
        server = server_at(process.worker.base_url)
        asked = wait_until(server.ask, lambda asked: asked.answer is not ApiAnswer.LOADING)
        assert (asked.answer, asked.kind) == (ApiAnswer.FAILED, "i2v")
        assert "fits no layer" in asked.reason
        verdict = server.inspect()
        assert verdict.outcome is Outcome.FAILS
        assert "fits no layer" in verdict.advice
        with pytest.raises(WebUIError, match="fits no layer"):
            server.send(request_of("i2v"))


def test_the_line_that_it_prints_lets_it_be_asked_at_once(tmp_path: Path) -> None:
    log = tmp_path / "stdout.log"
    assert not DRIVER.announces_start(log)
    log.write_text("importing\n")
    assert not DRIVER.announces_start(log)
    log.write_text("worker listening on http://127.0.0.1:7870 (kind i2v)\n")
    assert DRIVER.announces_start(log)
