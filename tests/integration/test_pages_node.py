"""The page of one node: how its WebUI is, how it is steered, what it wrote, and what of that may leave."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from tests.factories import make_node, make_runner, make_user
from tests.markup import markup
from webui.keeper.restart_means import restart_means
from webui.models import Node, NodeState, Wish
from webui.nodes.asking import RUNNER
from webui.nodes.wishes import wish

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(make_user("root", is_superuser=True))
    return client


def managed(**fields: Any) -> Node:
    return make_node("alpha", **{"start_command": "./webui.sh --api", **fields})


def page(client: Client, node: Node) -> str:
    answer = client.get(reverse("node", args=[node.pk]))
    assert answer.status_code == 200
    return html.unescape(markup(answer))


def press(client: Client, node: Node, button: str, generation: int | None = None) -> str:
    """The page that follows."""
    seen = node.generation if generation is None else generation
    fields = {"wish": button, "generation": str(seen), "next": reverse("node", args=[node.pk])}
    answer = client.post(reverse("node-wish", args=[node.pk]), fields, follow=True)
    assert answer.redirect_chain[-1][0] == fields["next"]
    return html.unescape(markup(answer))


def fresh(node: Node) -> Node:
    return Node.objects.get(pk=node.pk)


def test_page_tells_how_the_webui_is(viewer: Client) -> None:
    node = managed(
        state=NodeState.FAILED,
        state_reason="The process ended with code 1",
        generation=7,
        restarts=3,
        failed_starts=2,
        last_ready_at=timezone.now(),
        pid=4711,
        checkpoint="juggernaut",
    )
    text = page(viewer, node)
    for words in (
        "The process ended with code 1.",
        "<dt>Generation</dt><dd>7 ",
        "<dt>Restarts</dt><dd>3</dd>",
        "<dt>Failed starts</dt><dd>2 since it was last ready</dd>",
        "<dt>Last ready</dt><dd><time",
        "4711, started by us",
        "<dt>Checkpoint</dt><dd>juggernaut</dd>",
        f"<dt>Restarted</dt><dd>{restart_means(node)}</dd>",
    ):
        assert words in text


def test_stopped_node_names_no_process(viewer: Client) -> None:
    assert "<dt>Process</dt><dd>none</dd>" in page(viewer, managed(state=NodeState.STOPPED, pid=4711))


def test_page_says_how_an_attached_server_is_restarted(viewer: Client) -> None:
    by_command = make_node("far", restart_command="systemctl restart webui --token opensesame")
    assert "systemctl restart webui" in page(viewer, by_command)
    assert "opensesame" not in page(viewer, by_command)
    for other in (make_node("near"), managed(adopted_foreign=True)):
        assert f"<dt>Restarted</dt><dd>{restart_means(other)}</dd>" in page(viewer, other)


def test_moving_part_is_sent_only_when_something_changed(viewer: Client) -> None:
    node = managed()
    url = reverse("node", args=[node.pk])
    first = viewer.get(url, headers=HTMX)
    assert "<html" not in markup(first)
    known = f"{url}?version={first.context['version']}"
    assert viewer.get(known, headers=HTMX).status_code == 204
    Node.objects.filter(pk=node.pk).update(failed_starts=1)
    assert viewer.get(known, headers=HTMX).status_code == 200
    with CaptureQueriesContext(connection) as caught:
        viewer.get(known, headers=HTMX)
    assert len(caught) < 6


def test_page_pulls_worker_and_breaker_from_their_own_address(viewer: Client) -> None:
    node = managed()
    make_runner(node)
    address = reverse("runner-state", args=[node.pk])
    text = page(viewer, node)
    assert f'hx-get="{address}" hx-trigger="load"' in text
    assert f'href="{address}"' in text


def test_restart_waits_for_the_running_job_unless_now_is_asked_for(root: Client) -> None:
    node = managed()
    text = page(root, node)
    assert "goes back to the head of the queue, uncharged" in text
    said = press(root, node, "restart")
    assert "alpha was asked to restart after the running job." in said
    assert (fresh(node).wish, fresh(node).wish_after_job, fresh(node).wish_by) == (Wish.RESTART, True, "root")
    assert "root asked that it be restarted after the running job" in said
    said = press(root, node, "restart-now")
    assert (fresh(node).wish, fresh(node).wish_after_job) == (Wish.RESTART, False)
    assert "root asked that it be restarted; its keeper will do it." in said


def test_what_no_person_asked_for_says_why_and_not_who(root: Client) -> None:
    node = managed(
        wish=Wish.RESTART,
        wish_generation=1,
        wish_by=RUNNER,
        wish_reason="job 6 failed. The WebUI gave no answer.",
    )
    said = page(root, node)
    assert "Its keeper will restart it: job 6 failed. The WebUI gave no answer." in said
    assert RUNNER not in said


def test_pending_restart_can_be_taken_back(root: Client) -> None:
    node = managed()
    press(root, node, "restart")
    take_back = reverse("node-take-back", args=[node.pk])
    assert f'action="{take_back}"' in page(root, node)
    answer = root.post(take_back, {"generation": "1", "next": reverse("node", args=[node.pk])}, follow=True)
    assert "The wish is taken back; alpha stays as it is." in markup(answer)
    assert (fresh(node).wish, fresh(node).wish_by, fresh(node).wish_after_job) == ("", "", False)
    assert f'action="{take_back}"' not in page(root, node)


def test_taking_back_comes_too_late_when_the_restart_has_begun(root: Client) -> None:
    node = managed()
    press(root, node, "restart")
    Node.objects.filter(pk=node.pk).update(generation=2)
    take_back = reverse("node-take-back", args=[node.pk])
    answer = root.post(take_back, {"generation": "1"}, follow=True)
    assert "There is nothing to take back any more" in markup(answer)
    assert fresh(node).wish == Wish.RESTART


def test_a_stop_is_not_taken_back_but_undone_by_starting(root: Client) -> None:
    node = managed()
    press(root, node, "stop")
    assert fresh(node).wish == Wish.STOP
    text = page(root, node)
    assert reverse("node-take-back", args=[node.pk]) not in text
    root.post(reverse("node-take-back", args=[node.pk]), {"generation": "1"})
    assert fresh(node).wish == Wish.STOP
    press(root, node, "run")
    assert fresh(node).wish == Wish.RUN


def test_a_button_of_an_old_page_does_nothing(root: Client) -> None:
    node = managed(generation=5)
    said = press(root, node, "restart-now", generation=4)
    assert "alpha has changed since the page was drawn" in said
    assert fresh(node).wish == ""


BUTTONS = ("run", "restart", "restart-now", "stop")


@pytest.mark.parametrize(
    ("fields", "buttons"),
    [
        ({"state": NodeState.READY}, {"restart", "restart-now", "stop"}),
        ({"state": NodeState.STOPPED}, {"run"}),
        ({"state": NodeState.FAILED}, {"run", "stop"}),
        ({"state": NodeState.READY, "wish": Wish.STOP}, {"run"}),
        ({"state": NodeState.READY, "wish": Wish.RESTART}, {"stop"}),
        (
            {"state": NodeState.READY, "wish": Wish.RESTART, "wish_after_job": True},
            {"restart-now", "stop"},
        ),
        ({"state": NodeState.READY, "adopted_foreign": True}, {"stop"}),
        ({"state": NodeState.READY, "start_command": ""}, {"restart", "restart-now", "stop"}),
        ({"state": NodeState.UNREACHABLE, "start_command": ""}, {"run", "restart", "restart-now", "stop"}),
        ({"state": NodeState.STOPPED, "start_command": ""}, {"run"}),
    ],
)
def test_buttons_fit_the_state(root: Client, fields: dict[str, Any], buttons: set[str]) -> None:
    text = page(root, managed(**fields))
    assert {button for button in BUTTONS if f'name="wish" value="{button}"' in text} == buttons


def test_viewer_may_look_and_neither_steer_nor_read_the_log(viewer: Client, tmp_path: Path) -> None:
    (tmp_path / "stdout.log").write_text("the server says this")
    node = managed(log_directory=str(tmp_path))
    wish(node.pk, Wish.RESTART, by="ada", reason="", after_job=True)
    for address in (reverse("node", args=[node.pk]), reverse("node-log", args=[node.pk])):
        text = markup(viewer.get(address))
        assert 'name="wish"' not in text
        assert "take-back" not in text
        assert "the server says this" not in text
        assert "needs the permission to change nodes" in text
    for name in ("node-wish", "node-take-back"):
        assert viewer.post(reverse(name, args=[node.pk]), {"generation": "1"}).status_code == 403
    assert fresh(node).wish == Wish.RESTART


def test_log_shows_the_last_200_lines_of_both_streams_and_can_be_read_again(
    root: Client, tmp_path: Path
) -> None:
    (tmp_path / "stdout.log").write_text("".join(f"line {number}.\n" for number in range(1, 302)))
    (tmp_path / "stderr.log").write_text("Traceback <script>alert(1)</script>\n")
    node = managed(log_directory=str(tmp_path))
    raw = markup(root.get(reverse("node", args=[node.pk])))
    assert "line 301.\n" not in raw
    assert "line 102." in raw
    assert "line 301." in raw
    assert "line 101." not in raw
    assert "<script>alert" not in raw
    assert "&lt;script&gt;alert" in raw
    (tmp_path / "stdout.log").write_text("something new\n")
    again = markup(root.get(reverse("node-log", args=[node.pk]), headers=HTMX))
    assert "<html" not in again
    assert "something new" in again
    assert "<html" in markup(root.get(reverse("node-log", args=[node.pk])))


def test_log_tells_no_password_of_the_node(root: Client, tmp_path: Path) -> None:
    (tmp_path / "stdout.log").write_text("Launching with arguments --api --api-auth ada:opensesame99\n")
    (tmp_path / "stderr.log").write_text("login of ada with opensesame99 failed\n")
    node = managed(log_directory=str(tmp_path), api_auth="ada:opensesame99")
    assert "opensesame99" not in page(root, node)


def test_node_without_a_log_says_why(root: Client, settings: Settings) -> None:
    assert "This boot has written nothing yet." in page(root, managed())
    assert "its own starter sends it" in page(root, make_node("attached"))


def test_unknown_node_is_a_404(root: Client) -> None:
    for name in ("node", "node-log"):
        assert root.get(reverse(name, args=[4711])).status_code == 404
    for name in ("node-wish", "node-take-back"):
        assert root.post(reverse(name, args=[4711])).status_code == 404


def test_forms_lead_back_to_no_other_server(root: Client) -> None:
    node = managed()
    fields = {"wish": "restart", "generation": "1", "next": "https://elsewhere.example/"}
    assert root.post(reverse("node-wish", args=[node.pk]), fields)["Location"] == reverse("queue")


def test_strip_leads_to_the_page(viewer: Client) -> None:
    node = managed()
    assert f'href="{reverse("node", args=[node.pk])}"' in markup(viewer.get(reverse("node-strip")))
