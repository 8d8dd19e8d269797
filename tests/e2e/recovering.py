"""What tests of recovery do to a stack and read of it: faults that change, deaths, starts, and what each job cost."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Any

import psutil

from tests.e2e import processes
from tests.e2e.queueing import submit
from tests.e2e.stack import NODE, Stack, listens
from tests.free_ports import free_port

#: Three starts may fail a second or two apart, on a machine that is busy.
RECOVERY_S = 150.0

Costs = list[tuple[str, int]]
"""Status and retry count of each job, in the order of their ids."""


def small(steps: int = 1) -> dict[str, Any]:
    """Options of `submit` for pictures that cost next to nothing."""
    return {"overrides": {"txt2img.steps": steps, "txt2img.width": 64, "txt2img.height": 64}}


def submit_prompts(stack: Stack, prompts: Sequence[str], *, steps: int = 1) -> list[int]:
    """One job for each prompt, in this order."""
    return submit(stack, "prompts", "\n\n".join(prompts), **small(steps))


# --- the WebUI and its faults ---------------------------------------------------------------------------


def set_faults(stack: Stack, *rules: str) -> None:
    """From now on these rules hold for every simulator of the stack that reads the fault file."""
    path = stack.folder / "faults"
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(f"{rule}\n" for rule in rules))
    fresh.replace(path)


def add_faulty(stack: Stack, *rules: str, name: str = NODE, **options: object) -> str:
    """A node served by a simulator that obeys `set_faults`, beginning with these rules."""
    set_faults(stack, *rules)
    options = {"seconds_per_step": 0.01, "fault_file": stack.folder / "faults", **options}
    return stack.add_simulator(name=name, **options)


def add_fixed(stack: Stack, *rules: str, **options: float) -> int:
    """The node `webui`, a person's own: its command and its address are fixed. Returns its port.

    `options` are the simulator's, like `boot_seconds=2`.
    """
    set_faults(stack, *rules)
    port = free_port()
    words = simulator_command(stack, port, "--fault-file", str(stack.folder / "faults"), **options)
    stack.env["STABLENEW_WEBUI_URL"] = f"http://127.0.0.1:{port}"
    stack.env["STABLENEW_WEBUI_COMMAND"] = shlex.join(words)
    stack.python("from webui.nodes.adding import ensure_default_node\nresult = ensure_default_node().pk")
    return port


def simulator_command(stack: Stack, port: int, *words: str, **options: float) -> list[str]:
    """Writes the stack's journal, works swiftly unless the options say otherwise."""
    command = [sys.executable, "-m", "webui.simulator", "--port", str(port), *words]
    command += ["--journal", str(stack.journal_path)]
    for option, value in {"seconds_per_step": 0.01, **options}.items():
        command += [f"--{option.replace('_', '-')}", str(value)]
    return command


def start_by_hand(stack: Stack, port: int, **options: float) -> int:
    """Somebody starts a WebUI at this address himself, a sound one; its pid."""
    process = stack.spawn_command("by-hand", simulator_command(stack, port, **options))
    stack.wait_until(lambda: listens(port), "the WebUI that was started by hand listens")
    return process.pid


def webui_pid(stack: Stack, name: str = NODE) -> int:
    """The process of the node's present boot, as its row has it."""

    def known() -> int:
        [(pid,)] = stack.sql(f"SELECT pid FROM webui_node WHERE name = '{name}'")  # noqa: S608
        return int(pid or 0)

    return int(stack.wait_until(known, f"node {name} has a process"))


def kill_webui(stack: Stack, name: str = NODE) -> int:
    """Its process dies at once, without a word."""
    pid = webui_pid(stack, name)
    processes.kill_webui(stack, pid)
    return pid


def node_row(stack: Stack, name: str = NODE) -> dict[str, Any]:
    columns = ("state", "state_reason", "generation", "restarts", "failed_starts", "adopted_foreign")
    rows = stack.sql(f"SELECT {', '.join(columns)} FROM webui_node WHERE name = '{name}'")  # noqa: S608
    return dict(zip(columns, rows[0], strict=True))


def wait_node(
    stack: Stack, name: str = NODE, timeout_s: float = RECOVERY_S, **values: object
) -> dict[str, Any]:
    """Until the node's row has these values."""

    def there() -> dict[str, Any] | None:
        row = node_row(stack, name)
        return row if all(row[column] == value for column, value in values.items()) else None

    row: dict[str, Any] = stack.wait_until(there, f"node {name} shows {values}", timeout_s)
    return row


# --- what it cost ----------------------------------------------------------------------------------------


def costs(stack: Stack, jobs: Sequence[int]) -> Costs:
    rows = stack.sql("SELECT id, status, retry_count FROM jobs_job")
    found = {job_id: (status, retry_count) for job_id, status, retry_count in rows}
    return [found[job_id] for job_id in jobs]


def wait_ended(stack: Stack, jobs: Sequence[int], timeout_s: float = RECOVERY_S) -> Costs:
    """Until every one of these jobs has ended."""

    def ended() -> bool:
        return all(status in ("COMPLETED", "FAILED", "CANCELLED") for status, _ in costs(stack, jobs))

    stack.wait_until(ended, "all jobs have ended", timeout_s)
    return costs(stack, jobs)


def starts(stack: Stack) -> int:
    """How many WebUI processes began, by the simulator's word."""
    return len(stack.journal("start"))


def crashes(job: dict[str, Any]) -> list[str]:
    """The error code of each crash that the job's events tell of."""
    events = [event for event in job["events"] if event["event_type"] == "QUEUE_JOB_WEBUI_CRASH_SUSPECTED"]
    return [event["data"]["error_code"] for event in events]


def webuis(stack: Stack) -> list[psutil.Process]:
    """The WebUI processes of this installation that live."""
    return [process for process in stack.living() if "webui.simulator" in process.cmdline()]


# --- the whole installation -------------------------------------------------------------------------------


def start_up(stack: Stack) -> None:
    """`up`: the web server and a worker for every node. Does not wait for a WebUI."""
    process = stack.spawn("up", ["up", "--port", str(stack.web_port)])
    stack.wait_until(
        lambda: process.poll() is not None or listens(stack.web_port), "the web server of `up` listens"
    )
    assert process.poll() is None, stack.log("up")
