"""Faults of the machine and of what stands between: disks, clocks, the database, a proxy, a server that vanishes."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psutil

from tests.fault.campaign.plan import Card
from tests.fault.campaign.scene import Scene
from tests.proxy import Interference

BLOCK = b"\0" * 1024 * 1024


# --- disks --------------------------------------------------------------------------------------------------


def disk_full(scene: Scene, node: str, card: Card) -> str | None:
    """Data, logs and an embedded database are on the same disk; somebody's download fills it, and is removed again."""
    filler = scene.installation.folder / "somebody-s-download"
    try:
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(BLOCK)
        left = shutil.disk_usage(filler).free
        seconds = scene.pause_s(2, 6)
    finally:
        filler.unlink(missing_ok=True)
    return f"the disk was full ({left} bytes free) for {seconds:.1f} s"


def folder_gone(scene: Scene, node: str, card: Card) -> str | None:
    outputs = scene.installation.outputs
    if not outputs.is_dir():
        return None
    away = outputs.with_name("outputs-elsewhere")
    outputs.rename(away)
    try:
        seconds = scene.pause_s(2, 6)
        made_anew = outputs.exists()
    finally:
        if not outputs.exists():
            away.rename(outputs)
    if made_anew:
        scene.noticed.append("The output folder was made anew while the real one was elsewhere.")
    return f"the output folder was elsewhere for {seconds:.1f} s"


# --- clocks and processes -----------------------------------------------------------------------------------


def clock_step(scene: Scene, node: str, card: Card) -> str | None:
    assert scene.around.clock is not None
    for seconds in card.variant.split(";"):
        scene.around.clock.step(int(seconds))
        scene.pause_s(0.3, 1.5)
    return f"the clock was set by {card.variant} s"


def suspended(scene: Scene, node: str, card: Card) -> str | None:
    """All our processes stand still, as on a machine that sleeps; the WebUIs go on."""
    victims = scene.processes.everything_of_ours()
    began_at = datetime.now(UTC)
    stopped = []
    try:
        for process in victims:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGSTOP)
                stopped.append(process)
        seconds = scene.pause_s(2, float(card.variant))
    finally:
        for process in stopped:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
        scene.frozen.append((began_at, datetime.now(UTC)))
    return f"{len(stopped)} processes of ours stood still for {seconds:.1f} s" if stopped else None


# --- the database -------------------------------------------------------------------------------------------


def database_locked(scene: Scene, node: str, card: Card) -> str | None:
    """Nothing can be written, and everything read: a backup, or somebody's open transaction."""
    with _write_lock(scene):
        time.sleep(float(card.variant))
    return f"the database took no write for {card.variant} s"


@contextmanager
def _write_lock(scene: Scene) -> Iterator[None]:
    url = scene.installation.database.url
    if scene.installation.database.vendor == "sqlite":
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                file.execute("ROLLBACK")
        return
    import psycopg  # only where PostgreSQL is used

    server: Any = psycopg.connect(url)
    with server:
        server.execute("LOCK TABLE jobs_job, jobs_runner, jobs_queuecontrol, webui_node IN EXCLUSIVE MODE")
        yield
        server.rollback()


def connections_ended(scene: Scene, node: str, card: Card) -> str | None:
    """An administrator, or a pooler that is restarted, ends every connection to the database."""
    query = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    [(count,)] = scene.installation.rows(query)
    return f"{count} connections to the database were ended" if count else None


def server_restarted(scene: Scene, node: str, card: Card) -> str | None:
    assert scene.around.own_server is not None
    scene.around.own_server.restart(card.variant)
    return f"PostgreSQL was restarted ({card.variant})"


# --- between us and a server of others ----------------------------------------------------------------------


def gateway(scene: Scene, node: str, card: Card) -> str | None:
    """The proxy answers in the server's place while that goes on drawing."""
    status, _, after_s = card.variant.partition(" after ")
    proxy = scene.installation.proxy
    assert proxy is not None
    proxy.first.append(Interference(int(status), after_s=float(after_s)))
    if scene.wait(lambda: not proxy.first):
        return f"the proxy answered {status} after {after_s} s"
    proxy.first.clear()
    return None


def vanished(scene: Scene, node: str, card: Card) -> str | None:
    """In the middle of a picture: its cable is pulled, or its machine stands still."""
    if not scene.wait_posting(node):
        return None
    if card.variant == "stands still":
        victim = scene.installation.foreign[node].pid
        os.kill(victim, signal.SIGSTOP)
        try:
            seconds = scene.pause_s(2, 9)
        finally:
            os.kill(victim, signal.SIGCONT)
    else:
        scene.installation.cut_remote()
        try:
            seconds = scene.pause_s(1, 9)
        finally:
            scene.installation.join_remote()
    return f"{node} {card.variant or 'was gone'} for {seconds:.1f} s"
