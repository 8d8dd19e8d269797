"""When the lists of a server are read, what is kept of them, and what they cost a node that works."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError
from django.utils import timezone

from tests.contract.simulator_process import SimulatorProcess, wait_until
from tests.factories import make_node
from webui.errors import WebUINotSentError
from webui.keeper import catalog_reader
from webui.keeper.catalog_reader import LONGEST_PAUSE_S, CatalogReader
from webui.models import Node, NodeCatalog, NodeState
from webui.nodes import catalogs
from webui.nodes.catalogs import catalog_of, catalogs_of, from_document, store, want_catalog
from webui.work.catalog import Catalog, Entry, Thing
from webui.work.told import Progress

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class ListingServer:
    """Tells what it was given, and notes what it was asked."""

    loras: list[str] = field(default_factory=lambda: ["foo"])
    asked: list[str] = field(default_factory=list)
    idle: bool = True
    error: Exception | None = None
    waits_for: threading.Event | None = None

    def progress(self) -> Progress:
        self.asked.append("progress")
        return Progress(idle=self.idle)

    def refresh_lists(self) -> None:
        self.asked.append("refresh")

    def catalog(self) -> Catalog:
        self.asked.append("catalog")
        if self.waits_for is not None:
            self.waits_for.wait(60)
        if self.error is not None:
            raise self.error
        return Catalog(dialect="a1111", lists={Thing.LORA: tuple(map(Entry, self.loras))})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ListingServer:
    server = ListingServer()
    monkeypatch.setattr(catalog_reader, "connect", lambda node, timeouts: server)
    return server


@pytest.fixture
def node() -> Node:
    return make_node("alpha", state=NodeState.READY, generation=3)


class Watch:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def row(node: Node) -> NodeCatalog:
    return NodeCatalog.objects.get(node=node)


def loras(node: Node) -> tuple[str, ...] | None:
    catalog = catalog_of(node).catalog
    return None if catalog is None else catalog.names(Thing.LORA)


# --- when -----------------------------------------------------------------------------------------------


def test_a_ready_server_is_read_once_and_again_after_the_next_boot(server: ListingServer, node: Node) -> None:
    reader = CatalogReader(node.pk)
    reader.look()
    reader.look()
    assert server.asked == ["catalog"], "nothing is sent that changes the server, nor twice"
    assert (loras(node), row(node).generation, row(node).dialect) == (("foo",), 3, "a1111")
    server.loras = ["foo", "bar"]
    Node.objects.filter(pk=node.pk).update(generation=4)
    reader.look()
    assert (loras(node), row(node).generation) == (("foo", "bar"), 4)


def test_a_server_at_another_address_is_read_again(server: ListingServer, node: Node) -> None:
    reader = CatalogReader(node.pk)
    reader.look()
    Node.objects.filter(pk=node.pk).update(base_url="http://127.0.0.1:9999")
    reader.look()
    assert server.asked.count("catalog") == 2


def test_another_run_node_reads_what_it_takes_over(server: ListingServer, node: Node) -> None:
    CatalogReader(node.pk).look()
    CatalogReader(node.pk).look()
    assert server.asked.count("catalog") == 2


@pytest.mark.parametrize("state", [state for state in NodeState if state != NodeState.READY])
def test_a_server_that_is_not_ready_is_left_alone(
    server: ListingServer, node: Node, state: NodeState
) -> None:
    Node.objects.filter(pk=node.pk).update(state=state)
    want_catalog(node.pk, "a test")
    CatalogReader(node.pk).look()
    assert server.asked == []


def test_a_node_of_another_host_is_left_alone(server: ListingServer, node: Node) -> None:
    CatalogReader(node.pk, may_read=lambda: False).look()
    assert server.asked == []


def test_who_asks_gets_what_the_disk_holds(server: ListingServer, node: Node) -> None:
    reader = CatalogReader(node.pk)
    reader.look()
    server.asked.clear()
    want_catalog(node.pk, "anna asked")
    assert row(node).wanted_because == "anna asked"
    reader.look()
    assert server.asked == ["progress", "refresh", "catalog"]
    assert row(node).wanted_at is None


def test_who_asks_of_a_busy_node_gets_its_lists_now_and_its_disk_later(
    server: ListingServer, node: Node
) -> None:
    idle = threading.Event()
    reader = CatalogReader(node.pk, is_idle=idle.is_set)
    reader.look()
    want_catalog(node.pk, "anna asked")
    server.asked.clear()
    reader.look()
    reader.look()
    assert server.asked == ["catalog"], "a refresh would wait for the job"
    assert row(node).wanted_at is not None
    idle.set()
    reader.look()
    assert server.asked == ["catalog", "progress", "refresh", "catalog"]
    assert row(node).wanted_at is None


def test_a_server_that_works_for_somebody_else_is_not_made_to_look_at_its_disk(
    server: ListingServer, node: Node
) -> None:
    server.idle = False
    watch = Watch()
    reader = CatalogReader(node.pk, clock=watch)
    want_catalog(node.pk, "anna asked")
    for _ in range(3):
        reader.look()
    assert "refresh" not in server.asked
    assert server.asked.count("catalog") == 1
    server.idle, watch.now = True, catalog_reader.BUSY_PAUSE_S
    reader.look()
    assert row(node).wanted_at is None


def test_a_wish_that_comes_while_another_is_fulfilled_stays(
    server: ListingServer, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    want_catalog(node.pk, "first")
    later = timezone.now() + timedelta(seconds=5)

    def refresh() -> None:
        NodeCatalog.objects.filter(node=node).update(wanted_at=later, wanted_because="second")

    monkeypatch.setattr(server, "refresh_lists", refresh)
    CatalogReader(node.pk).look()
    assert (row(node).wanted_at, row(node).wanted_because) == (later, "second")


def test_many_who_ask_are_served_by_one_reading(server: ListingServer, node: Node) -> None:
    want_catalog(node.pk, "anna asked")
    want_catalog(node.pk, "a job contradicts it")
    assert row(node).wanted_because == "anna asked"


# --- what goes wrong --------------------------------------------------------------------------------------


def test_a_reading_that_fails_keeps_what_was_read_and_is_repeated_at_growing_pauses(
    server: ListingServer, node: Node
) -> None:
    watch = Watch()
    reader = CatalogReader(node.pk, clock=watch)
    reader.look()
    before = row(node).read_at
    Node.objects.filter(pk=node.pk).update(generation=4)
    server.error = WebUINotSentError("refused for anna:secret", address="http://127.0.0.1:1")
    pauses = []
    for _ in range(9):
        reader.look()
        tries, since = server.asked.count("catalog"), watch.now
        while server.asked.count("catalog") == tries:
            watch.now += 1
            reader.look()
        pauses.append(watch.now - since)
    assert pauses[:4] == [5, 10, 20, 40]
    assert max(pauses) == LONGEST_PAUSE_S
    assert (loras(node), row(node).read_at) == (("foo",), before)
    assert "refused" in row(node).problem
    server.error, watch.now = None, watch.now + LONGEST_PAUSE_S
    reader.look()
    assert (row(node).problem, row(node).generation) == ("", 4)


def test_passwords_do_not_get_into_the_problem(server: ListingServer) -> None:
    node = make_node("alpha", state=NodeState.READY, api_auth="anna:geheim99")
    server.error = WebUINotSentError("refused for anna:geheim99")
    CatalogReader(node.pk).look()
    assert "geheim99" not in row(node).problem


def test_lists_of_a_boot_that_ended_meanwhile_are_not_kept(server: ListingServer, node: Node) -> None:
    def restart() -> Catalog:
        Node.objects.filter(pk=node.pk).update(generation=4, state=NodeState.RESTARTING)
        return Catalog(dialect="a1111")

    server.catalog = restart  # type: ignore[method-assign]
    CatalogReader(node.pk).look()
    assert not NodeCatalog.objects.exists()


def test_a_node_whose_driver_is_not_here_says_so() -> None:
    node = make_node("alpha", state=NodeState.READY, driver="nobodys")
    CatalogReader(node.pk).look()
    assert "There is no driver 'nobodys'" in row(node).problem


@pytest.fixture
def running(server: ListingServer, node: Node) -> Iterator[CatalogReader]:
    reader = CatalogReader(node.pk)
    yield reader
    reader.stop(deadline_s=60)


def test_its_thread_outlives_a_database_that_is_away(
    running: CatalogReader, server: ListingServer, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = [OperationalError("locked"), OperationalError("locked")]

    def is_away(*arguments: object) -> None:
        if away:
            raise away.pop()
        store(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(catalogs, "store", is_away)
    running.start()
    running.hurry()
    wait_until(lambda: NodeCatalog.objects.filter(node=node, read_at__isnull=False).exists())
    assert away == []


def test_a_machine_without_threads_has_none_for_now(
    running: CatalogReader, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_thread)
        running.start()
    running.start()
    wait_until(lambda: NodeCatalog.objects.filter(node=node, read_at__isnull=False).exists())


def _no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_its_end_does_not_wait_for_a_server_that_is_silent(
    server: ListingServer, node: Node, running: CatalogReader
) -> None:
    server.waits_for = threading.Event()
    running.start()
    wait_until(lambda: "catalog" in server.asked)
    assert not running.stop(deadline_s=0.01)
    server.waits_for.set()
    assert running.stop(deadline_s=60)


# --- the row --------------------------------------------------------------------------------------------


def test_nothing_is_known_of_a_node_that_was_never_read(node: Node) -> None:
    assert catalog_of(node) == (None, None)
    want_catalog(node.pk, "a test")
    assert catalog_of(node) == (None, None)


@pytest.mark.parametrize("document", ["", "{}", "[]", "no JSON", '{"written_as": 99}'])
def test_a_document_that_is_not_understood_is_as_if_it_were_not_there(node: Node, document: str) -> None:
    NodeCatalog.objects.create(node=node, document=document, read_at=timezone.now())
    assert catalog_of(node).catalog is None
    assert from_document(document) is None


def test_a_document_of_another_schema_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    document = catalogs.as_document(Catalog(dialect="a1111"))
    assert from_document(document) == Catalog(dialect="a1111")
    monkeypatch.setattr(catalogs, "SCHEMA", catalogs.SCHEMA + 1)
    assert from_document(document) is None


def test_kinds_that_this_version_does_not_know_are_left_out() -> None:
    document = catalogs.as_document(Catalog(lists={Thing.LORA: (Entry("foo"),)}))
    assert from_document(document.replace('"LoRA"', '"hologram"')) == Catalog()


def test_a_document_is_read_once_per_process(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    store(node, Catalog(lists={Thing.LORA: (Entry("foo"),)}))
    first = catalog_of(node).catalog
    monkeypatch.setattr(catalogs, "from_document", lambda text: pytest.fail("it was read already"))
    assert catalog_of(node).catalog is first
    assert catalogs_of([node.pk, 10**6])[node.pk].catalog is first


def test_a_newer_document_is_seen(node: Node) -> None:
    store(node, Catalog(lists={Thing.LORA: (Entry("foo"),)}))
    assert loras(node) == ("foo",)
    store(node, Catalog(lists={Thing.LORA: (Entry("bar"),)}))
    assert loras(node) == ("bar",)


# --- a real server --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["a1111", "forge"])
def test_lists_of_a_server_that_works_are_read_beside_its_job(tmp_path: Path, dialect: str) -> None:
    words = ("--dialect", dialect, "--lora", "style", "--adetailer", "--seconds-per-step", "0.05")
    with SimulatorProcess(tmp_path, *words) as simulator:
        node = make_node("alpha", base_url=simulator.url, state=NodeState.READY)
        drawing = simulator.in_background(steps=2000)
        simulator.wait_for_step(1)
        want_catalog(node.pk, "a test")
        CatalogReader(node.pk, is_idle=lambda: True).look()
        assert not drawing.done
        assert row(node).wanted_at is not None, "its disk is looked at when it is idle"
        assert (row(node).dialect, loras(node)) == (dialect, ("style",))
        simulator.post("interrupt")
        drawing.answer()
        wait_until(lambda: simulator.get("progress")["state"]["job_count"] == 0)
        CatalogReader(node.pk).look()
        assert row(node).wanted_at is None
        catalog = catalog_of(node).catalog
        assert catalog is not None
        assert "face_yolov8n.pt" in (catalog.names(Thing.DETECTOR) or ())
        assert "adetailer" in (catalog.names(Thing.SCRIPT) or ())
