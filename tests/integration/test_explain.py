"""The account of a job: for every status and every reason for not running, one sentence, what to do, what applies."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from diagnostics.explaining.account import Account, Verb
from diagnostics.explaining.explain import account_of
from diagnostics.explaining.job_facts import MAX_RERUNS, situation_of, situation_version
from jobs.lifecycle import EventType
from jobs.models import Job, Runner
from jobs.queue import control
from jobs.submitting.reruns import rerun
from tests.factories import make_job, make_node
from tests.integration.failed_jobs import fail_in_retry, tell
from tests.integration.finished_jobs import complete
from tests.integration.job_situations import (
    ago,
    behind_running,
    behind_two,
    breaker,
    breaker_due,
    breaker_open,
    breaker_trying,
    cancelled_in_time,
    cancelled_while_it_ran,
    card_busy,
    completed,
    completed_in_retry,
    crashed_without_restart,
    disk_is_full,
    draining,
    failed_again,
    failed_node,
    given_back,
    in_retry,
    lacking,
    must_quiet,
    next_one,
    no_node,
    no_node_of_its_kind,
    no_worker,
    no_worker_anywhere,
    one_of_two_nodes_held,
    paused,
    paused_silently,
    refused,
    restart_wished,
    restart_wished_by_a_run,
    restarting_for_a_run,
    retry_waits_for_restart,
    running,
    running_a_stage,
    running_and_cancelled,
    running_without_lease,
    silent_worker,
    started_again,
    starting,
    stood_back,
    stop_wished,
    stopped,
    two_nodes_down,
    two_nodes_held,
    unreachable,
    waiting_for_restart,
    worker_lost_once,
)
from webui.models import Node, NodeState, Wish

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Any) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


NEXT = "It is next in the queue"
CRASHES = "3 crashes in a row, the last: CUDA error"
CRASHED = "job 1 failed. The WebUI gave no answer"
NO_WORKERS = "there are no running workers available for images"
HEADLINES: list[tuple[Callable[[], Job], str]] = [
    (no_node, f"{NEXT}, but {NO_WORKERS}: there is no node yet."),
    (no_worker, f"{NEXT}, but {NO_WORKERS}."),
    (no_worker_anywhere, f"{NEXT}, but {NO_WORKERS}."),
    (
        no_node_of_its_kind,
        f"{NEXT}, but there are no running workers available for edits: no node takes them.",
    ),
    (
        card_busy,
        f"{NEXT} and starts when a node is free: job 1 runs on beta, which shares card gpu0 with alpha.",
    ),
    (silent_worker, f"{NEXT}, but {NO_WORKERS}."),
    (draining, f"{NEXT}, but the runner of alpha is draining: it starts no more jobs and then ends."),
    (next_one, f"{NEXT} and starts as soon as a node is free."),
    (behind_two, "It waits behind 2 jobs."),
    (behind_running, f"{NEXT} and starts when a node is free: job 1 runs on alpha."),
    (paused, f"{NEXT}; the queue was paused by ada at TIME: new GPU."),
    (paused_silently, f"{NEXT}; the queue was paused by ada at TIME."),
    (starting, f"{NEXT}, but alpha is starting: Its port does not answer yet."),
    (stopped, f"{NEXT}, but {NO_WORKERS}, because alpha is stopped."),
    (failed_node, f"{NEXT}, but {NO_WORKERS}, because alpha has failed: It ended with exit status 1."),
    (two_nodes_down, f"{NEXT}, but {NO_WORKERS}, because alpha has failed and beta has no runner."),
    (started_again, f"{NEXT}, but alpha is stopped."),
    (unreachable, f"{NEXT}, but {NO_WORKERS}, because alpha cannot be reached."),
    (restart_wished, f"{NEXT}, but ada asked to restart alpha: node restart."),
    (restart_wished_by_a_run, f"{NEXT}, but alpha is about to restart: {CRASHED}."),
    (restarting_for_a_run, f"{NEXT}, but alpha is restarting: {CRASHED}."),
    (stood_back, f"{NEXT}, but {NO_WORKERS}, because alpha was stopped: node webui takes this work."),
    (stop_wished, f"{NEXT}, but ada asked to stop alpha."),
    (
        must_quiet,
        f"{NEXT}, but alpha takes no job until its WebUI has finished a request whose answer was lost.",
    ),
    (
        disk_is_full,
        f"{NEXT}, but alpha has taken no jobs since TIME: /data has 0.0 MiB free, and 64.0 MiB are needed for the "
        "database.",
    ),
    (breaker_open, f"{NEXT}, but the breaker of alpha is open until TIME: {CRASHES}."),
    (breaker_due, f"{NEXT} and runs on alpha as a test, because its breaker is open."),
    (
        breaker_trying,
        f"{NEXT}, but the breaker of alpha is open, and job 1 runs there as a test: {CRASHES}.",
    ),
    (
        two_nodes_held,
        f"{NEXT}, but no node takes jobs: alpha takes no job until its WebUI has finished a request whose "
        "answer was lost; beta is starting.",
    ),
    (one_of_two_nodes_held, f"{NEXT} and starts as soon as a node is free."),
    (
        retry_waits_for_restart,
        "It waits for the restart of alpha's WebUI. Its first run broke off in txt2img with "
        "WEBUI_SERVER_ERROR; this will be its one retry.",
    ),
    (
        worker_lost_once,
        f"{NEXT} and starts as soon as a node is free. Its first run broke off; this will be its one retry.",
    ),
    (
        given_back,
        f"{NEXT} and starts as soon as a node is free. It was given back at TIME: drain; not charged.",
    ),
    (running, "It is running on alpha."),
    (running_a_stage, "It is running on alpha: txt2img, stage 1 of 1, since TIME."),
    (
        running_and_cancelled,
        "ada asked at TIME to cancel it; it ends with the answer to its interrupted request.",
    ),
    (
        running_without_lease,
        "Its runner on alpha has not renewed its claim, which ended at TIME.",
    ),
    (
        waiting_for_restart,
        "The WebUI on alpha failed it at TIME; a restart of the WebUI is due, then it gets its one retry.",
    ),
    (crashed_without_restart, "It is running on alpha. This is its one retry."),
    (in_retry, "It is running on alpha. This is its one retry."),
    (completed, "It made 2 pictures on alpha in 37 s."),
    (
        completed_in_retry,
        "It made 1 picture on alpha in 3.0 s. It had its one retry, after txt2img ended with "
        "WEBUI_SERVER_ERROR.",
    ),
    (refused, "It failed in txt2img on alpha with WEBUI_SAMPLER_NOT_FOUND."),
    (
        failed_again,
        "It failed in txt2img on alpha with WEBUI_CONNECTION_LOST. It had its one retry, after txt2img "
        "ended with WEBUI_SERVER_ERROR.",
    ),
    (cancelled_in_time, "It was cancelled by ada at TIME (before it ran)."),
    (cancelled_while_it_ran, "It was cancelled by ada at TIME. 1 picture is kept."),
]


def timeless(text: str) -> str:
    return re.sub(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d", "TIME", text)


def numbered(text: str, first_id: int) -> str:
    """Ids of jobs counted from the first of the test."""
    return re.sub(r"\bjob (\d+)", lambda found: f"job {int(found[1]) - first_id + 1}", text)


@pytest.mark.parametrize(
    ("situation", "headline"), HEADLINES, ids=lambda value: getattr(value, "__name__", "")
)
def test_every_situation_has_its_sentence(situation: Callable[[], Job], headline: str) -> None:
    job = situation()
    first = Job.objects.order_by("pk").values_list("pk", flat=True)[0]
    told = account_of(job.pk)
    assert numbered(timeless(told.headline), first) == headline
    assert "None" not in str(told.as_json()["reasons"]).replace("None,", "")


def remedies(account: Account) -> str:
    return " ".join(reason.remedy for reason in account.reasons)


REMEDIES: list[tuple[Callable[[], Job], str]] = [
    (no_node, "Start everything with python manage.py up, or attach a WebUI."),
    (no_worker, "manage.py run_node alpha"),
    (silent_worker, "It has ended or hangs. Start it with python manage.py up"),
    (draining, "manage.py run_node alpha"),
    (paused, "Resume it"),
    (starting, "It takes jobs again as soon as it is ready."),
    (stopped, "manage.py node start alpha"),
    (failed_node, "manage.py node logs alpha"),
    (unreachable, "Start that server"),
    (must_quiet, "No action needed"),
    (disk_is_full, "Free some space"),
    (breaker_open, "Repaired already? Try one now"),
    (breaker_trying, "If that job completes, the others follow."),
    (running_without_lease, "manage.py run_node alpha"),
    (refused, "sampler"),
]


@pytest.mark.parametrize(("situation", "words"), REMEDIES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_to_do_is_told(situation: Callable[[], Job], words: str) -> None:
    assert words in remedies(account_of(situation().pk))


APPLIES: list[tuple[Callable[[], Job], list[Verb]]] = [
    (next_one, [Verb.CANCEL]),
    (paused, [Verb.RESUME_QUEUE, Verb.CANCEL]),
    (breaker_open, [Verb.TRY_NODE, Verb.CANCEL]),
    (lacking, [Verb.RUN_ANYWAY, Verb.CANCEL]),
    (breaker_due, [Verb.CANCEL]),
    (breaker_trying, [Verb.CANCEL]),
    (stopped, [Verb.START_NODE, Verb.CANCEL]),
    (running, [Verb.CANCEL]),
    (running_and_cancelled, []),
    (completed, [Verb.RERUN]),
    (failed_again, [Verb.RERUN]),
    (cancelled_in_time, [Verb.RERUN]),
]


@pytest.mark.parametrize(("situation", "verbs"), APPLIES, ids=lambda value: getattr(value, "__name__", ""))
def test_only_actions_that_apply_now_are_offered(situation: Callable[[], Job], verbs: list[Verb]) -> None:
    assert [action.verb for action in account_of(situation().pk).actions] == verbs


def test_a_failure_tells_what_was_tried() -> None:
    told = account_of(failed_again().pk)
    texts = {reason.code: reason.text for reason in told.reasons}
    assert texts["tried"] == "Tried: 2 requests in 2 runs and 1 restart of the WebUI."
    assert timeless(texts["crash"]) == (
        "Stage txt2img broke off at TIME with WEBUI_SERVER_ERROR: CUDA error: an illegal memory access."
    )


def said(job: Job) -> dict[str, str]:
    """What the account of a job says, by the code of each reason."""
    return {reason.code: timeless(reason.text) for reason in account_of(job.pk).reasons}


def test_a_failure_waits_until_somebody_does_something_about_it() -> None:
    assert said(refused())["attention"] == "It needs attention: nobody has run it again or dismissed it."


def test_a_job_that_was_run_again_names_the_job_that_repeats_it_and_what_became_of_that() -> None:
    job = refused()
    [first] = rerun([job.pk], by="ada")
    assert said(job)["run_again"] == f"It was run again by ada as job {first}, which waits in the queue."
    assert "attention" not in said(job)
    complete(Runner.objects.get())
    assert said(job)["run_again"].endswith("which completed.")
    [second] = rerun([job.pk], by="ada")
    assert said(job)["run_again"] == f"It was run again as job {second} (queued), job {first} (completed)."
    for _ in range(MAX_RERUNS):
        [last] = rerun([job.pk], by="ada")
    assert said(job)["run_again"].startswith(f"It was run again as job {last} (queued), ")
    assert said(job)["run_again"].endswith(", the latest first.")


def test_a_dismissed_failure_says_by_whom_and_when() -> None:
    job = refused()
    Job.objects.filter(pk=job.pk).update(needs_attention=False)
    tell(job.pk, EventType.DISMISSED, {"by": "ada"})
    assert said(job)["dismissed"] == "The failure was dismissed by ada at TIME."
    assert "attention" not in said(job)


def test_what_the_headline_has_said_is_not_said_again() -> None:
    told = account_of(draining().pk)
    [reason] = told.details
    assert reason.text == ""
    assert reason.remedy.startswith("Start it again")


def test_queries_do_not_grow_with_what_a_job_has_been_through() -> None:
    def count(job: Job) -> int:
        with CaptureQueriesContext(connection) as caught:
            situation_of(job.pk)
        return len(caught)

    short, long = refused(), None
    make_job()
    long = fail_in_retry(Runner.objects.get())
    for _ in range(10):
        make_node()
    # The clock of a database server is one more question.
    most = 9 + (connection.vendor == "postgresql")
    assert count(short) == count(long) <= most
    waiting = make_job()
    assert count(waiting) <= most


CHANGES: list[Callable[[], object]] = [
    lambda: control.pause(by="ada"),
    make_node,
    lambda: Node.objects.update(state=NodeState.STARTING, state_since=timezone.now()),
    lambda: Node.objects.update(wish=Wish.RESTART, wish_at=timezone.now()),
    lambda: Runner.objects.update(heartbeat_at=ago(60)),
    lambda: Runner.objects.update(draining=True),
    lambda: Runner.objects.update(must_quiet=True),
    lambda: Runner.objects.update(**breaker(until_s=60)),
    lambda: control.cancel(Job.objects.get().pk, by="ada"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_version_changes_with_everything_that_the_account_tells(change: Callable[[], object]) -> None:
    job = next_one()
    before = situation_version(job.pk)
    assert situation_version(job.pk) == before
    change()
    assert situation_version(job.pk) != before
