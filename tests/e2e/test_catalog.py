"""What a server has, from its start to the command: real processes, and what outlives them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.stack import NODE, Stack

pytestmark = pytest.mark.stack


def row(stack: Stack) -> dict[str, Any]:
    found = stack.sql("SELECT generation, dialect, read_at, problem, wanted_at FROM webui_nodecatalog")
    names = ("generation", "dialect", "read_at", "problem", "wanted_at")
    return dict(zip(names, found[0], strict=True)) if found else dict.fromkeys(names)


def loras(stack: Stack) -> list[str]:
    return [one["name"] for one in stack.look("node", "catalog", NODE)["lists"].get("LoRA", ())]


def test_lists_are_read_after_each_start_and_kept_between(stack: Stack) -> None:
    stack.add_simulator("--lora", "style", dialect="forge")
    stack.start_node()
    stack.wait_until(lambda: row(stack)["read_at"], "the lists were read")
    first = row(stack)
    assert (first["dialect"], first["problem"], loras(stack)) == ("forge", "", ["style"])

    # The next WebUI has other files; until it is ready, what the last one had is known.
    stack.stop()
    assert (row(stack), loras(stack)) == (first, ["style"])
    stack.python(
        "from django.db.models import F, Value\nfrom django.db.models.functions import Concat\n"
        "from webui.models import Node\n"
        "result = Node.objects.update(start_command=Concat(F('start_command'), Value(' --lora brush')))"
    )
    stack.start_node()
    stack.wait_until(lambda: row(stack)["generation"] > first["generation"], "they were read again")
    assert loras(stack) == ["style", "brush"]

    read = row(stack)["read_at"]
    told = stack.manage("node", "catalog", NODE, "--refresh")
    assert [one["name"] for one in told["lists"]["LoRA"]] == ["style", "brush"]
    assert row(stack)["read_at"] > read
    assert row(stack)["wanted_at"] is None
