"""Answers that are no crash: refusals, which a person must mend or a moment does, and answers that cannot be used."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.e2e.evidence import CRASH_SUSPECTED, RETRY_EXHAUSTED, boots, ended, kinds, posts_of, told, tries
from tests.e2e.processes import failing_node
from tests.e2e.queueing import submit
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

SMALL = {"txt2img.steps": 2, "txt2img.width": 64, "txt2img.height": 64}


# --- the request itself is wrong -----------------------------------------------------------------------

#: Fault, code of the envelope, and a word of what the person is told to change.
WRONG = (
    ("422", "WEBUI_REQUEST_INVALID", "field"),
    ("404-sampler", "WEBUI_SAMPLER_NOT_FOUND", "sampler"),
    ("500-image", "WEBUI_INVALID_IMAGE", "picture"),
    ("500-upscaler", "WEBUI_UNKNOWN_UPSCALER", "upscaler"),
)


def test_a_wrong_request_fails_at_once_and_says_what_to_change(stack: Stack) -> None:
    failing_node(stack, *(f"{fault}@{number}" for number, (fault, _, _) in enumerate(WRONG, start=1)))
    *wrong, last = ended(stack, submit(stack, repeat=len(WRONG) + 1))
    for job, (_, code, word) in zip(wrong, WRONG, strict=True):
        assert (job["status"], job["retry_count"], job["error_code"]) == ("FAILED", 0, code)
        assert word in job["error"]["remediation"]
        assert kinds(job) == ["STAGE_STARTED", "FAILED"]
        assert tries(job) == [("txt2img", None, 1, "rejected")]
        assert (job["error"]["job_id"], job["error"]["stage"]) == (job["id"], "txt2img")
        assert len(job["error"]["artifact_paths"]) == 4
        assert "lighthouse" not in json.dumps(job["error"])
    assert (last["status"], last["retry_count"]) == ("COMPLETED", 0)
    assert (boots(stack), len(stack.posts())) == (1, len(WRONG) + 1)
    assert stack.sql("SELECT crash_failures FROM jobs_runner") == [(0,)]


# --- refused for the moment ----------------------------------------------------------------------------


def test_refusals_for_the_moment_wait_by_policy_and_cost_a_restart_only_when_it_is_used_up(
    stack: Stack,
) -> None:
    # The first job needs three requests, the second one six.
    failing_node(stack, "503@1,2", "503@4-8")
    patient, unlucky = ended(stack, submit(stack, repeat=2))

    assert (patient["status"], patient["retry_count"]) == ("COMPLETED", 0)
    told_waits = [(one["attempt_index"], one["wait_s"], one["outcome"]) for one in patient["stage_attempts"]]
    assert told_waits == [(1, 0.0, "transient"), (2, 1.0, "transient"), (3, 2.0, "completed")]
    assert patient["execution_metadata"]["attempts"] == patient["stage_attempts"]
    assert {line["boot"] for line in posts_of(stack, patient["id"])} == {1}
    assert waits_kept(stack, patient) == [True, True]

    assert (unlucky["status"], unlucky["retry_count"]) == ("COMPLETED", 1)
    assert [line["boot"] for line in posts_of(stack, unlucky["id"])] == [1, 1, 1, 2, 2, 2]
    assert [one["wait_s"] for one in unlucky["stage_attempts"]] == [0.0, 1.0, 2.0] * 2
    suspected = told(unlucky, CRASH_SUSPECTED)
    assert (suspected["error_code"], suspected["attempt"]) == ("WEBUI_TRANSIENT_EXHAUSTED", 3)
    assert boots(stack) == 2


def waits_kept(stack: Stack, job: dict[str, Any]) -> list[bool]:
    """Whether the WebUI's own clock saw each request come no earlier than its recorded wait allows."""
    times = [line["time"] for line in posts_of(stack, job["id"])]
    waits = [one["wait_s"] for one in job["stage_attempts"]][1:]
    return [
        _seconds(later) - _seconds(earlier) >= wait_s - 0.05
        for earlier, later, wait_s in zip(times[:-1], times[1:], waits, strict=True)
    ]


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


# --- a 200 that cannot be used -------------------------------------------------------------------------

BAD = ("truncated", "torn-picture", "fewer-images", "interrupted")


def assert_whole(job: dict[str, Any]) -> None:
    """Both pictures, of the last attempt, open and are those that were accepted."""
    assert [output["image_index"] for output in job["outputs"]] == [0, 1]
    for output in job["outputs"]:
        content = Path(output["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == output["sha256"]
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
        assert "-run2" in Path(output["path"]).name


def test_a_bad_answer_costs_the_retry_without_a_restart_and_is_never_accepted(stack: Stack) -> None:
    # Each job is struck at its first request: posts 1, 3, 5, 7; the last job at both of its own.
    number = 2 * len(BAD) + 1
    rules = [f"{fault}@{2 * index + 1}" for index, fault in enumerate(BAD)]
    failing_node(stack, *rules, f"fewer-images@{number},{number + 1}")
    two = '{"preset_data": {"pipeline": {"images_per_prompt": 2}}}'
    *mended, hopeless = ended(stack, submit(stack, document=two, repeat=len(BAD) + 1))
    for job, fault in zip(mended, BAD, strict=True):
        assert (job["status"], job["retry_count"]) == ("COMPLETED", 1), fault
        outcomes = [("txt2img", None, 1, "bad_answer"), ("txt2img", None, 2, "completed")]
        assert tries(job) == outcomes, fault
        assert told(job, CRASH_SUSPECTED)["restart"] is False
        assert "WEBUI_RESTARTED" not in kinds(job)
        assert_whole(job)
    assert (hopeless["status"], hopeless["retry_count"], hopeless["outputs"]) == ("FAILED", 1, [])
    assert hopeless["error_code"] == "WEBUI_TOO_FEW_PICTURES"
    assert kinds(hopeless)[-2:] == [RETRY_EXHAUSTED, "FAILED"]
    assert (boots(stack), len(stack.posts())) == (1, number + 1)
    assert stack.sql("SELECT crash_failures FROM jobs_runner") == [(0,)]


def test_somebody_who_presses_interrupt_in_the_webui_costs_the_retry_only(stack: Stack) -> None:
    failing_node(stack, "slow=0.2@1")
    [job_id] = submit(stack, overrides={**SMALL, "txt2img.steps": 150})
    [(url,)] = stack.sql("SELECT base_url FROM webui_node")

    def steps_done() -> int:
        progress = requests.get(f"{url}/sdapi/v1/progress", timeout=60).json()
        return int(progress["state"]["sampling_step"])

    stack.wait_until(lambda: stack.posts() and steps_done() > 1, "it samples")
    requests.post(f"{url}/sdapi/v1/interrupt", timeout=60).raise_for_status()
    [job] = ended(stack, [job_id])
    assert [line["outcome"] for line in stack.journal("answer")] == ["interrupted", "answered"]
    assert (job["status"], job["retry_count"]) == ("COMPLETED", 1)
    assert "by someone else" in told(job, CRASH_SUSPECTED)["reason"]
    assert ["-run2" in output["path"] for output in job["outputs"]] == [True]
    assert boots(stack) == 1
