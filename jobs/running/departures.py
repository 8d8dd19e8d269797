"""Ends of a run that are no errors: somebody or something else decided, and the job is not to blame."""

from __future__ import annotations


class CancelledRun(Exception):  # noqa: N818 - a way for a run to end, no error
    """A person cancelled the job."""

    def __init__(self, by: str) -> None:
        super().__init__(f"cancelled by {by}")
        self.by = by


class DrainedRun(Exception):  # noqa: N818 - a way for a run to end, no error
    """An operator wants the node: the job goes back to the head of the queue, uncharged."""


class NodeLostRun(Exception):  # noqa: N818 - a way for a run to end, no error
    """The WebUI does not come back: the job waits at the head of the queue with its retry granted."""


class LackingRun(Exception):  # noqa: N818 - a way for a run to end, no error
    """Lists that came after the claim say that this node lacks what the job needs: it waits for one that has it."""

    def __init__(self, node: str) -> None:
        super().__init__(f"by its lists node {node} lacks what the job needs")


class StorageRun(Exception):  # noqa: N818 - a way for a run to end, no error
    """Our own machine does not take the pictures: the job waits at the head of the queue, uncharged.

    `fresh_process`: only another process of ours may be better off, as where this one has no descriptors left.
    """

    def __init__(self, reason: str, *, fresh_process: bool = False) -> None:
        super().__init__(reason)
        self.fresh_process = fresh_process


class WorkerLeaves(Exception):  # noqa: N818 - a way for a run to end, no error
    """This process cannot go on with anything; the supervisor starts another and judges what is left open."""


class KeptPictureChanged(Exception):  # noqa: N818 - a way for a run to begin again, no error
    """An accepted picture is missing or no longer the file that was accepted."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the kept picture {path} is missing or changed")
        self.path = path
