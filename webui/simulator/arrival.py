"""One generation request on its way: its number, its words, the faults that are due, and how it will end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from webui.simulator.fault_rules import Due, Rule
from webui.simulator.journal import Journal
from webui.simulator.lying import Lie


class ArrivalEnding(Enum):
    """How much of the answer is sent before the connection is closed."""

    WHOLE = "all"
    HALF = "half of its bytes"
    NOTHING = "nothing"


@dataclass
class Arrival:
    """What a fault may know and change; the handlers and the server look here for what it has done."""

    number: int
    path: str
    fields: dict[str, Any]
    """The body as it was sent."""
    journal: Journal
    seconds_per_step: float
    dues: tuple[Due, ...] = ()
    interrupt: Callable[[], None] = lambda: None
    """What the button in the server's own page does."""
    lies: list[Lie] = field(default_factory=list)
    """What it is drawn from instead of what was asked for."""
    document: dict[str, Any] = field(default_factory=dict)
    """The answer, once it is made."""
    earlier: dict[str, Any] = field(default_factory=dict)
    """The server's answer before this one, once this one is made; empty where there is none."""
    ending: ArrivalEnding = ArrivalEnding.WHOLE
    outcome: str = "answered"
    images: int = 0
    """How many pictures the answer holds."""
    fault: str | None = None
    """The kind of the last fault that acted."""

    @property
    def prompt(self) -> str:
        prompt = self.fields.get("prompt")
        return prompt if isinstance(prompt, str) else ""

    def strike(self, due: Due) -> Rule | None:
        """The rule, and a line in the journal, if it may still act."""
        if not self.journal.strike(due.rule.kind, due.rule.text, self.number, at_most=due.at_most):
            return None
        self.fault = due.rule.kind
        return due.rule

    def account(self, status: int | None, outcome: str) -> None:
        """Write to the journal how this request ends."""
        images = self.images if status == 200 else 0
        self.journal.answer(self.number, self.path, status, outcome, fault=self.fault, images=images)
