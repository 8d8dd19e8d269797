"""One call in a thread of its own, so that the run can look after it: the POST, and small questions beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class BackgroundCall(Generic[T]):
    """One request in a thread that touches no database; `done` is set when it has ended, `error` if it failed."""

    def __init__(self, call: Callable[[], T], name: str) -> None:
        self.done = threading.Event()
        self._call = call
        self._result: T | None = None
        self.error: BaseException | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as exc:  # noqa: BLE001 - carried to the thread that asked, which raises it
            self.error = exc
        finally:
            self.done.set()

    def result(self) -> T:
        """The answer, or the error that the call raised; only after `done`."""
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]
