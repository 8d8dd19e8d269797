"""What both command lines of the simulator take: ports, seconds, names and files for a port."""

from __future__ import annotations

import argparse
from pathlib import Path


def port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 0 to 65535")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; give seconds, for example 0.5")
    return value


def name(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a name cannot be empty")
    return text.strip()


def for_port(path: Path | None, number: int) -> Path | None:
    """The path with its {port} filled in."""
    return None if path is None else Path(str(path).replace("{port}", str(number)))
