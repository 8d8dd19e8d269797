"""Faults of somebody else at the WebUI: killed at each moment of its life, restarted by hand, its port taken."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from tests.fault.campaign.engine import kill
from tests.fault.campaign.plan import Card
from tests.fault.campaign.scene import STRIKE_S, Scene


class _Mute(http.server.BaseHTTPRequestHandler):
    """Refuses whatever is asked, and says nothing about it."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is inherited
        pass


def killed_mid_job(scene: Scene, node: str, card: Card) -> str | None:
    """At a moment of chance, or in the phase that the variant names."""
    if card.variant:
        return _killed_in_phase(scene, node, card)
    if not scene.wait_posting(node):
        return None
    scene.pause_s(0, 0.3)
    return f"killed {node}'s WebUI" if kill([scene.processes.webui(node)]) else None


def _killed_in_phase(scene: Scene, node: str, card: Card) -> str | None:
    """Most phases pass in a moment: the worker stops in it, and is killed there."""
    scene.arm(node, card, [f"hang-{card.variant}@*"])
    try:
        if not scene.wait(lambda: scene.struck(node, card), STRIKE_S):
            return None
    finally:
        scene.arm(node, card, [])
    killed = kill([scene.processes.webui(node)])
    return f"killed {node}'s worker in {card.variant}" if killed else None


def stands_still(scene: Scene, node: str, card: Card) -> str | None:
    """In the middle of a job, as on a machine that swaps; then it goes on, or has been ended meanwhile."""
    if not scene.wait_posting(node):
        return None
    victim = scene.processes.webui(node)
    if victim is None:
        return None
    with suppress(psutil.Error):
        victim.suspend()
        try:
            seconds = scene.pause_s(2, 9)
        finally:
            victim.resume()
        return f"{node}'s worker stood still for {seconds:.1f} s"
    return f"{node}'s worker stood still, and was ended"


def killed_between_jobs(scene: Scene, node: str, card: Card) -> str | None:
    with scene.idle(node) as idle:
        if not idle or not kill([scene.processes.webui(node)]):
            return None
        scene.pause_s(0, 0.5)
    return f"killed {node}'s idle WebUI"


def killed_during_boot(scene: Scene, node: str, card: Card) -> str | None:
    first = scene.processes.webui(node)
    if first is None or not kill([first]):
        return None
    second = scene.wait(lambda: scene.processes.webui(node))
    scene.pause_s(0, 0.6)
    return f"killed {node}'s WebUI twice, the second time while it booted" if kill([second]) else None


def restarted_by_hand(scene: Scene, node: str, card: Card) -> str | None:
    if not scene.wait_posting(node):
        return None
    return _replaced(scene, node)


def _replaced(scene: Scene, node: str) -> str | None:
    """Somebody ends our WebUI and starts one of their own, uses it for a while, and ends it."""
    if not kill([scene.processes.webui(node)]):
        return None
    pid = scene.installation.start_foreign(node)
    try:
        scene.pause_s(3, 6)
        adopted = scene.installation.rows(
            f"SELECT adopted_foreign FROM webui_node WHERE name = '{node}'"  # noqa: S608
        )[0][0]
    finally:
        scene.installation.end_foreign(node)
    return f"somebody's WebUI {pid} stood in for {node}'s" + ("" if adopted else " (ours was faster)")


def port_taken(scene: Scene, node: str, card: Card) -> str | None:
    if card.variant == "with the API":
        with scene.idle(node) as idle:
            return _replaced(scene, node) if idle else None
    if not kill([scene.processes.webui(node)]):
        return None
    with _stranger(scene, scene.installation.ports[node]) as holds:
        if holds:
            scene.pause_s(1, 3)
    return f"a stranger held {node}'s port" if holds else None


@contextmanager
def _stranger(scene: Scene, port: int) -> Iterator[bool]:
    """A server without the API on this port; False when it was not to be had."""
    found: list[http.server.HTTPServer] = []

    def take() -> bool:
        try:
            found.append(http.server.ThreadingHTTPServer(("127.0.0.1", port), _Mute))
        except OSError:
            return False
        return True

    if not scene.wait(take, 2.0):
        yield False
        return
    server = found[0]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield True
    finally:
        server.shutdown()
        server.server_close()
