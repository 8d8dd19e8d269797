"""`up`, `serve` and `demo` as a person starts them: real processes on free ports, stopped as a person stops them."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.databases import Database, Template
from tests.e2e.stack import Stack, listens, running_stack
from tests.e2e.visitor import Visitor
from tests.free_ports import free_port
from tests.promises import PATIENCE_S

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture
def bare(tmp_path: Path, database_template: Template) -> Iterator[Stack]:
    """An installation on a new machine: an empty folder and a database without tables."""
    folder = tmp_path / "data"
    folder.mkdir()
    with database_template.empty(folder) as database:
        yield from running_stack(folder, database, {})


def start_up(stack: Stack, *words: str, since: int = 0) -> psutil.Process:
    """`up`, complete by what its log says after its first `since` characters."""
    process = stack.spawn("up", ["up", "--port", str(stack.web_port), *words])
    stack.wait_until(
        lambda: (
            process.poll() is not None or (" is READY" in stack.log("up")[since:] and listens(stack.web_port))
        ),
        "`up` is complete",
    )
    assert process.poll() is None, stack.log("up")
    return psutil.Process(process.pid)


def children_with(up: psutil.Process, word: str) -> list[psutil.Process]:
    """Its living children with this word in their command."""
    found = []
    for child in up.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and word in child.cmdline():
                found.append(child)
    return found


def web_servers(up: psutil.Process) -> list[psutil.Process]:
    return children_with(up, "serve")


def stop_up(stack: Stack, number: signal.Signals) -> int:
    process = stack.processes["up"]
    process.send_signal(number)
    return process.wait(PATIENCE_S)


def test_up_makes_a_running_system_out_of_an_empty_folder_and_leaves_nothing_behind(bare: Stack) -> None:
    start_up(bare)
    said = bare.log("up")
    password = re.search(r"password (\S+)", said)
    assert password, said
    assert f"http://127.0.0.1:{bare.web_port}/" in said
    assert "SIMULATED" in said
    assert "The database is new" in said
    assert "Upgrading the database" not in said
    assert not list(bare.folder.glob("stablenew-*.sqlite3"))
    assert Visitor(bare.web_url, password[1]).welcome.url.startswith(bare.web_url)
    submitted = bare.manage("submit_pack", bare.pack_file("one", "a castle\nneg: fog"), "--wait")
    assert submitted["statuses"] == {"COMPLETED": 1}
    assert stop_up(bare, signal.SIGINT) == 0
    assert "Everything is stopped." in bare.log("up")
    bare.wait_until(lambda: not bare.living(), "everything has stopped")

    # A second start shows no password and keeps the first admin.
    first = len(bare.log("up"))
    start_up(bare, since=first)
    assert "password" not in bare.log("up")[first:]
    assert bare.sql("SELECT username FROM auth_user") == [("admin",)]
    assert Visitor(bare.web_url, password[1]).welcome.url.startswith(bare.web_url)
    assert stop_up(bare, signal.SIGTERM) == 0


def test_up_tells_each_step_of_an_upgrade_and_keeps_what_was_before(stack: Stack) -> None:
    """Of an embedded database; an installation of an older version is one that was migrated back."""
    stack.import_text("castles", "a castle at dusk")
    assert stack.run("migrate", "jobs", "0002").returncode == 0
    assert not stack.sql("SELECT 1 FROM django_migrations WHERE app = 'jobs' AND name LIKE '0003%'")
    # It was copied before that, too.
    for copy in stack.folder.glob("stablenew-*.sqlite3"):
        copy.unlink()
    start_up(stack)
    said = stack.log("up")
    steps = re.findall(r"^Upgrading the database: (\S+) \((\d+) of (\d+)\)$", said, re.M)
    assert len(steps) > 1
    assert [(int(number), int(total)) for _, number, total in steps] == [
        (number, len(steps)) for number in range(1, len(steps) + 1)
    ]
    assert "jobs.0003_lists_bulk_and_attention" in [name for name, _, _ in steps]
    copies = list(stack.folder.glob("stablenew-*.sqlite3"))
    if stack.database.vendor == "sqlite":
        [copy] = copies
        assert said.index(str(copy)) < said.index("Upgrading the database")
        before = Database(f"sqlite:///{copy}")
        assert before.rows("SELECT name FROM jobs_promptpack") == [("castles",)]
        assert not before.rows("SELECT 1 FROM django_migrations WHERE app = 'jobs' AND name LIKE '0003%'")
    else:
        assert copies == []
    assert stack.sql("SELECT name FROM jobs_promptpack") == [("castles",)]
    assert stop_up(stack, signal.SIGINT) == 0
    since = len(stack.log("up"))
    start_up(stack, since=since)
    assert "database" not in stack.log("up")[since:]
    assert list(stack.folder.glob("stablenew-*.sqlite3")) == copies


def test_up_runs_once_per_folder_starts_again_what_dies_and_serves_nodes_that_come_and_go(
    bare: Stack,
) -> None:
    up = start_up(bare)
    bare.add_simulator(name="second")
    second = bare.run("up", "--port", free_port())
    assert second.returncode == 1
    assert f"already running on {bare.folder} (process {up.pid})" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1

    [web] = web_servers(up)
    web.kill()
    bare.wait_until(lambda: [p for p in web_servers(up) if p.pid != web.pid], "another web server runs")
    bare.wait_until(lambda: listens(bare.web_port), "it listens")
    assert "web server ended (killed by SIGKILL); it starts again in 1 s" in bare.log("up")
    bare.wait_ready("second")

    bare.manage("node", "stop", "second")
    bare.manage("node", "remove", "second")
    bare.wait_until(lambda: not children_with(up, "second"), "its worker has left")
    sentence = "Its node was removed: the runner of node second ends."
    bare.wait_until(lambda: sentence in bare.log("up"), "it is told")
    assert "runner of node second ended" not in bare.log("up"), "it is no failure and not started again"


def test_a_taken_port_is_refused_in_one_sentence_that_names_another(bare: Stack) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for command in ("up", "serve"):
            done = bare.run(command, "--port", port)
            assert done.returncode == 1
            assert done.stderr.strip().splitlines() == [
                f"CommandError: Port {port} on 127.0.0.1 is taken by another program. "
                f"Stop that program, or choose another port: --port {port + 1}."
            ]


@pytest.mark.parametrize("command", ["up", "serve", "queue"])
def test_a_data_folder_that_cannot_be_written_is_refused_in_one_sentence(bare: Stack, command: str) -> None:
    bare.env["STABLENEW_DATA_DIR"] = "/proc/stablenew"
    done = bare.run(*([command, "status"] if command == "queue" else [command, "--port", free_port()]))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "data folder" in done.stderr or "secret key" in done.stderr.lower()
    assert "STABLENEW_DATA_DIR" in done.stderr or "STABLENEW_SECRET_KEY" in done.stderr


def test_a_running_job_is_given_back_uncharged_when_up_stops(bare: Stack) -> None:
    bare.env["STABLENEW_SIMULATOR_OPTIONS"] += " --seconds-per-step 1"
    start_up(bare)
    long = bare.pack_file("long", "a castle\nneg: fog", {"preset_data": {"txt2img": {"steps": 100}}})
    [job_id] = bare.manage("submit_pack", long)["job_ids"]
    bare.wait_job(job_id, "RUNNING")
    bare.wait_until(bare.posts, "the request has arrived")
    process = bare.processes["up"]
    process.send_signal(signal.SIGINT)
    bare.wait_draining()
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0
    job = bare.job(job_id)
    assert (job["status"], job["retry_count"], job["operator_requeues"]) == ("QUEUED", 0, 1)
    bare.wait_until(lambda: not bare.living(), "everything has stopped")


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_when_up_is_killed_its_children_stop_by_themselves(bare: Stack, busy: bool) -> None:
    bare.env["STABLENEW_SIMULATOR_OPTIONS"] += " --seconds-per-step 1"
    start_up(bare)
    if busy:
        long = bare.pack_file("long", "a castle\nneg: fog", {"preset_data": {"txt2img": {"steps": 100}}})
        [job_id] = bare.manage("submit_pack", long)["job_ids"]
        bare.wait_job(job_id, "RUNNING")
        bare.wait_until(bare.posts, "the request has arrived")
    bare.processes["up"].kill()
    bare.processes["up"].wait()
    bare.wait_until(lambda: not bare.living(), "everything has stopped")
    if busy:
        job = bare.job(job_id)
        assert (job["status"], job["retry_count"], job["operator_requeues"]) == ("QUEUED", 0, 1)


def test_up_clears_the_queue_once_at_its_own_start_where_that_is_set(bare: Stack) -> None:
    bare.env["STABLENEW_SIMULATOR_OPTIONS"] += " --seconds-per-step 1"
    up = start_up(bare)
    long = bare.pack_file("long", "a castle\nneg: fog", {"preset_data": {"txt2img": {"steps": 100}}})
    [running, *waiting] = bare.manage("submit_pack", long, "--repeat", 3)["job_ids"]
    bare.wait_job(running, "RUNNING")
    bare.wait_until(bare.posts, "the request has arrived")
    # As when the machine ends them, so that nobody gives anything back and the server works on.
    [worker] = children_with(up, "run_node")
    worker.suspend()
    up.kill()
    worker.kill()
    bare.processes["up"].wait()
    bare.wait_until(lambda: not listens(bare.web_port), "the web server has left")
    assert bare.job(running)["status"] == "RUNNING"

    bare.env["STABLENEW_CLEAR_ON_START"] = "on"
    since = len(bare.log("up"))
    up = start_up(bare, since=since)
    said = bare.log("up")[since:]
    assert "The queue is clear, as STABLENEW_CLEAR_ON_START says: 3 jobs cancelled." in said
    assert "may still work on a request of an earlier run; it is ended." in said
    for job_id in (running, *waiting):
        job = bare.job(job_id)
        assert (job["status"], job["retry_count"]) == ("CANCELLED", 0)
        assert job["events"][-1]["data"]["reason"] == "cleared at the start (STABLENEW_CLEAR_ON_START)"

    # A child that is started again clears nothing.
    bare.manage("queue", "pause")
    [job_id] = bare.manage("submit_pack", bare.pack_file("short", "a tower\nneg: fog"))["job_ids"]
    [worker] = children_with(up, "run_node")
    worker.kill()
    bare.wait_until(
        lambda: [one for one in children_with(up, "run_node") if one.pid != worker.pid], "another runs"
    )
    bare.wait_until(lambda: bare.sql("SELECT state FROM webui_node") == [("READY",)], "its node is READY")
    assert bare.job(job_id)["status"] == "QUEUED"
    assert stop_up(bare, signal.SIGINT) == 0
