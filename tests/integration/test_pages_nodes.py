"""The page of all nodes, attaching one, trying its connection, changing and removing it."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from jobs.models import Runner
from jobs.queue.wakeup import kick
from tests.contract.simulated_worker import TOKEN, SimulatedWorkerProcess
from tests.contract.simulator_process import SimulatorProcess
from tests.factories import make_node, make_runner, make_running_job, make_user
from tests.free_ports import free_port
from tests.keepers import KeeperStand
from tests.markup import markup
from webui.kinds import WorkKind
from webui.models import Boot, Node, NodeState, Wish
from webui.nodes.wishes import wish
from webui.typed_command import typed

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
GIB = 1024**3


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(make_user("root", is_superuser=True))
    return client


@pytest.fixture(autouse=True)
def _no_pause_after_a_connect(settings: Any) -> None:
    settings.STABLENEW_SETTLE_S = 0.0
    settings.STABLENEW_WEBUI_URL = settings.STABLENEW_WEBUI_COMMAND = ""


def words(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return shown(answer.content)


def shown(content: bytes) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.unescape(content.decode())).split())


def attach(client: Client, **fields: str) -> Any:
    given = {
        "name": "gpu2",
        "base_url": "http://127.0.0.1:7861",
        "user": "",
        "password": "",
        "kind": "image",
        **fields,
    }
    return client.post(reverse("node-attach"), given)


def try_connection(client: Client, **fields: Any) -> str:
    answer = client.post(reverse("node-test"), fields, headers=HTMX)
    assert answer.status_code == 200
    assert b"<html" not in answer.content
    return shown(answer.content)


# --- all nodes ------------------------------------------------------------------------------------------


def test_page_tells_of_every_node_with_its_worker_breaker_and_memory(viewer: Client) -> None:
    now = timezone.now()
    alpha = make_node(
        "alpha",
        start_command="w",
        checkpoint="dream",
        generation=4,
        restarts=3,
        ram_bytes=3 * GIB,
        vram_used_bytes=6 * GIB,
        vram_total_bytes=8 * GIB,
    )
    make_runner(alpha)
    broken = {"breaker_opened_at": now, "breaker_until": now + timedelta(minutes=9), "breaker_opens": 1}
    make_runner(make_node("beta"), breaker_reason="3 crashes in a row.", crash_failures=3, **broken)
    make_node("gamma", state=NodeState.FAILED, state_reason="No such file", start_command="w")
    make_node("delta", simulated=True, start_command="w", adopted_foreign=True)
    text = words(viewer, reverse("nodes"))
    for sentence in (
        "alpha Ready Checkpoint dream Memory RAM 3 GB, VRAM 6 of 8 GB Generation 4 with 3 restarts",
        "beta Ready Breaker open Attached The breaker of beta is open until",
        "gamma Failed No runner The runner of gamma is not running.",
        "gamma has failed: No such file. We keep trying to start it.",
        "Simulated Somebody else's",
    ):
        assert sentence in text
    strip = words(viewer, reverse("node-strip"))
    assert "alpha Ready checkpoint dream generation 4 · RAM 3 GB, VRAM 6 of 8 GB" in strip
    assert "beta Ready Breaker open" in strip


def test_the_model_of_a_worker_is_no_checkpoint(viewer: Client) -> None:
    make_node("films", kind="i2v", driver="diffsynth", checkpoint="wan2.2")
    text = words(viewer, reverse("nodes"))
    assert "films Ready No runner Attached" in text
    assert "Model wan2.2" in text
    assert "Checkpoint" not in text


def test_a_ready_one_that_only_accepts_connections_is_not_shown_as_ready(viewer: Client) -> None:
    reason = "The WebUI at http://127.0.0.1:1 accepts connections, and has not answered since 12:00:00."
    node = make_node("alpha", state_reason=reason)
    for page in (reverse("nodes"), reverse("node-strip"), reverse("node", args=[node.pk])):
        text = words(viewer, page)
        assert "alpha Not answering" in text
        assert "alpha Ready" not in text


def test_memory_is_shown_of_a_ready_node_only(viewer: Client) -> None:
    make_node("alpha", state=NodeState.RESTARTING, ram_bytes=3 * GIB)
    assert "RAM" not in words(viewer, reverse("nodes"))


@pytest.mark.parametrize("name", ["nodes", "node-strip"])
def test_unchanged_poll_is_one_query_however_many_nodes_there_are(viewer: Client, name: str) -> None:
    for _ in range(5):
        make_runner()
    url = reverse(name)
    version = viewer.get(url, headers=HTMX).context["version"]
    with CaptureQueriesContext(connection) as caught:
        assert viewer.get(f"{url}?version={version}", headers=HTMX).status_code == 204
    own = [
        query["sql"]
        for query in caught
        if not re.search("django_session|auth_|clock_timestamp", query["sql"])
    ]
    assert len(own) == 1
    Runner.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    assert viewer.get(f"{url}?version={version}", headers=HTMX).status_code == 200


def test_what_moves_is_asked_for_more_often(viewer: Client) -> None:
    node = make_node()
    url = reverse("node-strip")
    assert 'hx-trigger="every 3s' in markup(viewer.get(url))
    Node.objects.filter(pk=node.pk).update(state=NodeState.RESTARTING)
    assert 'hx-trigger="every 1s' in markup(viewer.get(url))


def test_strip_has_a_button_only_where_something_is_to_be_done(root: Client) -> None:
    node = make_node(start_command="w")
    assert b"node-wish" not in root.get(reverse("node-strip")).content
    assert 'name="wish"' not in markup(root.get(reverse("node-strip")))
    Node.objects.filter(pk=node.pk).update(state=NodeState.STOPPED, wish=Wish.STOP)
    buttons = re.findall(r'name="wish" value="(\w+)"', markup(root.get(reverse("node-strip"))))
    assert buttons == ["run"]


def test_only_who_may_attach_is_told_where(viewer: Client) -> None:
    assert reverse("node-attach") not in markup(viewer.get(reverse("nodes")))
    assert "Ask an administrator" in words(viewer, reverse("nodes"))


@pytest.mark.django_db(transaction=True)
def test_ready_server_that_was_not_restarted_says_so(
    client: Client, tmp_path: Path, settings: Settings
) -> None:
    with KeeperStand(tmp_path, settings) as stand, SimulatorProcess(tmp_path) as server:
        node = stand.node(port=server.port)
        stand.start_until_ready(node)
        client.force_login(make_user("vera"))
        assert "answers." not in words(client, reverse("nodes"))
        wish(node.pk, Wish.RESTART, by="anna", reason="")
        stand.wait(node, NodeState.READY, where=lambda node: "not restarted" in node.state_reason)
        assert "It was not restarted: it offers no restart" in words(client, reverse("nodes"))


# --- attach ---------------------------------------------------------------------------------------------


def test_attached_node_is_there_without_a_start_command(root: Client) -> None:
    answer = attach(root, user="anna", password="open: sesame")
    node = Node.objects.get()
    assert answer["Location"] == reverse("node", args=[node.pk])
    assert (node.name, node.base_url, node.managed) == ("gpu2", "http://127.0.0.1:7861", False)
    assert node.auth == ("anna", "open: sesame")
    page = markup(root.get(answer["Location"]))
    assert "manage.py run_node gpu2" in page
    assert "sesame" not in page
    assert "with a user and password" in page


def test_every_wrong_field_says_what_is_wrong_and_nothing_is_attached(root: Client) -> None:
    make_node("taken")
    answer = attach(root, name="two words", base_url="ftp://gpu", password="alone")
    text = shown(answer.content)
    assert "'two words' is no name for a node" in text
    assert "It looks like http://127.0.0.1:7860" in text
    assert "a password without a user" in text
    assert markup(answer).count('aria-invalid="true"') == 3
    assert b"alone" not in answer.content
    assert "There is a node taken already" in shown(attach(root, name="taken").content)
    assert "holds credentials" in shown(attach(root, base_url="http://a:b@gpu:1").content)
    assert Node.objects.count() == 1


@pytest.mark.parametrize("field", ["start_command", "restart_command", "working_directory"])
def test_no_command_can_be_set_from_a_page(root: Client, field: str) -> None:
    attach(root, **{field: "touch /tmp/x"})
    node = Node.objects.get()
    given = {"base_url": node.base_url, "kind": node.kind, field: "touch /tmp/x"}
    root.post(reverse("node-edit", args=[node.pk]), given)
    assert getattr(Node.objects.get(), field) == ""


# --- test the connection --------------------------------------------------------------------------------


def test_connection_is_tried_before_anything_is_saved(root: Client, tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--api-auth", "anna:right") as server:
        right = {"base_url": server.url, "user": "anna", "password": "right"}
        assert try_connection(root, **right).startswith("It works.")
        assert "It refuses this user and password." in try_connection(root, **{**right, "password": "x"})
        assert "It wants a user and password." in try_connection(root, base_url=server.url)
    assert "Nothing listens there." in try_connection(root, base_url=f"http://127.0.0.1:{free_port()}")
    assert not Node.objects.exists()


@pytest.mark.parametrize("address", ["", "file:///etc/passwd", "gopher://h:70", "http://a:b@h:1"])
def test_only_http_addresses_are_tried(root: Client, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.pages.configuration.check_connection", None)
    assert "Nothing was tested." in try_connection(root, base_url=address)


def test_node_is_tried_with_its_own_credentials_at_its_own_address_alone(
    root: Client, tmp_path: Path
) -> None:
    with (
        SimulatorProcess(tmp_path, "--api-auth", "anna:right") as server,
        SimulatorProcess(tmp_path, "--api-auth", "anna:right") as elsewhere,
    ):
        node = make_node("far", base_url=server.url, api_auth="anna:right")
        assert try_connection(root, node=node.pk).startswith("It works.")
        assert try_connection(root, node=node.pk, base_url=server.url).startswith("It works.")
        assert "wants a user" in try_connection(root, node=node.pk, base_url=server.url, forget="on")
        assert "wants a user" in try_connection(root, node=node.pk, base_url=elsewhere.url)


def test_server_that_a_keeper_is_waiting_for_is_not_spoken_to(root: Client, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with SimulatorProcess(tmp_path, "--journal", str(journal)) as server:
        node = make_node("far", base_url=server.url, state=NodeState.STARTING)
        for fields in ({"node": node.pk}, {"base_url": server.url}):
            assert "far is just starting there" in try_connection(root, **fields)
    assert '"path"' not in journal.read_text()


def test_an_address_that_another_node_uses_is_told(root: Client) -> None:
    port = free_port()
    make_node("far", base_url=f"http://127.0.0.1:{port}")
    assert "far uses this address already." in try_connection(root, base_url=f"http://127.0.0.1:{port}/")


def test_verdict_comes_without_a_script_too_and_never_with_the_password(root: Client) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    fields = {"name": "gpu9", "base_url": address, "user": "anna", "password": "sesame99"}
    answer = root.post(reverse("node-test"), fields)
    page = markup(answer)
    assert "<html" in page
    assert "Nothing listens there." in page
    assert 'value="gpu9"' in page
    assert "sesame99" not in page
    node = make_node("far", base_url=address)
    for more in ({}, {"base_url": address}):
        page = markup(root.post(reverse("node-test"), {"node": node.pk, **more}))
        assert "Nothing listens there." in page
        assert "far" in page


# --- change and remove ----------------------------------------------------------------------------------


def test_changed_address_needs_its_credentials_again(root: Client) -> None:
    node = make_node("far", base_url="http://gpu:7860", api_auth="anna:right")
    url = reverse("node-edit", args=[node.pk])
    assert "anna" not in markup(root.get(url))

    def change(**fields: str) -> str:
        return shown(root.post(url, {"kind": "image", **fields}, follow=True).content)

    assert "were given for http://gpu:7860" in change(base_url="http://other:7860")
    change(base_url="http://gpu:7860/sd")
    assert Node.objects.get().api_auth == "anna:right"
    change(base_url="http://other:7860", user="bob", password="new")
    assert (Node.objects.get().base_url, Node.objects.get().api_auth) == ("http://other:7860", "bob:new")
    change(base_url="http://other:7860", forget="on")
    assert Node.objects.get().api_auth == ""


def test_of_a_node_that_we_start_a_page_changes_only_what_it_takes_and_its_card(root: Client) -> None:
    node = make_node("near", start_command="./films.sh", driver="diffsynth", kind=WorkKind.I2V)
    url = reverse("node-edit", args=[node.pk])
    assert url in markup(root.get(reverse("node", args=[node.pk])))
    assert "We start the worker of node near by its command" in words(root, url)
    assert 'name="base_url"' not in markup(root.get(url))
    assert 'value="image"' not in markup(root.get(url)), "its driver cannot do that"
    root.post(url, {"base_url": "http://other:7860", "kind": "edit", "card": " gpu0 "})
    changed = Node.objects.get()
    assert (changed.kind, changed.card) == (WorkKind.EDIT, "gpu0")
    assert (changed.base_url, changed.start_command) == (node.base_url, "./films.sh")
    page = words(root, reverse("node", args=[node.pk]))
    assert "Takes edits" in page
    assert "Graphics card gpu0" in page


def test_attached_node_takes_what_the_form_says(root: Client) -> None:
    attach(root, kind="edit", card="gpu1")
    node = Node.objects.get()
    assert (node.kind, node.card, node.driver) == (WorkKind.EDIT, "gpu1", "diffsynth")
    assert "Select a valid choice" in shown(attach(root, name="other", kind="music").content)
    assert "longer than 64 characters" in shown(attach(root, name="other", card="x" * 65).content)
    assert Node.objects.count() == 1


def test_node_that_never_ran_a_job_is_removed_after_a_question(root: Client) -> None:
    runner = make_runner(make_node("far"))
    Boot.objects.create(node=runner.node, generation=1)
    kick(runner.pk)
    url = reverse("node-remove", args=[runner.node_id])
    assert "One node, far at" in words(root, url)
    assert Node.objects.exists()
    assert "far is removed." in shown(root.post(url, follow=True).content)
    assert not any(rows.objects.exists() for rows in (Node, Runner, Boot, OrmQ))


def test_node_with_a_history_stays_and_says_why(root: Client) -> None:
    runner = make_runner(make_node("far"))
    make_running_job(runner)
    url = reverse("node-remove", args=[runner.node_id])
    assert "It stays. Jobs have run on far" in words(root, url)
    assert "Jobs have run on far" in shown(root.post(url, follow=True).content)
    assert Node.objects.exists()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"start_command": "w"}, "is ours and not stopped"),
        ({"name": "simulator", "state": NodeState.STOPPED}, "The settings describe node simulator"),
    ],
)
def test_node_that_would_go_on_or_come_back_stays(
    root: Client, fields: dict[str, Any], sentence: str
) -> None:
    node = make_node(**fields)
    assert sentence in words(root, reverse("node-remove", args=[node.pk]))
    root.post(reverse("node-remove", args=[node.pk]))
    assert Node.objects.exists()


# --- history of generations -----------------------------------------------------------------------------


def test_page_of_a_node_tells_its_generations_the_newest_first(viewer: Client) -> None:
    node = make_node("alpha", start_command="w", generation=4, state=NodeState.STARTING)
    at = timezone.now() - timedelta(hours=5)
    rows: list[dict[str, Any]] = [
        {
            "ready_at": at + timedelta(seconds=14),
            "ended_at": at + timedelta(minutes=61),
            "ended_because": "Killed.",
        },
        {"ended_at": at + timedelta(seconds=3), "ended_because": "No such file."},
        {"ready_at": at + timedelta(seconds=14), "ended_because": "Nobody saw its end."},
        {"begun_because": "Restarting for anna.", "pid": 4711},
    ]
    for number, columns in enumerate(rows, start=1):
        Boot.objects.create(node=node, generation=number, begun_at=at, **columns)
    text = words(viewer, reverse("node", args=[node.pk]))
    for line in (
        "4 Starting Began",
        "process 4711 Restarting for anna. Ready after – Ended not yet Lasted –",
        "3 End not seen Began",
        "Ready after 14 s Ended not seen Nobody saw its end. Lasted –",
        "2 Never ready Began",
        "No such file. Lasted 3.0 s",
        "1 Ended Began",
        "Killed. Lasted 1 h 1 min",
    ):
        assert line in text
    assert text.index("3 End not seen") < text.index("2 Never ready")


def test_what_ended_a_generation_is_not_said_twice(viewer: Client) -> None:
    node = make_node("alpha", start_command="w", generation=3)
    now = timezone.now()
    for number, begun, ended in (
        (1, "First.", "Nobody saw its end. It died."),
        (2, "Starting again: It died.", "Out of memory."),
        (3, "Starting again: Something else.", ""),
    ):
        Boot.objects.create(
            node=node,
            generation=number,
            begun_at=now,
            begun_because=begun,
            ended_because=ended,
            ended_at=None,
        )
    text = words(viewer, reverse("node-boots", args=[node.pk]))
    assert text.count("It died.") == 1
    assert "Started again after the end of generation 1." in text
    assert "Starting again: Something else." in text


def test_long_history_has_pages(viewer: Client) -> None:
    node = make_node(generation=120)
    now = timezone.now()
    Boot.objects.bulk_create(
        Boot(node=node, generation=number, begun_at=now, ended_at=now, ended_because="x")
        for number in range(1, 121)
    )
    url = reverse("node-boots", args=[node.pk])
    seen: list[int] = []
    following = url
    while following:
        answer = viewer.get(following)
        seen += [line.generation for line in answer.context["boots"].lines]
        before = answer.context["boots"].before
        following = f"{url}?before={before}" if before else ""
    assert seen == list(range(120, 0, -1))
    assert viewer.get(f"{url}?before=x~{'9' * 40}").status_code == 200


def test_unchanged_history_is_204(viewer: Client) -> None:
    node = make_node()
    url = reverse("node-boots", args=[node.pk])
    version = viewer.get(url, headers=HTMX).context["boots"].version
    known = f"{url}?version={version}"
    assert viewer.get(known, headers=HTMX).status_code == 204
    Boot.objects.create(node=node, generation=1)
    assert "<html" not in markup(viewer.get(known, headers=HTMX))


# --- workers of films and edits ---------------------------------------------------------------------------


def test_who_attaches_is_told_what_each_kind_of_server_needs(root: Client) -> None:
    text = words(root, reverse("node-attach"))
    for told in (
        "Attach a server",
        "The server stays yours: we use and watch it, and never start or stop its process.",
        "the value of STABLENEW_WORKER_TOKEN that it was started with",
        typed("node change NAME --restart-command 'systemctl restart webui'"),
        typed("node add NAME http://127.0.0.1:7860 --command './webui.sh --api'"),
        typed("node add NAME http://127.0.0.1:7860 --config FILE"),
    ):
        assert told in text


def test_a_worker_is_attached_by_address_and_token(root: Client) -> None:
    answer = attach(root, kind="i2v", password="sesame-9")
    node = Node.objects.get()
    assert (node.driver, node.kind, node.api_auth) == ("diffsynth", "i2v", "token:sesame-9")
    page = markup(root.get(answer["Location"]))
    assert "sesame-9" not in page
    assert "with a token" in " ".join(page.split())
    edit = reverse("node-edit", args=[node.pk])
    assert "sesame-9" not in markup(root.get(edit))
    root.post(edit, {"base_url": node.base_url, "kind": "edit", "driver": "diffsynth"})
    node.refresh_from_db()
    assert (node.kind, node.api_auth) == ("edit", "token:sesame-9"), "an empty field leaves the token"


def test_a_token_with_a_user_and_a_kind_of_another_driver_are_refused(root: Client) -> None:
    assert "takes a token and no user" in shown(attach(root, kind="i2v", user="anna", password="x").content)
    assert "takes image, not i2v" in shown(attach(root, kind="i2v", driver="a1111").content)
    assert "takes i2v or edit, not image" in shown(attach(root, driver="diffsynth").content)
    assert not Node.objects.exists()


def test_a_worker_is_tried_with_its_token_before_it_is_attached(root: Client, tmp_path: Path) -> None:
    with SimulatedWorkerProcess(tmp_path, "edit") as process:
        given = {"base_url": process.worker.base_url, "kind": "edit", "user": ""}
        said = try_connection(root, **given, password=TOKEN)
        assert "It works" in said
        assert "DiffSynth worker: edits (simulated)" in said
        assert "It refuses this token" in try_connection(root, **given, password="wrong")
        assert "It wants a token" in try_connection(root, **given, password="")
