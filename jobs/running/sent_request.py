"""What a log tells of a request that failed: where it went and the names of its fields, and no word of it."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

from jobs.lifecycle import EventType

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SentRequest:
    """`attempt` counts from 1 within the policy of the stage."""

    job_id: int
    stage: str
    attempt: int
    node: str
    payload_keys: tuple[str, ...]

    def tell(self, event: EventType, code: str, reason: str) -> None:
        """An event of the job as a line of the log, by the event's own name; `reason` is redacted already."""
        logger.warning(
            "%s: job %s, stage %s, attempt %s, node %s, payload keys %s. %s",
            event.value,
            self.job_id,
            self.stage,
            self.attempt,
            self.node,
            ", ".join(self.payload_keys) or "none",
            reason,
            extra={"event": event.value, **asdict(self), "code": code},
        )
