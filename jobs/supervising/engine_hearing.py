"""Does the engine still hear? A pure judgement over what one supervisor has seen without interruption.

django-q2 goes silently deaf when an idle worker or monitor is killed: tokens are sent and nobody answers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sight:
    """What the supervisor sees at one moment. `tree` are the (pid, start ticks) of the engine's processes."""

    answer_due: bool
    tree: frozenset[tuple[int, int]]


class Hearing:
    """Remembers, on a monotonic clock, since when an answer is due, and whether the tree changed.

    `deaf_s` without an answer is deaf; `suspect_s` when a member of the tree vanished or was replaced
    since the last answer.
    """

    def __init__(self, *, deaf_s: float, suspect_s: float) -> None:
        self._deaf_s = deaf_s
        self._suspect_s = suspect_s
        self._due_since: float | None = None
        self._heard_tree: frozenset[tuple[int, int]] | None = None
        self.suspicious = False

    def look(self, sight: Sight, now: float) -> bool:
        """True when the engine is deaf. `now` is a monotonic clock's seconds."""
        if self._heard_tree is None:
            self._heard_tree = sight.tree
        if self._heard_tree - sight.tree:
            self.suspicious = True
        if not sight.answer_due:
            self._due_since = None
            return False
        if self._due_since is None:
            self._due_since = now
        patience_s = self._suspect_s if self.suspicious else self._deaf_s
        return now - self._due_since >= patience_s

    def answered(self, tree: frozenset[tuple[int, int]]) -> None:
        """A token was answered by this tree: it hears."""
        self.suspicious = False
        self._heard_tree = tree
        self._due_since = None
