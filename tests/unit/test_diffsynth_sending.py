"""A job on its way to a worker, by a script of answers: what is asked again, and what is never executed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from webui.drivers.diffsynth.client import WorkerClient
from webui.drivers.diffsynth.driver import DRIVER
from webui.drivers.diffsynth.sending import MOST_LOSSES, JobSending
from webui.errors import (
    WebUIAuthError,
    WebUIConnectionLostError,
    WebUIError,
    WebUINotSentError,
    WebUITimeoutError,
    WebUITransientExhaustedError,
)
from webui.http.answer import HttpAnswer
from webui.work.parameters import EditParameters
from webui.work.unit import Request, Work

RESULT = b"the bytes of a picture"
EDIT = EditParameters(width=64, height=64, steps=4, cfg_scale=1.0, scheduler="lightning", model="")


def request() -> Request:
    return DRIVER.request(
        Work(
            stage="edit", parameters=EDIT, prompt="", negative_prompt="", parts={}, seed=1, subseed=0,
            subseed_strength=0.0, images=(0,), checkpoint="", vae="", clip_skip=None, task_id="t", inputs=(b"in",),
        )
    )  # fmt: skip


def told(document: object, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, "application/json", json.dumps(document).encode(), elapsed_s=0.0)


def state(name: str, **facts: Any) -> dict[str, Any]:
    return {"id": "t", "state": name, "phase": "", "step": 0, "steps": 4, "elapsed_s": 0.1, **facts}


DONE = state(
    "done",
    result={
        "media_type": "image/png",
        "size_bytes": len(RESULT),
        "sha256": hashlib.sha256(RESULT).hexdigest(),
        "used": {"seed": 1},
    },
)


def result(content: bytes = RESULT, sha256: str = "") -> HttpAnswer:
    named = {"X-Result-SHA256": sha256 or hashlib.sha256(RESULT).hexdigest()}
    return HttpAnswer(200, "image/png", content, elapsed_s=0.0, headers=named)


class ScriptedWorker(WorkerClient):
    """Answers each kind of question by its own script, whose last act goes on for ever."""

    def __init__(self, **scripts: list[Any]) -> None:
        super().__init__("http://worker:1")
        ready = told({"state": "ready", "kind": "edit", "boot": "first"})
        self.scripts: dict[str, list[Any]] = {
            "health": [ready],
            "head": [told({})],
            "put": [told({}, 201)],
            "post": [told(state("running"), 202)],
            "state": [told(DONE)],
            "cancel": [told(state("running"), 202)],
            "result": [result()],
            **scripts,
        }
        self.asked: list[str] = []

    def exchange(self, method: str, endpoint: str, **words: Any) -> HttpAnswer:
        what = _question(method, endpoint)
        self.asked.append(what)
        script = self.scripts[what]
        act = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(act, WebUIError):
            raise act
        answer: HttpAnswer = act
        if not 200 <= answer.status < 300 and answer.status not in words.get("also", ()):
            raise self.judge(answer, None, generates=False)
        return answer


def _question(method: str, endpoint: str) -> str:
    if endpoint == "/health":
        return "health"
    if endpoint.startswith("/inputs/"):
        return method.lower()
    if endpoint == "/jobs":
        return "post"
    last = endpoint.rpartition("/")[2]
    return last if last in ("cancel", "result") else "state"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def sending(worker: ScriptedWorker) -> JobSending:
    clock = Clock()
    return JobSending(worker, request(), "t", clock=clock, sleep=clock.sleep)


def lost() -> WebUIConnectionLostError:
    return WebUIConnectionLostError("it broke")


def test_a_job_is_put_posted_asked_for_and_fetched() -> None:
    worker = ScriptedWorker(head=[told({}, 404)], state=[told(state("running")), told(DONE)])
    way = sending(worker)
    assert tuple(way.run()) == (RESULT,)
    assert worker.asked == ["health", "head", "put", "post", "state", "state", "result"]


@pytest.mark.parametrize("what", ["health", "head", "post", "state", "result"])
def test_whatever_is_lost_once_is_asked_again(what: str) -> None:
    usual = ScriptedWorker().scripts[what][0]
    worker = ScriptedWorker(**{what: [lost(), usual]})
    assert tuple(sending(worker).run()) == (RESULT,)
    assert worker.asked.count(what) >= 2


def test_a_silent_worker_is_asked_until_the_deadline() -> None:
    """Whether it hangs is judged by who watches its progress."""
    worker = ScriptedWorker(state=[WebUITimeoutError("silent")])
    with pytest.raises(WebUITimeoutError, match="not done after 1800 s"):
        sending(worker).run()


@pytest.mark.parametrize("damaged", [result(RESULT[:5]), result(b"x" * len(RESULT)), result(sha256="0" * 64)])
def test_a_damaged_result_is_fetched_again(damaged: HttpAnswer) -> None:
    worker = ScriptedWorker(result=[damaged, result()])
    assert tuple(sending(worker).run()) == (RESULT,)
    assert worker.asked.count("post") == 1


def test_losses_are_counted_and_come_to_an_end() -> None:
    worker = ScriptedWorker(state=[lost()])
    with pytest.raises(WebUIConnectionLostError):
        sending(worker).run()
    assert worker.asked.count("state") == MOST_LOSSES


def test_what_was_never_sent_is_told_from_what_may_have_been_executed() -> None:
    refused = WebUINotSentError("Connection refused")
    with pytest.raises(WebUINotSentError):
        sending(ScriptedWorker(health=[refused])).run()
    with pytest.raises(WebUIConnectionLostError, match="Connection refused"):
        sending(ScriptedWorker(state=[refused])).run()


def test_a_job_whose_answer_was_lost_is_not_posted_to_the_next_boot() -> None:
    """There it would be a new one, which nobody waits for."""
    boots = [told({"state": "ready", "boot": name}) for name in ("first", "second")]
    worker = ScriptedWorker(health=boots, post=[lost()])
    with pytest.raises(WebUIConnectionLostError, match="started anew"):
        sending(worker).run()
    assert worker.asked.count("post") == 1


@pytest.mark.parametrize("before", [WebUINotSentError("Connection refused"), lost()])
def test_a_worker_that_came_back_with_a_token_of_its_own_is_another_boot(before: WebUIError) -> None:
    """It was gone when the job was claimed; its node knows the new token, and no person has to give one."""
    stranger = told({"error": {"code": "unauthorized", "message": "Give the token."}}, 401)
    with pytest.raises(WebUINotSentError, match="started anew"):
        sending(ScriptedWorker(health=[before, stranger])).run()


def test_a_wrong_token_is_said_as_such() -> None:
    stranger = told({"error": {"code": "unauthorized", "message": "Give the token."}}, 401)
    with pytest.raises(WebUIAuthError):
        sending(ScriptedWorker(health=[stranger])).run()


@pytest.mark.parametrize("what", ["state", "result"])
def test_a_job_that_the_worker_has_forgotten_is_lost(what: str) -> None:
    """Whichever question finds it out: another boot may answer after the job was done."""
    gone = told({"error": {"code": "unknown_job", "message": "no such job"}}, 404)
    with pytest.raises(WebUIConnectionLostError, match="does not know the job any more"):
        sending(ScriptedWorker(**{what: [gone]})).run()


def test_a_worker_that_cannot_work_is_not_sent_the_job() -> None:
    failed = told({"state": "failed", "reason": "the LoRA fits no layer"}, 503)
    worker = ScriptedWorker(health=[failed])
    with pytest.raises(WebUITransientExhaustedError, match="fits no layer"):
        sending(worker).run()
    assert worker.asked == ["health"]


def test_a_cancel_before_the_post_sends_nothing() -> None:
    worker = ScriptedWorker(cancel=[told({"error": {"code": "unknown_job"}}, 404)])
    way = sending(worker)
    way.cancel()
    with pytest.raises(WebUIError, match="cancelled"):
        way.run()
    assert "post" not in worker.asked


def test_a_cancel_during_the_post_is_said_to_the_worker() -> None:
    worker = ScriptedWorker(state=[told(state("cancelled"))])
    way = sending(worker)
    exchange = worker.exchange

    def meanwhile(method: str, endpoint: str, **words: Any) -> HttpAnswer:
        answer = exchange(method, endpoint, **words)
        if endpoint == "/jobs":
            way._cancelled.set()
        return answer

    worker.exchange = meanwhile  # type: ignore[method-assign]
    with pytest.raises(WebUIError, match="it was cancelled there"):
        way.run()
    assert "cancel" in worker.asked


def test_every_error_has_the_facts_of_its_request() -> None:
    worker = ScriptedWorker(state=[told(state("failed", error={"code": "out_of_memory", "message": "CUDA"}))])
    with pytest.raises(WebUIError) as met:
        sending(worker).run()
    facts: Mapping[str, Any] = met.value.facts()
    assert (facts["endpoint"], facts["method"], facts["stage"]) == ("/jobs", "POST", "edit")
    assert (facts["address"], facts["error_class"]) == ("http://worker:1", "out_of_memory")
