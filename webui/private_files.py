"""Files and folders that only this user may read: what holds passwords, sessions or words of a prompt.

Made so from the first byte on, whatever the umask. What is there already keeps its mode: `check` tells of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
OTHERS: Final = 0o077
"""Every right that somebody else may have."""
OTHERS_WRITE: Final = 0o022


def make_private_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, each for this user alone. Raises OSError."""
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for folder in reversed(missing):
        # Two processes may start together.
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)


def private(path: str, flags: int) -> int:
    """An opener for `open`: a file that it makes is for this user alone."""
    return os.open(path, flags, FILE_MODE)


def is_open_to_others(path: Path) -> bool:
    """Whether somebody else has any right on it; False where it is not there."""
    return bool(_mode(path) & OTHERS)


def is_writable_by_others(path: Path) -> bool:
    return bool(_mode(path) & OTHERS_WRITE)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0
