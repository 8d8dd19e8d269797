"""Whether a server takes what its node is for: a worker of films on a node of edits would refuse every job."""

from __future__ import annotations

from webui.kinds import WorkKind
from webui.models import Node
from webui.typed_command import typed
from webui.work.told import ApiAnswer, Asked

TELLING = (ApiAnswer.API, ApiAnswer.LOADING)


def suits(node: Node, asked: Asked) -> Asked:
    """The same answer, or FAILED with what to do where the server says that it takes something else."""
    if not asked.kind or asked.kind == node.kind or asked.answer not in TELLING:
        return asked
    told = dict(WorkKind.choices).get(asked.kind, asked.kind[:20]).lower()
    reason = (
        f"The worker at {node.base_url} takes {told}, and node {node.name} is for {node.get_kind_display().lower()}. "
        f"Give the node that kind with {typed(f'node change {node.name} --kind {asked.kind[:20]}')}, or correct its "
        "address."
    )
    return Asked(ApiAnswer.FAILED, reason, asked.kind)
