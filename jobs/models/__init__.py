"""The tables of the domain; the promises of the queue stand here as constraints.

Verbs that write them live elsewhere: `moves` (status), `claims`, `attempts`, `services`, `outputs`.
"""

from jobs.models.attempts import AttemptOutcome, OutputImage, StageAttempt
from jobs.models.bulk import BulkAction, BulkVerb
from jobs.models.fitness import CheckpointTrouble, NeedSet, NodeLack
from jobs.models.history import HistoryEntry, LifecycleEvent
from jobs.models.inputs import InputPicture, InputUse
from jobs.models.job import TERMINAL_VALUES, Job
from jobs.models.packs import PackOrigin, PackRevision, PromptPack
from jobs.models.queue import QueueControl, Runner
from jobs.models.submissions import JobRecord, Submission
from jobs.models.truth import TruthCheck

__all__ = [
    "TERMINAL_VALUES",
    "AttemptOutcome",
    "BulkAction",
    "BulkVerb",
    "CheckpointTrouble",
    "HistoryEntry",
    "InputPicture",
    "InputUse",
    "Job",
    "JobRecord",
    "LifecycleEvent",
    "NeedSet",
    "NodeLack",
    "OutputImage",
    "PackOrigin",
    "PackRevision",
    "PromptPack",
    "QueueControl",
    "Runner",
    "StageAttempt",
    "Submission",
    "TruthCheck",
]
