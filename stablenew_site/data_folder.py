"""The data folder of one installation: made ready, proved writable, and held by one `up` at a time."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

from webui.file_lock import FileLock
from webui.private_files import make_private_folder


class DataFolderError(Exception):
    """The sentence that says what is wrong with the folder or the port, and what to do."""


def prepare(data_dir: Path) -> None:
    """Make the folders that processes write into; `DataFolderError` when one cannot be written."""
    private_ones = (data_dir, settings.STABLENEW_LOG_DIR, settings.STABLENEW_PROCESS_DIR)
    for folder in (*private_ones, settings.STABLENEW_OUTPUT_DIR):
        try:
            if folder in private_ones:
                make_private_folder(folder)
            else:
                # Pictures are shared: they and their folders have the modes that this user's umask gives.
                folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as exc:
            raise DataFolderError(
                f"The data folder cannot be written: {folder} ({exc.strerror}). "
                "Make it writable for this user, or set STABLENEW_DATA_DIR to a folder that is."
            ) from exc


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Only one service manager per data folder; `DataFolderError` names the one that runs."""
    lock = FileLock(data_dir / "up.lock")
    if not lock.acquire():
        raise DataFolderError(
            f"StableNew is already running on {data_dir} (process {lock.holder()}). "
            "Stop that one first, or set STABLENEW_DATA_DIR to another folder."
        )
    try:
        yield
    finally:
        lock.release()


def check_port(host: str, port: int) -> None:
    """`DataFolderError` when nobody could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As the web server does: a port in TIME_WAIT is free.
        with suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise DataFolderError(port_sentence(host, port, exc)) from exc


def port_sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken by another program. "
            f"Stop that program, or choose another port: --port {port + 1}."
        )
    return f"Cannot listen on {host} port {port} ({error.strerror}). Choose others with --host and --port."
