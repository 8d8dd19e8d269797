"""The last lines of a WebUI's own output. Reading never raises: a sentence stands in for what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from webui.models import Node
from webui.processes.boot_logs import STREAMS

BYTES_PER_LINE = 2_000
"""How much of a file is read at most, times the number of lines: a runaway line must not fill the memory."""
NOTHING = "(no output was captured)"
READ_TRIES = 3
"""A log may be shortened while it is read."""


def capture_tail(
    process_or_pid: object = None, paths: Iterable[Path | str] = (), max_lines: int = 200
) -> str:
    """The last lines of these files; without any, of what the process writes its output and errors into.

    A process is given by its pid or as an object with one (`Popen`, `psutil.Process`); it must still be there.
    Never raises, and never returns an empty text: a sentence in brackets stands in for what is missing.
    """
    try:
        files = [Path(path) for path in paths] or _outputs_of(process_or_pid)
        return tails_of(files, int(max_lines))
    except (OSError, ValueError, TypeError, AttributeError) as exc:
        return f"(the output cannot be read: {exc})"


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


def tails_of(paths: Iterable[Path], max_lines: int = 200) -> str:
    """The tails of several files, each under its name; a placeholder line when there is nothing at all."""
    parts = [f"==> {path.name} <==\n{tail}" for path in paths if (tail := tail_of(path, max_lines))]
    return "\n".join(parts) or NOTHING


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


def _outputs_of(process_or_pid: object) -> list[Path]:
    """The files behind standard output and standard error; a terminal or a pipe is none that can be read."""
    pid = getattr(process_or_pid, "pid", process_or_pid)
    if not isinstance(pid, int) or isinstance(pid, bool):
        return []
    files: list[Path] = []
    for number in (1, 2):
        try:
            target = Path(os.readlink(f"/proc/{pid}/fd/{number}"))
        except OSError:
            continue
        if target.is_file() and target not in files:
            files.append(target)
    return files
