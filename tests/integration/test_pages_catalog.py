"""What pages show of a server's lists: counts on the node's page, all names on one of their own."""

from __future__ import annotations

import html

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.factories import make_node, make_user
from tests.markup import markup
from webui.models import Node, NodeCatalog, NodeState
from webui.nodes.catalogs import note_problem, store, want_catalog
from webui.pages.catalog_lines import MOST_NAMES
from webui.work.catalog import Catalog, Entry, Thing

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
LISTS = {
    Thing.CHECKPOINT: (Entry("dream.safetensors [aaaaaaaaaa]", ("dream",), ("aaaaaaaaaa",)),),
    Thing.REFINER: (Entry("dream.safetensors [aaaaaaaaaa]", ("dream",), ("aaaaaaaaaa",)),),
    Thing.LORA: (Entry("style", ("Painting",)), Entry("<b>odd</b>")),
    Thing.UPSCALER: (Entry("Lanczos"), Entry("R-ESRGAN 4x+", usable=False, note="its weights are not here")),
}


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(make_user("root", is_superuser=True))
    return client


@pytest.fixture
def node() -> Node:
    node = make_node("alpha")
    store(node, Catalog(dialect="forge-neo", lists=LISTS, notes=("Its list of VAEs could not be read: odd",)))
    return node


def page(client: Client, name: str, node: Node, **query: str) -> str:
    answer = client.get(reverse(name, args=[node.pk], query=query))
    assert answer.status_code == 200
    return html.unescape(markup(answer))


def test_the_page_of_a_node_counts_what_it_has(viewer: Client, node: Node) -> None:
    text = page(viewer, "node", node)
    assert "Forge Neo (untested on a real server)" in text
    assert '>2</a> <span class="soft">(1 cannot be used)</span>' in text
    assert "Its list of VAEs could not be read: odd" in text
    assert "just now" in text
    assert "Refiners" not in text, "they are the checkpoints once more"
    assert "Read the lists again" not in text, "a viewer may not"


def test_a_node_that_was_never_read_says_what_will_stand_there(viewer: Client) -> None:
    assert "Nothing is known yet." in page(viewer, "node", make_node("beta"))


def test_lists_of_an_earlier_boot_say_so(viewer: Client, node: Node) -> None:
    assert "before its last start" not in page(viewer, "node", node)
    Node.objects.filter(pk=node.pk).update(generation=7)
    assert "before its last start" in page(viewer, "node", node)


def test_a_reading_that_failed_says_why_and_shows_what_was_read_before(viewer: Client, node: Node) -> None:
    note_problem(node, "it is gone.")
    text = page(viewer, "node", node)
    assert "Its lists could not be read: it is gone. What it had before is still shown." in text
    assert "Checkpoints" in text


def test_names_are_searched_by_every_name_and_by_hash(viewer: Client, node: Node) -> None:
    def found(**query: str) -> set[str]:
        text = page(viewer, "node-catalog", node, **query)
        return {
            name
            for name in ("dream.safetensors", "style", "Lanczos", "R-ESRGAN")
            if f"<strong>{name}" in text
        }

    assert found() == {"dream.safetensors", "style", "Lanczos", "R-ESRGAN"}
    assert found(q="paint") == {"style"}
    assert found(q="AAAAAAAAAA") == {"dream.safetensors"}
    assert found(kind="upscaler") == {"Lanczos", "R-ESRGAN"}
    assert found(kind="upscaler", q="style") == set()
    assert found(kind="nonsense", q="\0style") == {"style"}


def test_a_name_that_cannot_be_used_says_why(viewer: Client, node: Node) -> None:
    text = page(viewer, "node-catalog", node)
    assert "Cannot be used" in text
    assert "its weights are not here" in text


def test_names_are_text_and_no_markup(viewer: Client, node: Node) -> None:
    answer = viewer.get(reverse("node-catalog", args=[node.pk]))
    assert b"<b>odd" not in answer.content


def test_of_many_names_the_first_are_shown(viewer: Client) -> None:
    node = make_node("many")
    store(node, Catalog(lists={Thing.LORA: tuple(Entry(f"lora{number:04}") for number in range(2000))}))
    text = page(viewer, "node-catalog", node)
    assert f"The first {MOST_NAMES} of 2000. Search to see fewer." in text
    assert "lora1999" not in text
    assert "<strong>lora1999" in page(viewer, "node-catalog", node, q="1999")


def test_who_may_change_the_node_asks_for_another_reading(root: Client, node: Node) -> None:
    address = reverse("node-catalog", args=[node.pk])
    assert "Read the lists again" in page(root, "node", node)
    answer = root.post(reverse("node-catalog-read", args=[node.pk]), {"next": address}, follow=True)
    assert answer.redirect_chain[-1][0] == address
    text = html.unescape(markup(answer))
    assert "will be read again in a moment" in text
    assert "root asked for it: the lists are read again as soon as its server is idle." in text
    assert NodeCatalog.objects.get(node=node).wanted_because == "root asked for it"


def test_of_a_server_that_is_not_ready_the_button_says_when(root: Client, node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(state=NodeState.STOPPED)
    answer = root.post(reverse("node-catalog-read", args=[node.pk]), follow=True)
    assert "will be read as soon as its WebUI is ready" in html.unescape(markup(answer))


def test_a_viewer_may_not_ask(viewer: Client, node: Node) -> None:
    assert viewer.post(reverse("node-catalog-read", args=[node.pk])).status_code == 403
    assert NodeCatalog.objects.get(node=node).wanted_at is None


def test_the_part_of_the_page_is_sent_only_when_it_changed(viewer: Client, node: Node) -> None:
    address = reverse("node-catalog", args=[node.pk])
    version = viewer.get(reverse("node", args=[node.pk])).context["catalog_version"]
    assert viewer.get(address, {"version": version}, headers=HTMX).status_code == 204
    want_catalog(node.pk, "a test")
    changed = viewer.get(address, {"version": version}, headers=HTMX)
    assert changed.status_code == 200
    assert markup(changed).startswith("<section")


def test_the_document_is_fetched_once_however_often_the_page_asks(viewer: Client, node: Node) -> None:
    address = reverse("node-catalog", args=[node.pk])
    viewer.get(address, headers=HTMX)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        viewer.get(address, headers=HTMX)
    assert not [query for query in queries if '"webui_nodecatalog"."document"' in query["sql"]]
