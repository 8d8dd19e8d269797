"""The last lines of a WebUI's own output. Reading never raises: a sentence stands in for what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from webui.models import Node
from webui.processes.boot_logs import STREAMS

BYTES_PER_LINE = 2_000
"""How much of a file is read at most, times the number of lines: a runaway line must not fill the memory."""
READ_TRIES = 3
"""A log may be shortened while it is read."""


def tail_of(path: Path, max_lines: int = 200) -> str:
    """The last `max_lines` lines of the file, other bytes than UTF-8 replaced."""
    if max_lines <= 0:
        return ""
    try:
        end = _end_of(path, max_lines * BYTES_PER_LINE)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as exc:
        return f"(the log {path} cannot be read: {exc})"
    lines = end.decode("utf-8", errors="replace").rstrip("\r\n").split("\n")
    return "\n".join(map(_as_seen, lines[-max_lines:]))


def _end_of(path: Path, wanted_bytes: int) -> bytes:
    with open(path, "rb") as file:
        for _ in range(READ_TRIES):
            size_bytes = file.seek(0, os.SEEK_END)
            file.seek(max(0, size_bytes - wanted_bytes))
            end = file.read()
            if end or not size_bytes:
                break
    return end


def _as_seen(line: str) -> str:
    """What a terminal would have left of a line: a progress bar writes itself anew after each return."""
    return next((part for part in reversed(line.split("\r")) if part), "")


def get_tail_logs(node: Node, max_lines: int = 200) -> dict[str, str]:
    """The last lines of the node's newest boot, `{"stdout": ..., "stderr": ...}`; empty for attached ones."""
    if not node.log_directory:
        return dict.fromkeys(STREAMS, "")
    return {name: tail_of(Path(node.log_directory) / f"{name}.log", max_lines) for name in STREAMS}


def last_words(directory: Path) -> str:
    """The last line that a process wrote, stderr first: mostly the reason why it ended."""
    return last_line(directory / f"{name}.log" for name in reversed(STREAMS))


def last_line(paths: Iterable[Path]) -> str:
    """The last line that is not blank, of the first file that has one; shortened."""
    for path in paths:
        lines = [line.strip() for line in tail_of(path, 5).splitlines() if line.strip()]
        if lines:
            return lines[-1][:300]
    return ""
