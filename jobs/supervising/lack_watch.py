"""Look again at what a node lacks whenever it, its catalog or its trouble with a checkpoint has changed."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Max

from jobs.queue.fitness import recompute_lacks
from webui.models import Node


class LackWatch:
    """Asked at every look of the supervisor: one small query, and what nodes lack is worked out only after a change.

    The first look is one too: much may have changed while no `run_node` ran.
    """

    def __init__(self) -> None:
        self._seen: tuple[Any, ...] | None = None

    def look(self, node_id: int) -> None:
        now = (
            Node.objects.filter(pk=node_id)
            .order_by()
            .annotate(held=Count("troubles__held_at"), last_held=Max("troubles__held_at"))
            .values_list("kind", "driver", "catalog__read_at", "catalog__problem", "held", "last_held")
            .first()
        )
        if now is not None and now != self._seen:
            recompute_lacks(node_id)
        self._seen = now
