"""Four stages and two pictures: the retry takes up the picture that failed, and nothing before it is sent again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.evidence import CRASH_SUSPECTED, RETRY_EXHAUSTED, boots, ended, endpoints, kinds, told, tries
from tests.e2e.processes import failing_node, standing_still
from tests.e2e.queueing import submit
from tests.e2e.stack import Stack
from tests.e2e.test_stages import DOCUMENT, STAGES, TEXT, kept

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

#: One request for both pictures, then one for each in each later stage.
ENDPOINTS = ["txt2img", *["img2img"] * 4, *["extra-single-image"] * 2]
UNITS = [("txt2img", None), *((stage, image) for stage in STAGES[1:] for image in (0, 1))]


def submitted(stack: Stack) -> int:
    """A job of all stages."""
    [job_id] = submit(stack, "castles", TEXT, document=json.dumps(DOCUMENT), overrides={})
    return job_id


def run(stack: Stack, *faults: str) -> dict[str, Any]:
    """Such a job at its end, on a node that fails so."""
    failing_node(stack, *faults, seconds_per_step=0.001, options="--adetailer")
    [job] = ended(stack, [submitted(stack)])
    return job


def test_a_death_at_a_picture_of_stage_3_repeats_that_picture_only(stack: Stack) -> None:
    # Requests: 1 txt2img, 2 and 3 img2img, 4 and 5 adetailer.
    job = run(stack, "die@5")
    assert (job["status"], job["retry_count"]) == ("COMPLETED", 1)
    assert endpoints(stack) == [*ENDPOINTS[:5], *ENDPOINTS[4:]]
    died, again = stack.posts()[4:6]
    assert died["body_sha256"] == again["body_sha256"]
    assert len({line["body_sha256"] for line in stack.posts()}) == len(ENDPOINTS)
    assert boots(stack) == 2
    assert tries(job) == [
        *((stage, image, 1, "completed") for stage, image in UNITS[:4]),
        (*UNITS[4], 1, "unavailable"),
        *((stage, image, 2, "completed") for stage, image in UNITS[4:]),
    ]
    assert list(kept(job)) == [(stage, image) for stage in STAGES for image in (0, 1)]
    begun = told(job, "RETRY_STARTED")
    assert (begun["stage"], begun["run_number"], begun["from_stage_1"]) == ("adetailer", 2, False)
    assert kinds(job).count("STAGE_STARTED") == len(STAGES)


def test_a_crash_in_stage_1_and_another_in_stage_3_fail_the_job_after_one_retry(stack: Stack) -> None:
    # Requests: 1 and 2 txt2img, 3 and 4 img2img, 5 adetailer.
    job = run(stack, "500@1", "die@5")
    assert (job["status"], job["retry_count"]) == ("FAILED", 1)
    assert endpoints(stack) == ["txt2img", *ENDPOINTS[:4]]
    assert (job["error"]["stage"], job["error_code"]) == ("adetailer", "WEBUI_CONNECTION_LOST")
    assert job["execution_metadata"]["executions"] == 2
    assert kinds(job).count(CRASH_SUSPECTED) == kinds(job).count(RETRY_EXHAUSTED) == 1
    assert told(job, RETRY_EXHAUSTED)["stage"] == "adetailer"
    assert list(kept(job)) == [(stage, image) for stage in STAGES[:2] for image in (0, 1)]
    # The WebUI that died over the retry is started again for the jobs that follow.
    stack.wait_until(lambda: boots(stack) == 3, "it starts again")


def test_a_kept_picture_that_was_changed_on_disk_sends_the_job_back_to_stage_1(stack: Stack) -> None:
    keeper = failing_node(stack, "die@2", seconds_per_step=0.001, options="--adetailer")
    # No restart while the keeper stands still: time in which somebody edits an accepted picture in place.
    with standing_still(stack, keeper):
        job_id = submitted(stack)
        stack.wait_until(lambda: stack.journal("end"), "the WebUI has died")
        before = [path for (path,) in stack.sql("SELECT path FROM jobs_outputimage ORDER BY id")]
        with open(stack.folder / "outputs" / before[1], "ab") as picture:
            picture.write(b"edited")
    [job] = ended(stack, [job_id])
    assert (job["status"], job["retry_count"]) == ("COMPLETED", 1)
    assert endpoints(stack) == [*ENDPOINTS[:2], *ENDPOINTS]
    begun = told(job, "RETRY_STARTED")
    assert (begun["stage"], begun["run_number"], begun["from_stage_1"]) == ("txt2img", 2, True)
    after = kept(job)
    assert list(after) == [(stage, image) for stage in STAGES for image in (0, 1)]
    assert {Path(output["path"]).name for output in after.values()}.isdisjoint(Path(p).name for p in before)
