"""What an account of a job is made of, and how it writes times and counts. Telling it belongs to `explain`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from jobs.lifecycle import TERMINAL
from jobs.queue.hold_words import unstopped
from webui.words import count as count


class Verb(StrEnum):
    """What somebody can do about a job now; the first two are about the job, the others about what it waits for."""

    CANCEL = "cancel"
    RERUN = "rerun"
    RESUME_QUEUE = "resume-queue"
    START_NODE = "start-node"
    TRY_NODE = "try-node"
    RUN_ANYWAY = "run-anyway"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that holds the job back, or that it met: a sentence, and what to do about it (may be empty)."""

    code: str
    text: str
    remedy: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """`target_id` is the job or the node that the verb is about, 0 for the queue; `command` does the same."""

    verb: Verb
    label: str
    target_id: int
    command: str

    @property
    def concerns_job(self) -> bool:
        return self.verb in (Verb.CANCEL, Verb.RERUN)


@dataclass(frozen=True, slots=True)
class Account:
    """What happened to a job, or why it does not run yet: one headline, then the reasons behind it."""

    job_id: int
    status: str
    headline: str
    reasons: tuple[Reason, ...]
    actions: tuple[Action, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def can_change(self) -> bool:
        return self.status not in TERMINAL

    @property
    def details(self) -> tuple[Reason, ...]:
        """The reasons as far as the headline has not said them: a text that it holds is left out."""
        said = self.headline.lower()
        new = (
            replace(reason, text="") if unstopped(reason.text).lower() in said else reason
            for reason in self.reasons
        )
        return tuple(reason for reason in new if reason.text or reason.remedy)

    @property
    def remedies(self) -> tuple[Action, ...]:
        """Actions about what the job waits for, not about the job itself."""
        return tuple(action for action in self.actions if not action.concerns_job)
