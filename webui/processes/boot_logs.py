"""The folders that a node's boots write into: one each, the newest kept, their files kept small."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

from django.conf import settings

STREAMS = ("stdout", "stderr")
KEPT_BOOTS = 10
COLLAPSE_RANGE = 0x08
"""FALLOC_FL_COLLAPSE_RANGE of Linux: takes a range out of a file, whole, between two writes of others."""


def boot_directory(node_name: str, generation: int) -> Path:
    """Where that boot's `stdout.log` and `stderr.log` are."""
    return Path(settings.STABLENEW_LOG_DIR) / node_name / f"boot-{generation}"


def restart_log(node_name: str, generation: int) -> Path:
    """The output of the command that was to bring this generation of somebody else's server about."""
    return Path(settings.STABLENEW_LOG_DIR) / node_name / f"restart-{generation}.log"


def remove_old_boots(node_name: str, *, keep: int = KEPT_BOOTS) -> int:
    """Removes all but the newest boots of this node; returns how many went."""
    return _remove_old(node_name, "boot", keep)


def remove_old_restart_logs(node_name: str, *, keep: int = KEPT_BOOTS) -> int:
    return _remove_old(node_name, "restart", keep)


def _remove_old(node_name: str, kind: str, keep: int) -> int:
    numbered = []
    try:
        for path in (Path(settings.STABLENEW_LOG_DIR) / node_name).iterdir():
            prefix, _, number = path.name.removesuffix(".log").partition("-")
            if prefix == kind and number.isdigit():
                numbered.append((path.stat().st_mtime, int(number), path))
    except OSError:
        return 0
    # By time first: a new database counts from 1 again beside the logs of the old one.
    old = [path for _, _, path in sorted(numbered)[:-keep]]
    for path in old:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(old)


def cap(directory: Path, *, max_bytes: int) -> int:
    """Shortens the logs of a boot that are longer than `max_bytes`; returns how many were."""
    return sum(cap_file(directory / f"{name}.log", max_bytes=max_bytes) for name in STREAMS)


def cap_file(path: Path, *, max_bytes: int) -> bool:
    """Takes the beginning away from a log that is longer than `max_bytes`, about half of that stays.

    Its writer need not know: it appends, so it goes on at the new end. True if something was cut off.
    """
    try:
        with open(path, "r+b", buffering=0) as file:
            found = os.fstat(file.fileno())
            if found.st_size <= max_bytes:
                return False
            cut_bytes = found.st_size - max_bytes // 2
            cut_bytes -= cut_bytes % (found.st_blksize or 1)
            if not (cut_bytes and _collapse(file.fileno(), cut_bytes)):
                _rewrite(path, keep_bytes=max_bytes // 2)
            return True
    except FileNotFoundError:
        return False


def _collapse(descriptor: int, cut_bytes: int) -> bool:
    """Takes the first bytes out of the file; no line of its writer can be lost. False where that is not offered."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        outcome = libc.fallocate(descriptor, COLLAPSE_RANGE, ctypes.c_int64(0), ctypes.c_int64(cut_bytes))
    except (OSError, AttributeError, TypeError):
        return False
    if outcome == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EPERM):
        return False
    raise OSError(code, os.strerror(code))


def _rewrite(path: Path, *, keep_bytes: int) -> None:
    """The same where the file system cannot: what is written in the instant before the truncation is lost."""
    with open(path, "r+b", buffering=0) as file, open(path, "ab", buffering=0) as end:
        file.seek(-min(keep_bytes, os.fstat(file.fileno()).st_size), os.SEEK_END)
        kept = file.read()
        os.truncate(file.fileno(), 0)
        end.write(kept)
