"""One job at a time in the order of arrival, and the list of tasks that `/internal/progress` reads."""

from __future__ import annotations

import secrets
import string
import threading
from collections import deque
from types import TracebackType

REMEMBERED_TASKS = 16


class Turns:
    """A lock that is handed on strictly in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False

    @property
    def busy(self) -> bool:
        return self._taken

    @property
    def waiting(self) -> int:
        return len(self._waiting)


class Tasks:
    """Pending, running and finished task ids, with the real server's leaks.

    A task that fails stays the running one until the next starts; one refused before its start stays
    pending for ever; duplicates are accepted.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._pending: dict[str, None] = {}
        self._finished: deque[str] = deque(maxlen=REMEMBERED_TASKS)
        self.current: str | None = None

    def add(self, task_id: str) -> None:
        with self._guard:
            self._pending[task_id] = None

    def start(self, task_id: str) -> None:
        with self._guard:
            self._pending.pop(task_id, None)
            self.current = task_id

    def finish(self, task_id: str) -> None:
        with self._guard:
            if self.current == task_id:
                self.current = None
            self._finished.append(task_id)

    def pending(self) -> list[str]:
        with self._guard:
            return list(self._pending)

    def is_finished(self, task_id: str) -> bool:
        with self._guard:
            return task_id in self._finished


def made_up_id(kind: str) -> str:
    """The id that the server gives to a request without `force_task_id`."""
    letters = string.ascii_uppercase + string.digits
    return f"task({kind}-{''.join(secrets.choice(letters) for _ in range(7))})"
