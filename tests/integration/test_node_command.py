"""`manage.py node`: as a person and as a script meet it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from pytest_django import Settings

from jobs.lifecycle import JobStatus
from jobs.models import Job
from tests.contract.simulator_process import SimulatorProcess
from tests.factories import make_node, make_runner, make_running_job
from tests.keepers import KeeperStand
from webui.keeper.catalog_reader import CatalogReader
from webui.models import Node, NodeState, Wish
from webui.nodes.catalogs import store
from webui.processes import process
from webui.work.catalog import Catalog, Entry, Thing

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tmp_path: Path, settings: Settings) -> Iterator[KeeperStand]:
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


class Shell:
    """Runs the command and keeps what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.errors = ""

    def node(self, *words: str, exits: int = 0) -> str:
        """What it printed on standard output."""
        code = 0
        try:
            call_command("node", *words, skip_checks=True)
        except SystemExit as exc:
            code = int(exc.code or 0)
        captured = self._capsys.readouterr()
        self.errors = captured.err
        assert code == exits, captured.err
        return captured.out

    def json(self, *words: str, exits: int = 0) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.node(*words, "--json", exits=exits))
        return document


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def test_added_node_is_listed(shell: Shell) -> None:
    added = shell.json("add", "gpu", "http://127.0.0.1:7860", "--auth", "anna:hidden")
    assert (added["name"], added["state"], added["managed"]) == ("gpu", "STOPPED", False)
    (listed,) = shell.json("list")["nodes"]
    assert listed == added
    assert "hidden" not in json.dumps(listed)
    text = shell.node("list")
    assert "gpu" in text
    assert "http://127.0.0.1:7860" in text


def test_list_of_nothing_says_what_to_do(shell: Shell) -> None:
    assert "node add NAME URL" in shell.node("list")
    assert shell.json("list") == {"nodes": []}


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("add", "gpu", "localhost"), "node_refused", "It looks like http://127.0.0.1:7860"),
        (("add", "gpu", "http://h:1", "--auth", "nocolon"), "node_refused", "user:password"),
        (
            ("add", "gpu", "http://h:1", "--command", "a", "--restart-command", "b"),
            "node_refused",
            "no restart command",
        ),
        (
            ("add", "gpu", "http://h:1", "--restart-command", "'b"),
            "node_refused",
            "The restart command cannot",
        ),
        (("start", "gpu"), "unknown_node", "There is no node 'gpu'"),
        (("logs", "gpu"), "unknown_node", "There is no node 'gpu'"),
    ],
)
def test_refusal_is_one_sentence_and_exit_code_1(
    shell: Shell, words: tuple[str, ...], code: str, sentence: str
) -> None:
    (error,) = shell.json(*words, exits=1)["errors"]
    assert error["code"] == code
    assert sentence in error["message"]
    shell.node(*words, exits=1)
    assert sentence in shell.errors
    assert not Node.objects.exists()


def test_help_shows_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("node", "--help")
    text = capsys.readouterr().out
    for verb in ("list", "add", "change", "remove", "start", "stop", "restart", "logs"):
        assert f"\n    {verb} " in text


def test_start_restart_and_stop_work_without_a_running_keeper(stand: KeeperStand, shell: Shell) -> None:
    node = stand.simulator()
    started = shell.json("start", node.name)
    stand.seen(Node.objects.get(pk=node.pk))
    assert (started["state"], started["generation"]) == ("READY", 1)
    restarted = shell.json("restart", node.name)
    node.refresh_from_db()
    identity = process.identity_of(stand.seen(node))
    assert (restarted["state"], restarted["generation"]) == ("READY", 2)
    assert "is stopped" in shell.node("stop", node.name)
    assert "STOPPED" in shell.errors, "its progress goes to standard error"
    assert process.family(identity) == []
    assert shell.json("restart", node.name)["generation"] == 3


def test_started_webui_outlives_the_command_and_is_adopted(stand: KeeperStand, shell: Shell) -> None:
    node = stand.simulator()
    pid = shell.json("start", node.name)["pid"]
    stand.start_until_ready(node)
    assert (node.pid, node.generation) == (pid, 1)


def test_command_asks_the_running_keeper(stand: KeeperStand, shell: Shell) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    assert shell.json("restart", node.name)["generation"] == 2
    assert shell.json("stop", node.name)["state"] == "STOPPED"
    stand.stays(node, NodeState.STOPPED)
    assert shell.json("start", node.name)["generation"] == 3
    # The keeper did it, not the command.
    stand.wait_readies(*[node.pk] * 3)


@pytest.fixture
def job(stand: KeeperStand) -> Job:
    """A running job on a READY node, as the keeper's owner sees it."""
    stand.is_busy = Job.objects.filter(status=JobStatus.RUNNING).exists
    node = stand.simulator()
    stand.start_until_ready(node)
    job, _ = make_running_job(make_runner(Node.objects.get(pk=node.pk)))
    return job


def give_back(job: Job) -> None:
    """The job runs no longer."""
    Job.objects.filter(pk=job.pk).update(
        status=JobStatus.QUEUED, node=None, owner="", run_token=None, lease_until=None
    )
    connections.close_all()


class LeapingClock:
    """The `time` of whoever waits: while it leaps an hour passes in every short sleep."""

    def __init__(self) -> None:
        self.leaps = True
        self.leapt_s = 0.0
        self._sleeps = 0

    def monotonic(self) -> float:
        return time.monotonic() + self.leapt_s

    def sleep(self, pause_s: float) -> None:
        time.sleep(pause_s)
        self.leapt_s += 3600.0 * self.leaps
        self._sleeps += 1

    def wait_sleeps(self, count: int) -> None:
        """Until so many more sleeps have ended."""
        enough = self._sleeps + count
        while self._sleeps < enough:
            time.sleep(0.01)


def test_restart_waits_for_the_running_job_and_says_so(
    job: Job, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Far less than what leaps by, and far more than a busy machine's keeper needs.
    monkeypatch.setattr("jobs.management.node_act.HEEDED_WITHIN_S", 600.0)
    node = job.node
    assert node is not None
    clock = LeapingClock()
    monkeypatch.setattr("jobs.management.node_act.time", clock)

    def end_the_job() -> None:
        clock.wait_sleeps(3)
        clock.leaps = False
        clock.wait_sleeps(2)  # the next look sees the job still, and no hour passes after it
        give_back(job)

    end_of_job = threading.Thread(target=end_the_job, daemon=True)
    end_of_job.start()
    shell.node("restart", node.name, "--timeout", "120")
    end_of_job.join()
    assert clock.leapt_s > 3600, "the time for the restart begins when the job has ended"
    assert f"Waiting for job {job.pk} to end (--now restarts at once)." in shell.errors
    node.refresh_from_db()
    assert (node.generation, node.state) == (2, NodeState.READY)


def test_restart_now_does_not_wait_for_the_running_job(job: Job, shell: Shell) -> None:
    node = job.node
    assert node is not None
    assert shell.json("restart", node.name, "--now")["generation"] == 2
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING


def test_added_attached_server_says_how_it_is_restarted(shell: Shell) -> None:
    added = shell.json("add", "gpu", "http://h:1", "--restart-command", "docker restart gpu")
    assert added["restart_means"] == "by the command docker restart gpu"
    assert "docker restart gpu" in shell.node("list")
    assert Node.objects.get().restart_command == "docker restart gpu"


def test_attached_server_is_changed_part_by_part(shell: Shell) -> None:
    shell.json("add", "gpu", "http://h:1", "--auth", "anna:hidden")
    (error,) = shell.json("change", "gpu", "--url", "http://other:1", exits=1)["errors"]
    assert (error["code"], "were given for http://h:1" in error["message"]) == ("node_refused", True)
    changed = shell.json("change", "gpu", "--url", "http://other:1", "--auth", "")
    assert changed["base_url"] == "http://other:1"
    shell.node("change", "gpu", "--restart-command", "docker restart gpu")
    node = Node.objects.get()
    assert (node.base_url, node.api_auth, node.restart_command) == (
        "http://other:1",
        "",
        "docker restart gpu",
    )


def test_a_node_says_what_it_takes_and_which_card_it_uses(shell: Shell) -> None:
    added = shell.json(
        "add", "film", "http://h:1", "--command", "./film.sh", "--kind", "i2v", "--card", "gpu0"
    )
    assert (added["kind"], added["card"]) == ("i2v", "gpu0")
    changed = shell.json("change", "film", "--kind", "edit")
    assert (changed["kind"], changed["card"], changed["managed"]) == ("edit", "gpu0", True)
    assert "It takes edits, on a card of its own." in shell.node("change", "film", "--card", "")
    (error,) = shell.json("change", "film", "--kind", "image", "--url", "http://other:1", exits=1)["errors"]
    assert "by its command" in error["message"]
    assert Node.objects.get().kind == "edit"


def test_node_without_a_history_is_removed_and_one_with_it_stays(shell: Shell) -> None:
    shell.json("add", "gpu", "http://h:1")
    assert shell.node("remove", "gpu") == "Node gpu is removed.\n"
    assert not Node.objects.exists()
    job, _ = make_running_job(make_runner())
    assert job.node is not None
    (error,) = shell.json("remove", job.node.name, exits=1)["errors"]
    assert error["code"] == "node_stays"
    assert "Jobs have run on" in error["message"]
    assert Node.objects.exists()


def test_failed_start_is_refused_with_the_reason(stand: KeeperStand, shell: Shell) -> None:
    node = stand.node("/nowhere/webui.sh")
    document = shell.json("start", node.name, exits=1)
    assert document["state"] == "FAILED"
    assert "No such file or directory: /nowhere/webui.sh" in document["errors"][0]["message"]


def test_unreachable_server_is_refused_when_time_is_up(stand: KeeperStand, shell: Shell) -> None:
    node = stand.node()
    document = shell.json("start", node.name, "--timeout", "1", exits=1)
    assert document["errors"][0]["code"] == "timeout"
    assert "Nothing listens at" in document["errors"][0]["message"]


def test_restart_of_a_node_that_is_being_stopped_is_refused(stand: KeeperStand, shell: Shell) -> None:
    node = stand.simulator()
    Node.objects.filter(pk=node.pk).update(state=NodeState.READY, wish=Wish.STOP)
    (error,) = shell.json("restart", node.name, exits=1)["errors"]
    assert f"`node start {node.name}`" in error["message"]


def test_logs_show_the_last_lines_of_the_newest_boot(stand: KeeperStand, shell: Shell) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    text = shell.node("logs", node.name)
    assert "Startup time" in text
    assert os.path.join("boot-1", "stdout.log") in text
    document = shell.json("logs", node.name, "--lines", "1")
    assert document["stdout"].count("\n") == 0
    assert document["stderr"] == ""


def test_logs_of_a_server_of_somebody_else_say_where_to_look(shell: Shell) -> None:
    shell.json("add", "gpu", "http://127.0.0.1:7860")
    (error,) = shell.json("logs", "gpu", exits=1)["errors"]
    assert error["code"] == "no_logs"


def test_a_command_line_that_a_webui_tells_in_its_log_is_shown_without_its_passwords(
    stand: KeeperStand, shell: Shell, tmp_path: Path
) -> None:
    node = stand.simulator()
    (tmp_path / "stdout.log").write_text(
        "Launching Web UI with arguments: --api --api-auth ann:hush7 --port 1\n"
    )
    (tmp_path / "stderr.log").write_text("")
    Node.objects.filter(pk=node.pk).update(log_directory=str(tmp_path), api_auth="ann:hush7")
    text = shell.node("logs", node.name)
    assert "hush7" not in text
    assert "--api --api-auth [removed] --port 1" in text


# --- what its server has -------------------------------------------------------------------------------


def test_catalog_of_a_node_that_was_never_read_says_how_it_is_read(shell: Shell) -> None:
    make_node("gpu")
    assert "Nothing is known yet of what gpu has" in shell.node("catalog", "gpu")
    assert shell.json("catalog", "gpu")["lists"] == {}


def test_catalog_tells_names_kind_and_what_cannot_be_used(shell: Shell) -> None:
    node = make_node("gpu")
    loras = tuple(Entry(f"style{number}", ("style",), ("ab" * 32,)) for number in range(9))
    upscaler = Entry("R-ESRGAN 4x+", usable=False, note="no weights")
    store(
        node,
        Catalog(dialect="sdnext", lists={Thing.LORA: loras, Thing.UPSCALER: (upscaler,)}, notes=("Cut.",)),
    )
    text = shell.node("catalog", "gpu")
    for words in (
        "gpu is SD.Next (untested on a real server)",
        "9 LoRAs",
        "style5, and 3 more",
        "Cut.",
        "R-ESRGAN 4x+",
    ):
        assert words in text
    told = shell.json("catalog", "gpu")
    assert told["dialect"] == "sdnext"
    assert len(told["lists"]["LoRA"]) == 9
    assert told["lists"]["upscaler"] == [
        {"name": "R-ESRGAN 4x+", "aliases": [], "hashes": [], "usable": False, "note": "no weights"}
    ]


def test_catalog_that_nobody_reads_again_tells_what_was_known(shell: Shell) -> None:
    node = make_node("gpu")
    store(node, Catalog(dialect="a1111", lists={Thing.LORA: (Entry("style"),)}))
    text = shell.node("catalog", "gpu", "--refresh", "--timeout", "1")
    assert "Not read again within 1 s" in text
    assert "style" in text


def test_catalog_waits_for_the_reading_that_it_asks_for(shell: Shell, tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--lora", "style") as simulator:
        node = make_node("gpu", base_url=simulator.url)
        reader = CatalogReader(node.pk)
        reader.start()
        try:
            told = shell.json("catalog", "gpu", "--refresh")
        finally:
            reader.stop(deadline_s=60)
    assert [one["name"] for one in told["lists"]["LoRA"]] == ["style"]
    assert told["wanted_because"] == ""
