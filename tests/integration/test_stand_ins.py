"""Simulated workers stand in for films and edits where no real server is known, and step back for a real one."""

from __future__ import annotations

import sys

import pytest
from pytest_django import Settings

from tests.factories import make_node
from webui.models import Node, NodeState, Wish
from webui.nodes.adding import add_node, command_words, ensure_default_node, ensure_stand_ins
from webui.nodes.asking import SETTINGS
from webui.nodes.change import change_node
from webui.nodes.spec import NodeRefusedError
from webui.nodes.wishes import wish

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_is_configured(settings: Settings) -> None:
    settings.STABLENEW_WEBUI_URL = settings.STABLENEW_WEBUI_COMMAND = settings.STABLENEW_WEBUI_AUTH = ""
    settings.STABLENEW_SIMULATOR_OPTIONS = settings.STABLENEW_SIMULATOR_WORKER_OPTIONS = ""
    settings.STABLENEW_SIMULATE_WORKERS = True


def names(nodes: list[Node]) -> list[str]:
    return [node.name for node in nodes]


def wish_of(name: str) -> str:
    return Node.objects.get(name=name).wish


def test_a_new_installation_has_one_of_each_kind(settings: Settings) -> None:
    settings.STABLENEW_SIMULATOR_WORKER_OPTIONS = "--seconds-per-step 2"
    ensure_default_node()
    made = ensure_stand_ins()
    assert [(node.name, node.kind, node.driver, node.simulated) for node in made] == [
        ("simulator-films", "i2v", "diffsynth", True),
        ("simulator-edits", "edit", "diffsynth", True),
    ]
    port = made[0].base_url.rpartition(":")[2]
    options = ["--seconds-per-step", "2"]
    assert command_words(made[0]) == [
        sys.executable, "-m", "webui.simulator", "--kind", "i2v", "--port", port, *options
    ]  # fmt: skip
    assert names(ensure_stand_ins()) == names(made)
    assert Node.objects.count() == 3


def test_an_installation_with_a_webui_gets_none(settings: Settings) -> None:
    settings.STABLENEW_WEBUI_URL = "http://gpu:7860"
    ensure_default_node()
    assert ensure_stand_ins() == []
    settings.STABLENEW_WEBUI_URL = ""
    ensure_default_node()
    assert ensure_stand_ins() == [], "the WebUI is still known"
    assert set(Node.objects.values_list("name", flat=True)) == {"webui", "simulator"}


def test_they_can_be_turned_off(settings: Settings) -> None:
    settings.STABLENEW_SIMULATE_WORKERS = False
    assert ensure_stand_ins() == []
    settings.STABLENEW_SIMULATE_WORKERS = True
    assert len(ensure_stand_ins()) == 2
    settings.STABLENEW_SIMULATE_WORKERS = False
    assert ensure_stand_ins() == []
    assert wish_of("simulator-films") == wish_of("simulator-edits") == Wish.STOP


def test_a_real_worker_sends_the_one_of_its_kind_away_at_once() -> None:
    ensure_stand_ins()
    add_node("films", "http://gpu:7870", kind="i2v")
    assert (wish_of("simulator-films"), wish_of("simulator-edits")) == (Wish.STOP, "")
    assert names(ensure_stand_ins()) == ["simulator-edits"]
    change_node(Node.objects.get(name="films"), kind="edit")
    assert wish_of("simulator-edits") == Wish.STOP


def test_it_comes_back_when_the_real_one_is_gone() -> None:
    ensure_stand_ins()
    real = add_node("films", "http://gpu:7870", kind="i2v")
    real.delete()
    assert names(ensure_stand_ins()) == ["simulator-films", "simulator-edits"]
    assert wish_of("simulator-films") == Wish.RUN


def test_what_a_person_has_stopped_stays_so() -> None:
    ensure_stand_ins()
    node = Node.objects.get(name="simulator-films")
    wish(node.pk, Wish.STOP, by="anna", reason="")
    ensure_stand_ins()
    assert wish_of("simulator-films") == Wish.STOP


def test_another_webui_does_not_send_them_away() -> None:
    """They were there before it, and every page says what they are."""
    ensure_stand_ins()
    add_node("gpu", "http://gpu:7860")
    assert names(ensure_stand_ins()) == ["simulator-films", "simulator-edits"]


def test_a_node_of_that_name_is_left_alone() -> None:
    make_node("simulator-films", simulated=False, state=NodeState.READY)
    assert ensure_stand_ins() == []
    assert wish_of("simulator-films") == ""


def test_other_options_restart_a_running_one(settings: Settings) -> None:
    ensure_stand_ins()
    Node.objects.filter(name="simulator-films").update(state=NodeState.READY)
    settings.STABLENEW_SIMULATOR_WORKER_OPTIONS = "--seconds-per-step 3"
    ensure_stand_ins()
    node = Node.objects.get(name="simulator-films")
    assert (node.wish, node.start_command[-20:]) == (Wish.RESTART, "--seconds-per-step 3")
    settings.STABLENEW_SIMULATOR_WORKER_OPTIONS = "'open"
    with pytest.raises(NodeRefusedError, match="STABLENEW_SIMULATOR_WORKER_OPTIONS"):
        ensure_stand_ins()


def test_who_steps_back_is_told_from_a_person() -> None:
    ensure_stand_ins()
    add_node("films", "http://gpu:7870", kind="i2v")
    node = Node.objects.get(name="simulator-films")
    assert (node.wish_by, node.wish_reason) == (SETTINGS, "node films takes this work")
