"""One restart and one retry for a request, with a client and a keeper that do as they are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.integration.recovery_caller import Caller, NoPatienceError
from tests.wire_requests import request_of_payload
from webui.drivers.a1111 import schemas
from webui.errors import (
    InvalidImageError,
    RequestValidationError,
    WebUIAuthError,
    WebUIBadAnswerError,
    WebUIConnectionLostError,
    WebUIEndpointMissingError,
    WebUIError,
    WebUIHangError,
    WebUINotOfferedError,
    WebUINotSentError,
    WebUIOutOfMemoryError,
    WebUIServerError,
    WebUITimeoutError,
    WebUITooFewPicturesError,
    WebUITransientError,
    WebUITransientExhaustedError,
)
from webui.evidence.failure_artifacts import FailureEvidence
from webui.http.retry import ONCE, Backoff, RetryPolicy
from webui.models import Node, NodeState
from webui.nodes.adding import add_node
from webui.nodes.asking import RUNNER
from webui.processes import process
from webui.recovery.recovery import (
    RecoveryEnding,
    RecoveryOutcome,
    Sending,
    generate_images_with_recovery,
)
from webui.work.unit import Request

pytestmark = pytest.mark.django_db

PROMPT = "a marvelous castle"
REQUEST = request_of_payload(
    schemas.Txt2ImgRequest(
        prompt=PROMPT,
        steps=20,
        width=64,
        height=64,
        force_task_id="job-7",
        override_settings=schemas.OverrideSettings(sd_model_checkpoint="dream"),
    )
)
PICTURE = b"hi"
TXT2IMG = "/sdapi/v1/txt2img"
SERVER_ERROR = partial(
    WebUIServerError, f"cannot draw {PROMPT}", status=500, endpoint=TXT2IMG, stage="txt2img"
)
BUSY = partial(WebUITransientError, f"busy with {PROMPT}", status=503, endpoint=TXT2IMG, stage="txt2img")
FIRST = Path("attempt-1")
PAYLOAD_FILE, TAIL_FILE = Path("stage_failure_payload.json"), Path("webui_tail.log")


class StoppedError(Exception):
    """What a hook of the caller's raises to end its run."""


@dataclass
class FakeServer:
    """Raises or answers, one after the other."""

    results: list[WebUIError | bytes] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)

    def send(self, request: Request) -> Sequence[bytes]:
        assert request is REQUEST
        self.posts.append(request.stage)
        result = self.results.pop(0)
        if isinstance(result, WebUIError):
            raise result
        return [result]


@dataclass
class FakeKeeper:
    """Restarts at once, or never; `asks` how often the caller is asked before."""

    ready: bool = True
    asks: int = 3
    calls: list[dict[str, object]] = field(default_factory=list)

    def __call__(
        self, node_id: int, *, by: str, reason: str, generation: int, waiting: Callable[[], bool]
    ) -> int:
        self.calls.append({"by": by, "reason": reason, "generation": generation})
        for _ in range(self.asks):
            if not waiting():
                return 0
        return generation + 1 if self.ready else 0


class Run:
    """A request on a node of generation 3, and what came of it."""

    def __init__(self, node: Node, run_dir: Path) -> None:
        self.node = node
        self.server = FakeServer()
        self.keeper = FakeKeeper()
        self.caller = self.caller_in(run_dir)
        self.slept: list[float] = []
        self.on_sleep: Callable[[], object] = lambda: None

    def caller_in(self, run_dir: Path | None, *, retries: int = 1) -> Caller:
        """One that has its whole budget; the evidence of its failures goes to `run_dir`."""
        return Caller(self.server, FailureEvidence(REQUEST, run_dir, self.node.pk), retries=retries)

    def sleep(self, wait_s: float) -> None:
        self.slept.append(wait_s)
        self.on_sleep()

    def change(self, **columns: object) -> None:
        """Of the node's row."""
        Node.objects.filter(pk=self.node.pk).update(**columns)

    def __call__(
        self, *results: WebUIError | bytes, policy: RetryPolicy | None = None, in_retry: bool = False
    ) -> RecoveryOutcome[str]:
        self.server.results = list(results)
        return generate_images_with_recovery(
            "txt2img",
            self.caller.send,
            self.caller,
            node_id=self.node.pk,
            generation=3,
            job_id=7,
            policy=policy,
            in_retry=in_retry,
            restart=self.keeper,
            sleep=self.sleep,
        )

    @property
    def posts(self) -> int:
        return len(self.server.posts)

    @property
    def artifact_paths(self) -> tuple[Path, ...]:
        """All evidence of the request."""
        return self.caller.evidence.paths


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = add_node("gpu", "http://127.0.0.1:7860", start_command="./webui.sh --api")
    (tmp_path / "boot-3").mkdir()
    (tmp_path / "boot-3" / "stderr.log").write_text(f"drawing {PROMPT}\nlast line\n")
    node.state, node.generation, node.log_directory = NodeState.READY, 3, str(tmp_path / "boot-3")
    node.save()
    return node


@pytest.fixture
def run(node: Node, tmp_path: Path) -> Run:
    folder = tmp_path / "outputs" / "7"
    folder.mkdir(parents=True)
    return Run(node, folder)


def test_answer_at_once_is_worth_what_the_caller_says(run: Run) -> None:
    outcome = run(PICTURE)
    assert outcome == RecoveryOutcome(RecoveryEnding.DONE, "worth")
    assert run.caller.calls == ["begin", "post"]
    assert run.caller.sendings == [Sending("txt2img", 1, 3, 0.0, in_retry=False, generation=3)]
    assert not run.keeper.calls
    run_dir = run.caller.evidence.run_dir
    assert run_dir is not None
    assert not list(run_dir.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        SERVER_ERROR(),
        WebUIOutOfMemoryError("CUDA"),
        WebUIConnectionLostError("reset"),
        WebUITimeoutError("late"),
        WebUIHangError("step 3"),
        WebUINotSentError("refused"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_crash_costs_one_restart_and_one_retry_in_this_order(
    run: Run, error: WebUIError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "is_process_alive", lambda node: False)
    outcome = run(error, PICTURE)
    assert (outcome.ending, outcome.value, outcome.error) == (RecoveryEnding.DONE, "worth", None)
    assert run.caller.calls == [
        "begin",
        "post",
        "failed",
        "crash_suspected",
        "restarted 4",
        "retry_started",
        "begin",
        "post",
    ]
    assert [(sending.in_retry, sending.generation) for sending in run.caller.sendings] == [
        (False, 3),
        (True, 4),
    ]
    [wished] = run.keeper.calls
    assert (wished["by"], wished["generation"]) == (RUNNER, 3)
    assert wished["reason"] == f"stage txt2img of job 7 failed. {error.sentence()}"
    assert run.posts == 2
    assert len(run.artifact_paths) == 4


def test_evidence_is_on_disk_before_the_retry_is_asked_for(run: Run) -> None:
    run(SERVER_ERROR(), PICTURE)
    run_dir = run.caller.evidence.run_dir
    assert run_dir is not None
    everything = tuple(
        run_dir / name for name in (PAYLOAD_FILE, TAIL_FILE, FIRST / PAYLOAD_FILE, FIRST / TAIL_FILE)
    )
    [suspicion] = run.caller.suspicions
    assert suspicion.artifact_paths == run.caller.failures[0][1] == run.artifact_paths == everything
    assert "last line" in everything[1].read_text()
    document = json.loads(everything[0].read_text())
    assert (document["stage"], document["attempt"]) == ("txt2img", 1)
    assert (suspicion.sending.stage, suspicion.sending.attempt) == ("txt2img", 1)
    assert (suspicion.restart, suspicion.sending.generation) == (True, 3)
    assert {"prompt", "steps", "override_settings"} <= document["payload"].keys()
    assert REQUEST.body.keys() == document["payload"].keys()


def test_prompt_leaves_with_nothing(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    try:
        raise ValueError(PROMPT)
    except ValueError as cause:
        error = SERVER_ERROR()
        error.__cause__ = cause
    outcome = run(BUSY(), error, BUSY(), BUSY(), BUSY())
    assert outcome.ending is RecoveryEnding.EXHAUSTED
    told = [str(outcome), caplog.text, *(str(call) for call in run.keeper.calls)]
    for failed, _ in run.caller.failures:
        told += [
            str(failed),
            repr(failed),
            str(failed.facts()),
            repr(failed.__cause__),
            repr(failed.__context__),
        ]
    told += [path.read_text() for path in run.artifact_paths]
    assert len(told) > 20
    assert "marvelous" not in " ".join(told)
    assert "castle" not in " ".join(told)


def test_failed_retry_is_exhausted_and_names_what_exists(run: Run) -> None:
    outcome = run(SERVER_ERROR(), WebUIConnectionLostError("reset"))
    assert (outcome.ending, outcome.value) == (RecoveryEnding.EXHAUSTED, None)
    assert isinstance(outcome.error, WebUIConnectionLostError)
    assert run.caller.calls[-3:] == ["begin", "post", "failed"]
    assert len(run.keeper.calls) == 1
    assert run.posts == 2
    assert [path.is_file() for path in run.artifact_paths] == [True] * 4
    codes = [json.loads(path.read_text())["error"]["code"] for path in run.artifact_paths[::2]]
    assert codes == ["WEBUI_CONNECTION_LOST", "WEBUI_SERVER_ERROR"]


def test_without_a_retry_left_the_first_failure_ends_it(run: Run) -> None:
    run.caller.retries = 0
    outcome = run(SERVER_ERROR())
    assert outcome.ending is RecoveryEnding.EXHAUSTED
    assert run.caller.calls == ["begin", "post", "failed", "crash_suspected"]
    assert not run.keeper.calls
    assert len(run.artifact_paths) == 4


def test_request_of_a_retry_that_has_begun_says_so(run: Run) -> None:
    run.caller.retries = 0
    outcome = run(SERVER_ERROR(), in_retry=True)
    assert outcome.ending is RecoveryEnding.EXHAUSTED
    assert [sending.in_retry for sending in run.caller.sendings] == [True]


@pytest.mark.parametrize(
    "error",
    [
        RequestValidationError("steps: too many", status=422, endpoint=TXT2IMG, stage="txt2img"),
        InvalidImageError("Invalid encoded image", status=500, endpoint=TXT2IMG, stage="txt2img"),
        WebUIAuthError("no", status=401, endpoint=TXT2IMG, stage="txt2img"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_rejected_request_is_neither_restarted_nor_retried(run: Run, error: WebUIError) -> None:
    outcome = run(error)
    assert outcome.ending is RecoveryEnding.REFUSED
    assert outcome.error is error
    assert run.caller.calls == ["begin", "post", "failed"]
    assert not run.keeper.calls
    assert len(run.artifact_paths) == 4


@pytest.mark.parametrize("kind", [WebUIEndpointMissingError, WebUINotOfferedError])
def test_other_program_at_the_address_is_no_fault_of_the_request(run: Run, kind: type[WebUIError]) -> None:
    outcome = run(kind("Not Found", endpoint=TXT2IMG, stage="txt2img"), PICTURE)
    assert outcome.ending is RecoveryEnding.DONE
    assert len(run.keeper.calls) == 1


@pytest.mark.parametrize(
    "error",
    [WebUIBadAnswerError("not base64"), WebUITooFewPicturesError("1 of 3", pictures=(b"one",))],
    ids=lambda error: type(error).__name__,
)
def test_bad_answer_costs_the_retry_and_no_restart(run: Run, error: WebUIError) -> None:
    outcome = run(error, PICTURE)
    assert outcome.ending is RecoveryEnding.DONE
    assert not run.keeper.calls
    assert [suspicion.restart for suspicion in run.caller.suspicions] == [False]
    assert run.caller.calls[3:] == ["crash_suspected", "retry_started", "begin", "post"]


def test_bad_answer_twice_is_exhausted(run: Run) -> None:
    outcome = run(WebUIBadAnswerError("cut"), WebUIBadAnswerError("cut again"))
    assert outcome.ending is RecoveryEnding.EXHAUSTED
    assert run.posts == 2


def test_restart_that_fails_leaves_the_retry_for_later(run: Run) -> None:
    run.keeper.ready = False
    outcome = run(SERVER_ERROR())
    assert outcome.ending is RecoveryEnding.RESTART_FAILED
    assert run.caller.calls == ["begin", "post", "failed", "crash_suspected"]
    assert isinstance(outcome.error, WebUIServerError)
    assert len(run.artifact_paths) == 4


def test_caller_may_stop_the_wait_for_a_restart(run: Run) -> None:
    run.caller.patience = 2
    with pytest.raises(NoPatienceError):
        run(SERVER_ERROR())
    assert run.caller.asked == 3
    assert "retry_started" not in run.caller.calls


# Refusals for the moment.


def test_503_twice_then_success_is_by_policy_with_both_waits(run: Run) -> None:
    outcome = run(BUSY(), BUSY(), PICTURE)
    assert outcome.ending is RecoveryEnding.DONE
    assert not run.keeper.calls
    assert [(one.attempt, one.max_attempts, one.wait_s) for one in run.caller.sendings] == [
        (1, 3, 0.0),
        (2, 3, 1.0),
        (3, 3, 2.0),
    ]
    assert [paths for _, paths in run.caller.failures] == [(), ()]
    assert run.caller.calls == [*(["begin", "post", "failed"] * 2), "begin", "post"]
    assert run.artifact_paths == ()


def test_503_five_times_is_three_posts_then_the_restart(run: Run) -> None:
    outcome = run(BUSY(), BUSY(), BUSY(), BUSY(), BUSY(), PICTURE)
    assert outcome.ending is RecoveryEnding.DONE
    assert run.posts == 6
    assert len(run.keeper.calls) == 1
    assert [len(paths) for _, paths in run.caller.failures] == [0, 0, 4, 0, 0]
    [suspicion] = run.caller.suspicions
    assert isinstance(suspicion.error, WebUITransientExhaustedError)
    assert str(suspicion.error.__cause__) == "WebUITransientError"
    assert suspicion.sending.attempt == 3
    assert [one.attempt for one in run.caller.sendings] == [1, 2, 3, 1, 2, 3]


def test_every_failed_post_is_told_once(run: Run) -> None:
    run(BUSY(), BUSY(), BUSY(), BUSY(), SERVER_ERROR())
    assert run.caller.calls.count("failed") == run.caller.calls.count("post") == 5


def test_waits_ask_the_caller_four_times_a_second(run: Run) -> None:
    run(BUSY(), PICTURE, policy=RetryPolicy(2, Backoff.FIXED, 10.0, 10.0))
    assert max(run.slept) <= 0.25
    assert sum(run.slept) == pytest.approx(10.0)
    assert run.caller.asked >= len(run.slept)


def test_caller_may_stop_a_wait_between_attempts(run: Run) -> None:
    run.caller.patience = 2
    with pytest.raises(NoPatienceError):
        run(BUSY(), PICTURE)
    assert (run.posts, len(run.slept)) == (1, 2)


# Never sent.


@pytest.mark.parametrize("state", [NodeState.STARTING, NodeState.RESTARTING, NodeState.READY])
def test_never_sent_is_repeated_while_our_process_lives(
    run: Run, state: NodeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "is_process_alive", lambda node: True)
    run.caller.before = lambda sending: run.change(state=state) if sending.attempt == 1 else None
    run.on_sleep = lambda: run.change(state=NodeState.READY, generation=4)
    outcome = run(WebUINotSentError("Connection refused"), PICTURE)
    assert outcome.ending is RecoveryEnding.DONE
    assert not run.keeper.calls
    assert [sending.generation for sending in run.caller.sendings] == [3, 4]


@pytest.mark.parametrize(
    "columns",
    [
        {"state": NodeState.FAILED},
        {"state": NodeState.STOPPED},
        {"state": NodeState.READY, "start_command": ""},
        {"state": NodeState.READY, "adopted_foreign": True},
        {"state": NodeState.STARTING, "wish": "stop"},
        {"state": NodeState.STARTING, "failed_starts": 3},
    ],
    ids=str,
)
def test_never_sent_is_unavailable_when_nothing_of_ours_is_coming(
    run: Run, columns: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "is_process_alive", lambda node: True)
    run.caller.before = lambda sending: run.change(**columns)
    run.keeper.ready = False
    outcome = run(WebUINotSentError("Connection refused", endpoint=TXT2IMG, stage="txt2img"))
    assert outcome.ending is RecoveryEnding.RESTART_FAILED
    assert run.posts == 1


def test_nothing_is_sent_to_a_webui_that_is_still_starting(run: Run) -> None:
    def sleep() -> None:
        if len(run.slept) == 5:
            run.change(state=NodeState.READY, generation=5)

    run.change(state=NodeState.STARTING)
    run.on_sleep = sleep
    assert run(PICTURE).ending is RecoveryEnding.DONE
    assert len(run.slept) == 5
    assert [sending.generation for sending in run.caller.sendings] == [5]


def test_crash_of_a_later_boot_restarts_that_one(run: Run) -> None:
    run.change(generation=8)
    run(SERVER_ERROR(), PICTURE)
    assert [call["generation"] for call in run.keeper.calls] == [8]


def test_webui_that_never_gets_ready_is_asked_in_the_end(run: Run, settings: Settings) -> None:
    settings.STABLENEW_READY_TIMEOUT_S = 1.0
    run.change(state=NodeState.STARTING, failed_starts=1)
    run.keeper.ready = False
    outcome = run(WebUINotSentError("refused"))
    assert outcome.ending is RecoveryEnding.RESTART_FAILED
    assert sum(run.slept) == pytest.approx(1.0, abs=0.11)


# The caller's part.


def test_without_a_run_directory_nothing_is_written(run: Run, tmp_path: Path) -> None:
    run.caller = run.caller_in(None)
    before = sorted(tmp_path.rglob("*"))
    outcome = run(SERVER_ERROR(), SERVER_ERROR())
    assert outcome.ending is RecoveryEnding.EXHAUSTED
    assert run.artifact_paths == run.caller.suspicions[0].artifact_paths == ()
    assert sorted(tmp_path.rglob("*")) == before


def test_evidence_that_cannot_be_written_costs_nothing_else(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    run.caller = run.caller_in(tmp_path / "file" / "7")
    outcome = run(SERVER_ERROR(), PICTURE)
    assert outcome.ending is RecoveryEnding.DONE
    assert run.artifact_paths == ()


@pytest.mark.parametrize("attempt", [1, 2])
def test_what_the_caller_raises_before_a_post_passes_through(run: Run, attempt: int) -> None:
    def stop(sending: Sending) -> None:
        if sending.attempt == attempt:
            raise StoppedError

    run.caller.before = stop
    with pytest.raises(StoppedError):
        run(BUSY(), PICTURE)
    assert run.posts == attempt - 1
    assert run.caller.calls[-1] == "begin"


def test_what_the_caller_raises_while_it_waits_passes_through(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled() -> bool:
        raise StoppedError

    monkeypatch.setattr(run.caller, "waiting", cancelled)
    with pytest.raises(StoppedError):
        run(SERVER_ERROR())
    with pytest.raises(StoppedError):
        run(BUSY())


def test_bad_proof_of_the_answer_is_a_failure_of_the_request(run: Run) -> None:
    proofs: list[WebUIError | str] = [WebUIBadAnswerError("interrupted by someone else"), "worth"]

    def prove(pictures: Sequence[bytes]) -> str:
        assert pictures == [PICTURE]
        proof = proofs.pop(0)
        if isinstance(proof, WebUIError):
            raise proof
        return proof

    run.caller.prove = prove
    outcome = run(PICTURE, PICTURE)
    assert (outcome.ending, outcome.value) == (RecoveryEnding.DONE, "worth")
    assert not run.keeper.calls
    assert len(run.artifact_paths) == 4


def test_policy_of_the_call_wins(run: Run) -> None:
    outcome = run(BUSY(), PICTURE, policy=ONCE)
    assert outcome.ending is RecoveryEnding.DONE
    assert len(run.keeper.calls) == 1
    assert run.slept == []


def test_resumed_unit_keeps_the_first_failures_pair(run: Run) -> None:
    """Two requests of one job: the first failed in the run before, this one fails in the retry."""
    run(SERVER_ERROR(), PICTURE)
    run.caller = run.caller_in(run.caller.evidence.run_dir, retries=0)
    run(WebUIConnectionLostError("reset"), in_retry=True)
    codes = [json.loads(path.read_text())["error"]["code"] for path in run.artifact_paths[::2]]
    assert codes == ["WEBUI_CONNECTION_LOST", "WEBUI_SERVER_ERROR"]
    assert run.artifact_paths[2].parent.name == "attempt-1"
    assert len(run.caller.suspicions[0].artifact_paths) == 2
