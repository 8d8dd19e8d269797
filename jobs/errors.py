"""What can go wrong in the queue, as one tree; `webui.errors` is that of the WebUI.

    JobsError
    ├── IllegalTransitionError      the table of moves does not allow it
    ├── FencedError                 somebody else took the run over
    ├── NotFoundError               no such job, pack or revision
    ├── ConflictError               an idempotency key was used for something else
    ├── RefusedError                nothing was queued; `problems` says why, one entry per record or pack
    ├── UnclearError                a form that says too little
    ├── CommandRefused              a command refuses (`jobs.cli`)
    │   └── ArgumentsRefused
    ├── PackError                   what people write
    │   ├── PackReadError           a file
    │   ├── DocumentError           its JSON
    │   ├── UnreadableError         a value of a setting
    │   ├── OptionError             an option
    │   ├── UploadRefusedError
    │   └── ExportRefused
    ├── PictureError                a picture
    │   ├── UnusablePictureError    the WebUI's, that does not open
    │   ├── NoFilmError             the server's, that does not decode
    │   ├── UnreadablePictureError  that cannot be made small
    │   ├── InputRefusedError       that no film or edit can be made of
    │   ├── InputNotKeptError       that could not be stored
    │   └── NoThumbnailError
    ├── NodeError                   a node
    │   ├── NodeStaysError          it cannot be removed
    │   ├── NodeBusyError           another run_node holds it
    │   ├── OtherSecretKeyError     this host's secret key is another one
    │   └── NodeNotAsAskedError     start, stop or restart did not come about
    │       ├── NodeStoppingError
    │       ├── NodeFailedError
    │       ├── NodeKeeperSilentError
    │       └── NodeTimeoutError
    └── RunError                    why a job failed that is not the WebUI's fault
        ├── JobDeadlineError
        ├── WorkerLostError
        ├── RecordChangedError
        ├── OutputNotWrittenError
        └── InternalError

Each has a `code` for scripts, a sentence (the first line of its docstring) and a `remediation` ("" where the words
say what to do). `docs/errors.md` lists the codes with which jobs fail. Outside the tree are ends of a run that are
no errors (`jobs.running.departures`), what diagnostics refuses (each where it is raised), and
`jobs.immutable.ImmutableRowError`, which only a fault of the program raises.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

from webui.values import FrozenValue
from webui.words import ended


class RecordProblem(FrozenValue):
    """Why something cannot be submitted. `field` is a setting's path or a token.

    `row` counts from 1; `rows` are all that one problem is about, where these may be several.
    """

    code: str
    message: str
    pack: str = ""
    row: int | None = None
    field: str = ""
    rows: tuple[int, ...] = ()


class JobsError(Exception):
    """Something in the queue is not as asked."""

    code: ClassVar[str] = "refused"
    remediation: ClassVar[str] = ""

    def __init__(self, message: str = "", **facts: Any) -> None:
        """`message` says what happened this time, in place of the class's sentence; `facts` are for an envelope."""
        super().__init__(message)
        self.message = message or self.sentence()
        self._facts = facts

    @classmethod
    def sentence(cls) -> str:
        """What happened, for every error of this class."""
        return (inspect.getdoc(cls) or cls.code).splitlines()[0]

    def facts(self) -> dict[str, Any]:
        """What is known besides, by name, ready for an envelope."""
        return dict(self._facts)

    def __str__(self) -> str:
        return f"{ended(self.message)} {self.remediation}" if self.remediation else self.message


class IllegalTransitionError(JobsError):
    """A job cannot move that way; the attempt is kept as an ILLEGAL_TRANSITION event."""

    code = "illegal_transition"

    def __init__(self, job_id: int, from_status: str, to_status: str) -> None:
        super().__init__(f"Job {job_id} is {from_status} and cannot become {to_status}.")
        self.job_id = job_id
        self.from_status = from_status
        self.to_status = to_status


class FencedError(JobsError):
    """This run no longer owns its job: it must stop at once and write nothing more."""

    code = "fenced"

    def __init__(self, job_id: int) -> None:
        super().__init__(f"Job {job_id} was taken over by another run; this one stops.")
        self.job_id = job_id


class NotFoundError(JobsError):
    """Nothing has that name or number."""

    code = "not_found"


class ConflictError(JobsError):
    """The same idempotency key came with another request."""

    code = "conflict"
    remediation = "Use a new key, or repeat the same request."


class RefusedError(JobsError):
    """Nothing was queued; `problems` names every reason."""

    def __init__(self, problems: Sequence[RecordProblem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0].message if self.problems else "refused"
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"Nothing was queued: {first}{more}")


class UnclearError(JobsError):
    """A form says no act, no jobs or no priority; the words tell which."""

    code = "unclear"


# --- what people write -----------------------------------------------------------------------------


class PackError(JobsError):
    """A pack, or an option of its build, cannot be read or written."""

    code = "pack"


class PackReadError(PackError):
    """A pack file cannot be read; the words name the file, the place in it and what to do."""

    code = "unreadable"


class DocumentError(PackError):
    """The JSON cannot be read; the words say where."""

    code = "bad_json"


class UnreadableError(PackError):
    """A setting cannot have this value; the words say what is expected."""

    code = "wrong_value"


class OptionError(PackError):
    """An option cannot be read; the words say which and what is expected."""

    code = "options"


class UploadRefusedError(PackError):
    """Nothing is imported; `problems` has one sentence per file that is wrong."""

    code = "upload"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(problems))


class ExportRefused(PackError):  # noqa: N818 - it is an answer, not a fault
    """The pack cannot be written there; the words say why and what to do."""

    code = "export"


# --- pictures --------------------------------------------------------------------------------------


class PictureError(JobsError):
    """A picture cannot be used."""

    code = "picture"


class UnusablePictureError(PictureError):
    """The bytes are no picture that opens."""


class NoFilmError(PictureError):
    """The bytes are no whole film of the kind that servers send."""


class UnreadablePictureError(PictureError):
    """The picture cannot be made small: it is broken, too large, or of an unknown format."""


class InputRefusedError(PictureError):
    """The file cannot be an input picture; the words name it and say what to do."""

    code = "input_picture"


class InputNotKeptError(PictureError):
    """The input picture could not be stored; the words say why."""

    code = "input_not_kept"


class NoThumbnailError(PictureError):
    """There is no thumbnail; the words for the page say why."""


# --- nodes -----------------------------------------------------------------------------------------


class NodeError(JobsError):
    """A node is not as asked."""

    code = "node"


class NodeStaysError(NodeError):
    """A node cannot be removed; the words say why, and what to do instead."""

    code = "node_stays"


class NodeBusyError(NodeError):
    """Another run_node, or a process that it left behind, holds this node."""

    code = "node_busy"
    remediation = "Stop it first; a second one would run two jobs on one WebUI."


class OtherSecretKeyError(NodeError):
    """This host's secret key is not the one with which the wake-ups of this database are signed."""

    code = "other_secret_key"
    remediation = (
        "Give all hosts the same STABLENEW_SECRET_KEY. If the key was changed on purpose, for all of them, start this "
        "one once with --new-key."
    )


class NodeNotAsAskedError(NodeError):
    """Start, stop or restart of a node did not come about."""

    code = "not_as_asked"


class NodeStoppingError(NodeNotAsAskedError):
    """The node is being stopped."""

    code = "stopping"


class NodeFailedError(NodeNotAsAskedError):
    """The node failed to start; the words are its own."""

    code = "failed"


class NodeKeeperSilentError(NodeNotAsAskedError):
    """The node's keeper does not react."""

    code = "no_keeper"
    remediation = "Is `run_node` healthy? See `doctor`."


class NodeTimeoutError(NodeNotAsAskedError):
    """The node is not as asked after the time that was given."""

    code = "timeout"


# --- why jobs fail ---------------------------------------------------------------------------------


class RunError(JobsError):
    """A run of ours cannot go on, and the WebUI is not the reason."""

    code = "RUN_ERROR"
    subsystem: ClassVar[str] = "jobs"


class JobDeadlineError(RunError):
    """The job ran longer than one job may."""

    code = "JOB_DEADLINE"
    remediation = (
        "Make the job smaller, or raise STABLENEW_JOB_DEADLINE_S (films, edits: STABLENEW_FILM_DEADLINE_S)."
    )


class WorkerLostError(RunError):
    """The process of StableNew that ran the job ended without a word, more than once."""

    code = "WORKER_LOST"
    remediation = (
        "Read worker_tail.log in the job's evidence and the machine's log (killed for memory?), "
        "then run the job again."
    )


class RecordChangedError(RunError):
    """The stored request is not the one that was queued: its hash, or that of an input picture, has changed."""

    code = "RECORD_CHANGED"
    remediation = "Somebody changed the database or an input picture by hand; submit the pack again."


class OutputNotWrittenError(RunError):
    """The results could not be written to the disk."""

    code = "OUTPUT_NOT_WRITTEN"
    remediation = "See that the data folder is writable and the disk has room, then run the job again."
    subsystem = "storage"


class InternalError(RunError):
    """A fault of StableNew."""

    code = "INTERNAL_ERROR"
    remediation = "Report it with the job's bundle and the log of run_node."
