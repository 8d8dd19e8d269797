"""The course of a campaign: a long queue, one fault after the other, until all are done and every job has ended."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from tests.fault.campaign.engine import Processes
from tests.fault.campaign.evidence import Asked
from tests.fault.campaign.folder_load import FolderLoad
from tests.fault.campaign.inject import inject
from tests.fault.campaign.installation import START_S, ConsoleError, Installation
from tests.fault.campaign.plan import Card
from tests.fault.campaign.scene import Scene
from tests.fault.campaign.surroundings import Surroundings
from tests.fault.campaign.watcher import ServiceManager, Watcher
from tests.fault.campaign.workload import Workload

T = TypeVar("T")

LOOK_S = 0.2
#: A fault whose moment does not come is put back so often.
TRIES = 4
#: Share of faults that strike a node that has not yet recovered from the one before.
ON_TOP = 0.15
#: A node that has not completed a request so long after a fault stands still: something is broken.
STILL_S = 120.0
#: When no more faults come, another job ends at least this often.
END_S = 240.0


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that was committed, and what was done; `at_s` counts from the campaign's beginning."""

    card: Card
    node: str
    words: str
    at_s: float


@dataclass
class Course:
    """What happened, for the report."""

    struck: list[Struck] = field(default_factory=list)
    missed: list[Card] = field(default_factory=list)
    recovery_s: dict[str, list[float]] = field(default_factory=dict)
    noticed: list[str] = field(default_factory=list)
    ups: int = 0
    duration_s: float = 0.0


class StoodStillError(Exception):
    """The installation does not recover; there is no point in going on."""


class Drive:
    """One campaign on an installation that is prepared; `run` returns when it is stopped again."""

    def __init__(
        self,
        installation: Installation,
        cards: Sequence[Card],
        seed: int,
        around: Surroundings,
        say: Callable[[str], None] = print,
        *,
        pictures: int = 0,
    ) -> None:
        """`pictures`: of the first folder, where films or edits are the work."""
        rng = random.Random(seed)
        self._installation = installation
        self._lineup = installation.lineup
        self._cards = deque(cards)
        self._tries: Counter[int] = Counter()
        self._rng = rng
        self._say = say
        self._workload: Workload | FolderLoad = (
            Workload(installation, rng)
            if installation.lineup.makes_pictures
            else FolderLoad(installation, rng, pictures)
        )
        self._scene = Scene(installation, Processes(installation), self._workload, rng, around)
        self._unsettled: dict[str, tuple[int, float, str]] = {}
        self._watcher = Watcher(installation)
        self._manager = ServiceManager(installation, self._tell)
        self._began_s = time.monotonic()
        self.course = Course()
        self.left: list[str] = []

    @property
    def asked(self) -> Asked:
        return Asked(
            submitted=frozenset(self._workload.submitted),
            cancels=dict(self._scene.cancels),
            foreign_pids=frozenset(self._installation.foreign_pids),
            poisoned=frozenset(self._workload.poisoned),
            frozen=tuple(self._scene.frozen),
        )

    @property
    def seen_events(self) -> dict[int, str]:
        return self._watcher.seen_events

    def run(self) -> None:
        try:
            self._start()
            while self._cards:
                self._strike(self._cards.popleft())
            self._end()
        except StoodStillError as exc:
            self.course.noticed.append(str(exc))
            self._say(f"{exc}\n{self._state()}\n{self._installation.tail()}")
        finally:
            self._manager.stop()
            self._watcher.stop()
            self._watcher.read()
            self.left = self._installation.stop()
            self.course.noticed += self._watcher.noticed + self._scene.noticed
            self.course.ups = self._installation.ups
            self.course.duration_s = time.monotonic() - self._began_s

    # --- the beginning and the end ----------------------------------------------------------------------

    def _start(self) -> None:
        self._installation.prepare()
        self._installation.start_up()
        self._manager.start()
        self._await(
            lambda: (
                list(self._installation.node_states().values()) == ["READY"] * len(self._lineup.every_node)
            ),
            START_S,
            "start",
        )
        self._watcher.start()
        self._tend()

    def _end(self) -> None:
        """No more faults and no more jobs: what waits must come to its end."""
        for node in self._lineup.every_node:
            self._installation.fault_file(node).unlink(missing_ok=True)

        def left() -> int:
            [(count,)] = self._installation.rows("SELECT queued + running FROM jobs_queuecontrol")
            return int(count)

        while before := left():
            self._await(partial(_is_less, left, before), END_S, "end of the last jobs", fill=False)

    # --- one fault --------------------------------------------------------------------------------------

    def _strike(self, card: Card) -> None:
        node = self._node_for(card)
        self._scene.pause_s(0, 0.8)
        words = inject(self._scene, node, card)
        [(attempt_id,)] = self._installation.rows("SELECT coalesce(max(id), 0) FROM jobs_stageattempt")
        now_s = time.monotonic()
        self._tend()
        if words is None:
            self._tries[card.number] += 1
            if self._tries[card.number] < TRIES:
                self._cards.append(card)
            else:
                self.course.missed.append(card)
            return
        struck = Struck(card, node, words, now_s - self._began_s)
        self.course.struck.append(struck)
        for one in self._lineup.every_node if card.kind.both else (node,):
            self._unsettled[one] = (attempt_id, now_s, card.kind.name)
        left = len(self._cards)
        self._say(f"{struck.at_s:7.1f} s  {card.kind.name:<26} {words}  ({left} to come)")

    def _node_for(self, card: Card) -> str:
        """A node of chance that has recovered; now and then one that has not."""
        candidates = self._lineup.targets(card.kind)
        if self._rng.random() < ON_TOP and not card.kind.both:
            return self._rng.choice(candidates)

        def settled() -> list[str]:
            self._look_at_recovery()
            free = [node for node in candidates if node not in self._unsettled]
            return free if not card.kind.both or not self._unsettled else []

        return self._rng.choice(self._await(settled, STILL_S, f"{card.kind.name} can strike"))

    def _look_at_recovery(self) -> None:
        for node, (attempt_id, since_s, kind) in list(self._unsettled.items()):
            waited_s = time.monotonic() - since_s
            if self._has_completed(node, attempt_id):
                self.course.recovery_s.setdefault(kind, []).append(round(waited_s, 2))
                del self._unsettled[node]
            elif waited_s > STILL_S:
                raise StoodStillError(
                    f"Node {node} has completed no request for {waited_s:.0f} s after {kind}."
                )

    def _has_completed(self, node: str, after_id: int) -> bool:
        query = (
            "SELECT 1 FROM jobs_stageattempt JOIN webui_node ON webui_node.id = node_id "  # noqa: S608
            f"WHERE jobs_stageattempt.id > {after_id:d} AND outcome = 'completed' AND name = '{node}' LIMIT 1"
        )
        return self._installation.web_answers() and bool(self._installation.rows(query))

    # --- keeping it going ---------------------------------------------------------------------------------

    def _await(self, holds: Callable[[], T], timeout_s: float, what: str, *, fill: bool = True) -> T:
        """Wait, with the queue filled; raises `StoodStillError` when it does not come."""
        deadline_s = time.monotonic() + timeout_s
        while not (found := holds()):
            if time.monotonic() > deadline_s:
                raise StoodStillError(f"Not within {timeout_s:g} s: {what}.")
            self._tend(fill=fill)
            time.sleep(LOOK_S)
        return found

    def _tend(self, *, fill: bool = True) -> None:
        """Fill the queue; and what a person does who finds it paused, or a node stopped, by mistake."""
        try:
            if self._installation.rows("SELECT 1 FROM jobs_queuecontrol WHERE paused"):
                self._installation.act("resume")
            for (node,) in self._installation.rows("SELECT name FROM webui_node WHERE wish = 'stop'"):
                self._installation.act("ask", name=node, wanted="run", after_job=False)
            if fill and self._watcher.is_alive():
                self._workload.fill()
        except ConsoleError as exc:
            self._tell(f"an act was refused: {exc}")

    def _tell(self, words: str) -> None:
        self._say(f"{time.monotonic() - self._began_s:7.1f} s  {words}")

    def _state(self) -> str:
        """Where everything stands, for whoever looks into a standstill."""
        look = self._installation.rows
        nodes = look("SELECT name, state, generation, wish, wish_by, state_reason FROM webui_node")
        runners = look(
            "SELECT node_id, heartbeat_at, token_pending, draining, must_quiet, suspect_task_id, breaker_until "
            "FROM jobs_runner"
        )
        counts = look("SELECT status, count(*) FROM jobs_job GROUP BY status")
        running = look(
            "SELECT id, node_id, owner, retry_count, current_stage FROM jobs_job WHERE status = 'RUNNING'"
        )
        return f"nodes: {nodes}\nrunners: {runners}\njobs: {counts}\nrunning: {running}"


def _is_less(now: Callable[[], int], than: int) -> bool:
    return now() < than
