"""What a fault may know and touch while it strikes, and how it waits for its moment."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.fault.campaign.engine import Processes
from tests.fault.campaign.evidence import Cancel
from tests.fault.campaign.folder_load import FolderLoad
from tests.fault.campaign.installation import Installation
from tests.fault.campaign.plan import Card
from tests.fault.campaign.surroundings import Surroundings
from tests.fault.campaign.workload import Workload

#: How long a fault waits for its moment (a request under way, an idle node) before it is put back.
MOMENT_S = 15.0
#: A rule that waits for a request it fits (not extras, say) has struck by then, or is withdrawn.
STRIKE_S = 20.0
#: Of a journal's end so much is read when its newest lines are wanted.
TAIL_BYTES = 64 * 1024


@dataclass
class Scene:
    """The installation under fire.

    `cancels` are the jobs that somebody asked to cancel, with when and what the answer was; `frozen` the spans (UTC) in
    which a node stood still; `noticed` what a fault saw that must not be.
    """

    installation: Installation
    processes: Processes
    workload: Workload | FolderLoad
    rng: random.Random
    around: Surroundings
    cancels: dict[int, Cancel] = field(default_factory=dict)
    frozen: list[tuple[datetime, datetime]] = field(default_factory=list)
    noticed: list[str] = field(default_factory=list)

    def pause_s(self, low: float, high: float) -> float:
        """Sleep for a while of chance; how long it was."""
        pause_s = self.rng.uniform(low, high)
        time.sleep(pause_s)
        return pause_s

    def wait(self, holds: Callable[[], Any], timeout_s: float = MOMENT_S) -> Any:
        return self.installation.wait_until(holds, timeout_s, every_s=0.02)

    # --- the node -------------------------------------------------------------------------------------

    def running_job(self, node: str) -> int | None:
        query = (
            "SELECT jobs_job.id FROM jobs_job JOIN webui_node ON webui_node.id = node_id "  # noqa: S608
            f"WHERE status = 'RUNNING' AND name = '{node}'"
        )
        return next((int(pk) for (pk,) in self.installation.rows(query)), None)

    def owner_pid(self, node: str) -> int | None:
        """The worker of the node's running job."""
        query = (
            "SELECT owner FROM jobs_job JOIN webui_node ON webui_node.id = node_id "  # noqa: S608
            f"WHERE status = 'RUNNING' AND name = '{node}'"
        )
        return next((int(owner.split("|")[1]) for (owner,) in self.installation.rows(query)), None)

    def wait_posting(self, node: str) -> bool:
        """Wait until the node's WebUI works at a request."""
        return bool(self.wait(lambda: self._is_posting(node)))

    def _is_posting(self, node: str) -> bool:
        newest = [line for line in self.newest_lines(node) if line["event"] in ("start", "post", "answer")]
        return bool(newest) and newest[-1]["event"] == "post"

    @contextmanager
    def idle(self, node: str) -> Iterator[bool]:
        """The queue is paused and the node has no running job; False when it would not become so."""
        self.installation.act("pause")
        try:
            yield bool(self.wait(lambda: self.running_job(node) is None))
        finally:
            self.installation.act("resume")

    # --- the simulator --------------------------------------------------------------------------------

    def newest_lines(self, node: str) -> list[dict[str, Any]]:
        """The end of the node's journal."""
        path = self.installation.journal(node)
        if not path.exists():
            return []
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().rpartition(b"\n")[0].split(b"\n")
        return [json.loads(line) for line in (lines if size <= TAIL_BYTES else lines[1:]) if line]

    def arm(self, node: str, card: Card, rules: list[str]) -> list[str]:
        """Put these rules, each for one strike, into the node's fault file; returns its lines."""
        lines = [f"once:{card.number} {rule}" for rule in rules]
        path = self.installation.fault_file(node)
        draft = path.with_suffix(".new")
        draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        draft.replace(path)
        return lines

    def struck(self, node: str, card: Card) -> int:
        """How often the rules of this card have acted."""
        mark = f"once:{card.number} "
        faults = [line for line in self.newest_lines(node) if line["event"] == "fault"]
        return sum(line["rule"].startswith(mark) for line in faults)
