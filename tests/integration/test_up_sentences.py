"""What `up` says of a node: its state as it is, and not one that its worker is just about to change."""

from __future__ import annotations

import pytest

from stablenew_site.management.commands.up import _state_sentence
from tests.factories import make_node
from webui.models import NodeState, Wish

pytestmark = pytest.mark.django_db


def test_a_node_that_nobody_stopped_is_about_to_start() -> None:
    managed = make_node("near", state=NodeState.STOPPED, start_command="webui.sh")
    attached = make_node("far", state=NodeState.STOPPED)
    assert _state_sentence(managed) == "Node near is about to start."
    assert _state_sentence(attached) == "Node far is about to be looked for."


def test_a_node_that_somebody_stopped_is_stopped() -> None:
    node = make_node("near", state=NodeState.STOPPED, wish=Wish.STOP, state_reason="Stopped by ann.")
    assert _state_sentence(node) == "Node near is STOPPED: Stopped by ann."


def test_a_ready_node_is_told_with_its_address() -> None:
    node = make_node("near", state=NodeState.READY, state_reason="")
    assert _state_sentence(node) == f"Node near is READY at {node.base_url}"
