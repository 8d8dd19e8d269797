"""Words that our own sentences are made of: in a prompt they tell nothing, and without them no sentence is left."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from diagnostics.failures.error_texts import known_causes
from jobs.lifecycle import EventType, JobStatus
from jobs.models import AttemptOutcome, StageAttempt, TruthCheck
from jobs.records.stage_config import STAGES
from webui.evidence.technical_words import TECHNICAL_WORDS
from webui.models import NodeState
from webui.words import ServerNoun

_WORD: Final = re.compile(r"[a-z]{3,}")

_OF_ACCOUNTS: Final = """
account accepted alone answer answered answers asked attention attempts away back became because began behind boot
breaker broke bundle cancelled charged claim complete completed completes count counted crash crashed describe
detail dismissed drained ends events everything evidence explained explains explanation failure failures folder gave
given goes going happened held high hold holds interrupt its job jobs kept known later left likely lost machine made
most moved needs neither newest next nobody node nodes nothing order pack passes people person place priority proved
queue queued ran ready recent replay requeued rests restarted restarting retry rows run runs sent short shown somebody
stood stopped submission submitted taken told tries truth under unproven used verdict verified waited waiting waits
warning which whole within without words works worse years
"""


@cache
def our_words() -> frozenset[str]:
    """In lower case."""
    sentences = [_OF_ACCOUNTS, *STAGES]
    causes = [cause for server in ServerNoun for cause in known_causes(server).values()]
    sentences += [f"{cause.what} {cause.remedy}" for cause in causes]
    sentences += [*EventType.labels, *JobStatus.labels, *AttemptOutcome.labels, *NodeState.labels]
    return TECHNICAL_WORDS | {word for text in sentences for word in _WORD.findall(text.lower())}


@cache
def our_values() -> frozenset[str]:
    """Values of our own lists, which nobody can have written."""
    verdicts = [str(value) for value, _ in TruthCheck._meta.get_field("verdict").choices or ()]
    outcomes = [str(value) for value, _ in StageAttempt._meta.get_field("outcome").choices or ()]
    ours = [*EventType.values, *EventType.labels, *JobStatus.values, *NodeState.values, *STAGES]
    return frozenset([*ours, *outcomes, *verdicts, *known_causes(ServerNoun.WEBUI)])
