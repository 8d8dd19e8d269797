"""Two WebUIs with different LoRAs: each job runs where its LoRA is, and what is nowhere is held."""

from __future__ import annotations

import pytest

from tests.e2e.queueing import submit
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

READ_LISTS = """
from django.utils import timezone
from webui.models import Node, NodeCatalog
from webui.nodes.catalogs import as_document
from webui.nodes.connecting import connect
for node in Node.objects.all():
    kept = {"document": as_document(connect(node).catalog()), "read_at": timezone.now()}
    NodeCatalog.objects.update_or_create(node=node, defaults=kept)
result = True
"""


def text_with(lora: str) -> str:
    return f"<lora:{lora}:1>\na lighthouse at dusk\nneg: blurry\n"


def test_jobs_run_where_their_lora_is_and_what_is_nowhere_is_held_until_somebody_lets_it_run(
    stack: Stack,
) -> None:
    stack.manage("queue", "pause")
    foo, bar, baz = (
        submit(stack, name, text_with(name), repeat=n) for name, n in (("foo", 3), ("bar", 3), ("baz", 1))
    )
    for name, lora in (("one", "foo"), ("two", "bar")):
        stack.add_simulator("--lora", lora, name=name, seconds_per_step=0.001)
        stack.start_node(name)
    for name in ("one", "two"):
        stack.wait_ready(name)
    stack.python(READ_LISTS)
    stack.wait_until(
        lambda: stack.sql("SELECT COUNT(*) FROM jobs_nodelack") == [(4,)], "both nodes know what they lack"
    )
    stack.manage("queue", "resume")
    ledger = stack.wait_ledger(completed=6)
    assert (ledger["queued"], ledger["failed"]) == (1, 0)
    ran = dict(stack.sql("SELECT j.id, n.name FROM jobs_job j JOIN webui_node n ON n.id = j.node_id"))
    assert ran == dict.fromkeys(foo, "one") | dict.fromkeys(bar, "two")
    assert "1 job is held: no node has LoRA baz." in [hold["text"] for hold in stack.status()["holds"]]
    # Nobody is woken for what nobody can run, and no engine is thought deaf because of it.
    pids = stack.sql("SELECT pid FROM jobs_runner ORDER BY id")
    stack.wait_until(lambda: stack.sql("SELECT COUNT(*) FROM django_q_ormq") == [(0,)], "no wake-up stands")
    assert stack.manage("queue", "anyway", *baz)["released"] == 1
    stack.wait_ledger(completed=7)
    assert stack.sql("SELECT pid FROM jobs_runner ORDER BY id") == pids
    assert "starts its engine anew" not in stack.log("node-one") + stack.log("node-two")


def test_not_even_the_first_job_of_a_new_node_is_drawn_without_what_its_server_lacks(stack: Stack) -> None:
    """The jobs wait already when the node becomes ready, and nobody has read its lists by then."""
    [held] = submit(stack, "foo", text_with("foo"))
    [drawn] = submit(stack, "bar", text_with("bar"))
    stack.add_simulator("--lora", "bar", name="one", seconds_per_step=0.001)
    stack.start_node("one")
    stack.wait_job(drawn, "COMPLETED")
    assert stack.sql("SELECT id, retry_count FROM jobs_job WHERE status = 'QUEUED'") == [(held, 0)]
    assert len(stack.posts()) == 1
    assert "1 job is held: no node has LoRA foo." in [hold["text"] for hold in stack.status()["holds"]]
