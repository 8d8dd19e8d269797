"""The seam to servers: a driver for a kind that nobody has heard of runs a pack to its end, through a crash."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from jobs.models import AttemptOutcome, Job, Runner, StageAttempt
from jobs.running.run import run_one
from tests.factories import make_node, make_pack, make_user, submit
from tests.free_ports import free_port
from tests.integration.toy.driver import DRIVER
from tests.keepers import ROOT, KeeperStand
from tests.markup import markup
from webui import driver
from webui.models import Boot, Node, NodeState
from webui.nodes.adding import add_node
from webui.nodes.change import change_node
from webui.nodes.spec import NodeRefusedError

PACK = "red\nneg: blue\n\nochre\nneg: blue\n\nplaid\nneg: blue\n\number\nneg: blue\n"


@pytest.fixture
def easels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their driver is here, beside our own."""
    monkeypatch.setattr(driver, "_drivers", dict(driver._drivers))
    driver.register(DRIVER)


@pytest.fixture
def stand(tmp_path: Path, settings: Settings, easels: None) -> Iterator[KeeperStand]:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


def easel(stand: KeeperStand, *options: str) -> tuple[Node, Path]:
    port, diary = free_port(), stand.folder / "diary.jsonl"
    words = [sys.executable, "-m", "tests.integration.toy.server", "--port", str(port), "--diary", str(diary)]
    node = stand.node(shlex.join([*words, *options]), port=port)
    Node.objects.filter(pk=node.pk).update(driver="easel")
    node.refresh_from_db()
    return node, diary


@pytest.mark.django_db(transaction=True)
def test_a_server_with_other_words_runs_a_pack_to_its_end_through_a_crash(stand: KeeperStand) -> None:
    node, diary = easel(stand, "--faint-at", "2")
    jobs = submit(make_pack(text=PACK)).job_ids
    stand.start_until_ready(node)
    runner = Runner.objects.create(node=node)
    while run_one(runner.pk):
        stand.seen(Node.objects.get(pk=node.pk))
    ended = {job.pk: job for job in Job.objects.filter(pk__in=jobs)}
    red, ochre, plaid, umber = (ended[job_id] for job_id in jobs)
    assert [job.status for job in (red, ochre, plaid, umber)] == [
        "COMPLETED",
        "COMPLETED",
        "FAILED",
        "COMPLETED",
    ]
    # The second order fainted: one restart, one retry, and the same order again.
    assert [job.retry_count for job in (red, ochre, plaid, umber)] == [0, 1, 0, 0]
    assert Node.objects.get(pk=node.pk).generation == 2
    orders = [json.loads(line) for line in diary.read_text().splitlines()]
    assert [order["colour"] for order in orders] == ["red", "ochre", "ochre", "plaid", "umber"]
    assert orders[1] == orders[2]
    assert [output.seed for output in ochre.outputs.all()] == [7]
    assert plaid.error is not None
    assert "no such paint" in plaid.error["message"]
    evidence = (
        stand.folder
        / "outputs"
        / StageAttempt.objects.get(job=ochre, outcome=AttemptOutcome.UNAVAILABLE).artifact_paths[0]
    )
    assert json.loads(evidence.read_text())["payload"]["ticket"] == orders[1]["ticket"]
    assert "ochre" not in evidence.read_text()


@pytest.mark.django_db(transaction=True)
def test_an_attached_server_is_spoken_to_as_its_node_says(stand: KeeperStand) -> None:
    managed, _ = easel(stand)
    stand.start_until_ready(managed)
    node = stand.node(port=int(managed.base_url.rpartition(":")[2]))
    stand.start(node)
    stand.wait(node, NodeState.UNREACHABLE)
    change_node(node, driver="easel")
    stand.wait(node, NodeState.READY)
    begun = Boot.objects.filter(node=node).latest("pk").begun_because
    assert begun == "Its driver is easel now."


@pytest.mark.django_db
def test_a_node_is_added_with_a_driver_that_is_here(easels: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("node", "add", "paint", "http://h:1", "--driver", "easel", "--json", skip_checks=True)
    assert json.loads(capsys.readouterr().out)["driver"] == "easel"
    call_command("node", "change", "paint", "--driver", "a1111", "--json", skip_checks=True)
    assert Node.objects.get().driver == "a1111"
    with pytest.raises(
        NodeRefusedError, match=r"no driver 'oracle'.*a1111, diffsynth, easel. Give one of them"
    ):
        add_node("seer", "http://h:2", driver="oracle")
    ours = add_node("ours", "http://h:3", start_command="./paint.sh", driver="easel")
    with pytest.raises(NodeRefusedError, match="by its command"):
        change_node(ours, driver="a1111")


@pytest.mark.django_db
def test_pages_ask_for_the_driver_where_there_is_a_choice(easels: None, client: Client) -> None:
    client.force_login(make_user("root", is_superuser=True))
    assert 'name="driver"' in markup(client.get(reverse("node-attach")))
    given = {"name": "paint", "base_url": "http://h:1", "kind": "image"}
    assert "oracle is not one of" in markup(
        client.post(reverse("node-attach"), {**given, "driver": "oracle"})
    )
    client.post(reverse("node-attach"), {**given, "driver": "easel"})
    node = Node.objects.get()
    edit = reverse("node-edit", args=[node.pk])
    assert node.driver == "easel"
    assert '<option value="easel" selected>Easels</option>' in markup(client.get(edit))
    client.post(edit, {"base_url": "http://h:2", "kind": "image", "driver": "a1111"})
    node.refresh_from_db()
    assert (node.base_url, node.driver) == ("http://h:2", "a1111")


@pytest.mark.django_db
def test_pages_ask_for_no_driver_where_there_is_one_only(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_drivers", {"a1111": driver._drivers["a1111"]})
    client.force_login(make_user("root", is_superuser=True))
    assert 'name="driver"' not in markup(client.get(reverse("node-attach")))
    client.post(reverse("node-attach"), {"name": "gpu", "base_url": "http://h:1", "kind": "image"})
    assert Node.objects.get().driver == "a1111"


@pytest.mark.django_db
def test_a_node_whose_driver_is_gone_says_so_and_asks_for_another(client: Client) -> None:
    client.force_login(make_user("root", is_superuser=True))
    node = make_node(driver="oracle")
    edit, given = reverse("node-edit", args=[node.pk]), {"base_url": node.base_url, "kind": "image"}
    gone = "There is no driver &#x27;oracle&#x27;. These are here: a1111, diffsynth. Give one of them."
    assert gone in markup(client.post(reverse("node-test"), {"node": node.pk}))
    assert 'name="driver"' in markup(client.get(edit))
    assert gone in markup(client.post(edit, given))
    client.post(edit, {**given, "driver": "a1111"})
    node.refresh_from_db()
    assert node.driver == "a1111"


@pytest.mark.django_db(transaction=True)
def test_a_connection_is_tried_with_the_driver_that_is_given(stand: KeeperStand, client: Client) -> None:
    client.force_login(make_user("root", is_superuser=True))
    node, _ = easel(stand)
    stand.start_until_ready(node)
    given = {"base_url": node.base_url, "driver": "easel"}
    assert "It works." in markup(client.post(reverse("node-test"), given))
    assert "It works." not in markup(client.post(reverse("node-test"), {**given, "driver": "a1111"}))


@pytest.mark.django_db
def test_a_node_with_an_unknown_driver_says_which_are_here() -> None:
    with pytest.raises(driver.UnknownDriverError, match=r"no driver 'oracle'.*a1111"):
        driver.driver_of("oracle")


@pytest.mark.parametrize("package", ["webui", "webui.drivers", "webui.driver", "webui.drivers.a1111.driver"])
def test_drivers_are_imported_without_django(package: str) -> None:
    program = f"""
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "django":
            raise ImportError("no Django here")
sys.meta_path.insert(0, Wall())
import {package}
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
