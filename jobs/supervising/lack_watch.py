"""Look again at what a node lacks whenever it, its catalog or its trouble with a checkpoint has changed."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Max

from jobs.queue.fitness import recompute_lacks
from jobs.queue.trouble import release_changed
from webui.models import Node
from webui.nodes.catalogs import NEVER_READ, catalogs_of
from webui.work.catalog import Catalog


class LackWatch:
    """Asked at every look of the supervisor: one small query, and what nodes lack is worked out only after a change.

    The first look is one too: much may have changed while no `run_node` ran.
    """

    def __init__(self) -> None:
        self._seen: tuple[Any, ...] | None = None
        self._catalog: Catalog | None = None

    def look(self, node_id: int) -> None:
        """Also lets a held checkpoint go whose file is another one by the lists that were read since the last look."""
        now = (
            Node.objects.filter(pk=node_id)
            .order_by()
            .annotate(held=Count("troubles__held_at"), last_held=Max("troubles__held_at"))
            .values_list("kind", "driver", "catalog__read_at", "catalog__problem", "held", "last_held")
            .first()
        )
        if now is not None and now != self._seen:
            self._release_changed(node_id, held=now[4])
            recompute_lacks(node_id)
        self._seen = now

    def _release_changed(self, node_id: int, *, held: int) -> None:
        before, self._catalog = self._catalog, catalogs_of([node_id]).get(node_id, NEVER_READ).catalog
        if held and before is not None and self._catalog is not None:
            release_changed(node_id, before, self._catalog)
