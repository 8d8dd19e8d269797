"""Restarts that several want at once, and WebUIs that die, move or are replaced where nobody expects it.

However often and by whom: one restart per node and cause, one WebUI per node, and the queue in a known state.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.queueing import posted_jobs, submit
from tests.e2e.recovering import (
    RECOVERY_S,
    add_faulty,
    add_fixed,
    costs,
    kill_webui,
    node_row,
    small,
    start_by_hand,
    start_up,
    starts,
    wait_ended,
    wait_node,
    webui_pid,
    webuis,
)
from tests.e2e.stack import NODE, Stack, listens
from tests.e2e.visitor import Visitor

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

LONG = small(steps=60)
#: The first request, which is to be hit, takes half a minute: it is surely at work when a test has seen it arrive.
SLOW_FIRST = "slow=0.5@1"
PACE = 0.02
FIXED = "webui"

#: Waits for the port as a program that somebody restarts does, then answers everything with 501.
STRANGER = """
import http.server, time
while True:
    try:
        server = http.server.HTTPServer(("127.0.0.1", {port}), http.server.BaseHTTPRequestHandler)
        break
    except OSError:
        time.sleep(0.01)
server.serve_forever()
"""

#: Another process that saw generation 1 misbehave; it asks when its file appears.
CALLER = """
import os, time, pathlib, django
os.environ["DJANGO_SETTINGS_MODULE"] = "stablenew_site.settings"
django.setup()
from webui.nodes.wishes import restart_and_wait_ready
go = pathlib.Path(os.environ["STABLENEW_DATA_DIR"]) / "{go}"
print("waits", flush=True)
while not go.exists():
    time.sleep(0.005)
print("got", restart_and_wait_ready(1, generation=1, reason="it misbehaves"), flush=True)
"""


def send_long_jobs(stack: Stack, count: int, *, sent: int = 1) -> list[int]:
    """Long jobs, then short ones; returns when the `sent` long ones are at work."""
    before = len(stack.posts())
    jobs = submit(stack, "long", repeat=sent, **LONG)
    jobs += submit(stack, "short", repeat=count - sent, **small()) if count > sent else []
    stack.wait_until(lambda: len(stack.posts()) == before + sent, f"{sent} requests have arrived")
    return jobs


def assert_one_restart(stack: Stack, name: str = NODE) -> None:
    row = node_row(stack, name)
    assert (row["state"], row["generation"], row["restarts"]) == ("READY", 2, 1)


# --- asked for by several -------------------------------------------------------------------------------


def test_two_webuis_that_die_at_once_are_restarted_once_each_and_both_jobs_retried(stack: Stack) -> None:
    for name in (NODE, "second"):
        add_faulty(stack, "slow=0.5@1-2", name=name, seconds_per_step=PACE)
    start_up(stack)
    stack.wait_ready(NODE)
    stack.wait_ready("second")
    jobs = send_long_jobs(stack, 4, sent=2)
    hit = posted_jobs(stack)
    for pid in [webui_pid(stack, NODE), webui_pid(stack, "second")]:
        os.kill(pid, signal.SIGKILL)
    assert wait_ended(stack, jobs) == [("COMPLETED", int(job in hit)) for job in jobs]
    assert sorted(posted_jobs(stack)) == sorted([*jobs, *hit])
    for name in (NODE, "second"):
        assert_one_restart(stack, name)
    assert starts(stack) == 4
    for job in hit:
        attempts = stack.job(job)["stage_attempts"]
        assert len({attempt["node"] for attempt in attempts}) == 1
        assert [attempt["generation"] for attempt in attempts] == [1, 2]


def test_two_callers_and_a_recovery_that_ask_for_the_same_restart_get_one(stack: Stack) -> None:
    add_faulty(stack, SLOW_FIRST, boot_seconds=3, seconds_per_step=PACE)
    stack.start_node()
    stack.wait_ready()
    callers = ["early", "late"]
    for caller in callers:
        stack.spawn_python(caller, CALLER.format(go=f"go-{caller}"))
    stack.wait_until(lambda: all("waits" in stack.log(caller) for caller in callers), "both callers wait")
    jobs = send_long_jobs(stack, 2)
    kill_webui(stack)
    (stack.folder / "go-early").touch()
    wait_node(stack, state="STARTING", generation=2)
    (stack.folder / "go-late").touch()
    stack.wait_until(lambda: all("got" in stack.log(caller) for caller in callers), "both callers know")
    assert [stack.log(caller).splitlines()[-1] for caller in callers] == ["got 2", "got 2"]
    wait_ended(stack, jobs)
    assert [status for status, _ in costs(stack, jobs)] == ["COMPLETED"] * 2
    assert posted_jobs(stack) == [jobs[0], *jobs]
    assert_one_restart(stack)
    assert starts(stack) == 2


def test_pages_that_ask_now_cost_one_restart_and_no_second_one_during_a_recovery(stack: Stack) -> None:
    add_faulty(stack, "slow=0.5@1-2", boot_seconds=3, seconds_per_step=PACE)
    start_up(stack)
    stack.wait_ready()
    visitors = [Visitor.of(stack), Visitor.of(stack)]
    [(node_id,)] = stack.sql("SELECT id FROM webui_node")
    path = f"/nodes/{node_id}/wish/"
    jobs = send_long_jobs(stack, 2)
    assert "Restart now" in visitors[0].read(f"/nodes/{node_id}/")
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(visitor.press, path, wish="restart-now", generation=1) for visitor in visitors]
        assert any("was asked to restart now" in answer.result() for answer in asked)
    stack.wait_until(lambda: len(stack.posts()) == 2, "the job is sent again", RECOVERY_S)
    assert costs(stack, jobs[:1]) == [("RUNNING", 0)]
    assert_one_restart(stack)

    kill_webui(stack)
    wait_node(stack, state="STARTING", generation=3)
    said = visitors[0].press(path, wish="restart-now", generation=2)
    assert "has changed since the page was drawn" in said
    assert wait_ended(stack, jobs) == [("COMPLETED", 1), ("COMPLETED", 0)]
    assert posted_jobs(stack) == [jobs[0], jobs[0], *jobs]
    assert stack.job(jobs[0])["operator_requeues"] == 1
    assert node_row(stack)["generation"] == starts(stack) == 3


# --- killed where nobody expects it ------------------------------------------------------------------------


def test_a_webui_killed_again_and_again_under_short_jobs_loses_none_and_doubles_none(stack: Stack) -> None:
    add_faulty(stack, seconds_per_step=0.05)
    stack.start_node()
    stack.wait_ready()
    jobs = submit(stack, "short", repeat=30, **small(steps=2))
    for done in (5, 15, 25):
        stack.wait_until(lambda: len(set(posted_jobs(stack))) >= done, f"{done} jobs were sent", every_s=0.02)  # noqa: B023
        kill_webui(stack)
        stack.wait_until(lambda: len(set(posted_jobs(stack))) > done, "the queue moves on", RECOVERY_S)  # noqa: B023
    ended = wait_ended(stack, jobs)
    assert {status for status, _ in ended} == {"COMPLETED"}
    # Each death hits one job at most, which is sent a second time before the next one.
    hit = [job for job, (_, retry_count) in zip(jobs, ended, strict=True) if retry_count]
    assert len(hit) <= 3
    order = posted_jobs(stack)
    assert list(dict.fromkeys(order)) == jobs
    assert order == sorted(order)
    assert {job for job in jobs if order.count(job) > 1} <= set(hit)
    assert max(order.count(job) for job in jobs) <= 2
    assert starts(stack) == 4

    # Between two jobs a death costs nobody anything.
    kill_webui(stack)
    wait_node(stack, state="READY", generation=5)
    [last] = submit(stack, "last", **small())
    assert wait_ended(stack, [last]) == [("COMPLETED", 0)]
    assert starts(stack) == 5


def test_a_webui_killed_during_its_boot_and_during_its_restart_costs_one_retry_in_all(stack: Stack) -> None:
    add_faulty(stack, SLOW_FIRST, boot_seconds=2, seconds_per_step=PACE)
    stack.start_node()
    kill_boot(stack, 1)
    wait_node(stack, state="READY", generation=2)
    jobs = send_long_jobs(stack, 2)
    kill_webui(stack)
    kill_boot(stack, 3)
    assert wait_ended(stack, jobs) == [("COMPLETED", 1), ("COMPLETED", 0)]
    assert posted_jobs(stack) == [jobs[0], *jobs]
    assert node_row(stack)["generation"] == starts(stack) == 4


def kill_boot(stack: Stack, number: int) -> None:
    """Kill the `number`-th start before its port opens."""
    stack.wait_until(lambda: starts(stack) == number, f"start {number} is under way", every_s=0.02)
    assert node_row(stack)["state"] == "STARTING"
    kill_webui(stack)
    assert len(stack.journal("ready")) < number


# --- somebody else at its address ---------------------------------------------------------------------------


def test_a_webui_that_somebody_restarts_by_hand_amid_a_job_is_used(stack: Stack) -> None:
    port = add_fixed(stack, SLOW_FIRST, boot_seconds=4, seconds_per_step=PACE)
    start_up(stack)
    stack.wait_ready(FIXED)
    jobs = send_long_jobs(stack, 2)
    kill_webui(stack, FIXED)
    by_hand = start_by_hand(stack, port, seconds_per_step=PACE)
    assert wait_ended(stack, jobs) == [("COMPLETED", 1), ("COMPLETED", 0)]
    assert posted_jobs(stack) == [jobs[0], *jobs]
    row = wait_node(stack, FIXED, state="READY", adopted_foreign=True)
    assert "Somebody else's WebUI" in row["state_reason"]
    assert [process.pid for process in webuis(stack)] == [by_hand]


def test_somebody_elses_webui_on_the_port_is_used_and_replaced_by_ours_when_it_dies(stack: Stack) -> None:
    port = add_fixed(stack, seconds_per_step=PACE)
    by_hand = start_by_hand(stack, port, seconds_per_step=0.5)
    stack.start_node(FIXED)
    wait_node(stack, FIXED, state="READY", adopted_foreign=True)
    jobs = send_long_jobs(stack, 2)
    os.kill(by_hand, signal.SIGKILL)
    assert wait_ended(stack, jobs) == [("COMPLETED", 1), ("COMPLETED", 0)]
    assert posted_jobs(stack) == [jobs[0], *jobs]
    wait_node(stack, FIXED, state="READY", adopted_foreign=False)
    assert starts(stack) == 2
    assert len(webuis(stack)) == 1


def test_a_stranger_on_the_port_is_named_and_the_jobs_wait_until_it_leaves(stack: Stack) -> None:
    port = add_fixed(stack, SLOW_FIRST, boot_seconds=2, seconds_per_step=PACE)
    stack.start_node(FIXED)
    stack.wait_ready(FIXED)
    jobs = send_long_jobs(stack, 2)
    stranger = stack.spawn_python("stranger", STRANGER.format(port=port))
    kill_webui(stack, FIXED)
    told = f"Port {port} is taken by process {stranger.pid}"
    stack.wait_until(
        lambda: told in node_row(stack, FIXED)["state_reason"], "the stranger is named", RECOVERY_S
    )
    assert node_row(stack, FIXED)["state"] == "FAILED"
    assert stack.nodes()[0]["reason"].startswith(told)
    assert costs(stack, jobs) in ([("RUNNING", 1), ("QUEUED", 0)], [("QUEUED", 1), ("QUEUED", 0)])
    assert posted_jobs(stack) == jobs[:1]
    assert webuis(stack) == []
    stranger.kill()
    stranger.wait()
    stack.wait_until(lambda: not listens(port) or webuis(stack), "the port is free")
    assert wait_ended(stack, jobs) == [("COMPLETED", 1), ("COMPLETED", 0)]
    assert posted_jobs(stack) == [jobs[0], *jobs]
