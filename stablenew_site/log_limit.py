"""The same line again and again is told a few times: whatever goes round in a circle must not fill the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: So often within `WINDOW_S` the same words of one logger are told.
MOST: Final = 5
WINDOW_S: Final = 60.0
#: Different lines that are remembered.
REMEMBERED: Final = 500


@dataclass(slots=True)
class _Told:
    since_s: float
    lines: int = 0


class SameLines(logging.Filter):
    """Lets a line pass `MOST` times a minute; the first one after that says how many were left out.

    Only lines that are equal to the letter count as the same, so that no event of a job is ever left out; those of the
    web server, which tell its own state with another number each time, but for what is put into them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: OrderedDict[tuple[str, int, str], _Told] = OrderedDict()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        is_server = record.name.partition(".")[0] == "waitress"
        key = (record.name, record.levelno, str(record.msg) if is_server else message)
        with self._lock:
            now_s = self._clock()
            told = self._told.pop(key, None) or _Told(now_s)
            left_out = 0
            if now_s - told.since_s >= WINDOW_S:
                left_out, told = max(0, told.lines - MOST), _Told(now_s)
            told.lines += 1
            self._told[key] = told
            if len(self._told) > REMEMBERED:
                self._told.popitem(last=False)
        if left_out:
            record.msg, record.args = (
                f"{message} (and {left_out:,} times more since the last of these lines)",
                (),
            )
        return told.lines <= MOST
