"""One boot of a node's WebUI, as row and process together: begin it, take it over, end it.

Written by the node's keeper alone; when to do which is decided there.
"""

from __future__ import annotations

import logging
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from webui.evidence.redaction import redact_text, redact_unknown, secrets_of
from webui.http import ports
from webui.keeper import boot_history
from webui.models import Node, NodeState
from webui.nodes import adding
from webui.nodes.connecting import token_environment
from webui.processes import boot_logs, process, tail_capture
from webui.processes.start_ticks import start_ticks

logger = logging.getLogger(__name__)

STATE_LOG_LEVELS = {NodeState.FAILED: logging.ERROR, NodeState.UNREACHABLE: logging.WARNING}


class BootError(Exception):
    """The WebUI could not be started; the message says why and what to do."""


def write(node: Node, *, begins: str = "", **columns: object) -> None:
    """Updates these columns only: the wish columns belong to others.

    `begins` says why, where they begin another generation of a server that is not our process.
    """
    for name, value in columns.items():
        setattr(node, name, value)
    Node.objects.filter(pk=node.pk).update(**columns)
    if begins:
        boot_history.begun(node, begins)


def write_state(node: Node, state: NodeState, reason: str, *, begins: str = "", **columns: object) -> None:
    """Moves the row to a state, with the one sentence that tells a person why; logs each change of state."""
    before = node.state
    if state != before:
        columns["state_since"] = timezone.now()
    elif reason == node.state_reason and not columns:
        return
    write(node, begins=begins, state=state, state_reason=reason, **columns)
    if state == NodeState.READY:
        boot_history.ready(node)
    if state != before:
        logger.log(
            STATE_LOG_LEVELS.get(state, logging.INFO),
            "Node %s is %s. %s",
            node.name,
            state.value,
            reason,
            extra={
                "event": f"node.{state.value.lower()}",
                "node": node.name,
                "node_id": node.pk,
                "generation": node.generation,
                "before": str(before),
            },
        )


def end(node: Node, because: str, *, grace_s: float | None = None) -> process.Ended:
    """Ends every process of the row's boot; without grace where its main process is dead already.

    `because` goes into its history; a server of somebody else is left alone, and only its use ends.
    """
    ended = _end_processes(node, grace_s=grace_s)
    if not ended.remaining:
        boot_history.ended(node, because)
    return ended


def _end_processes(node: Node, *, grace_s: float | None) -> process.Ended:
    identity = process.identity_of(node)
    if grace_s is None:
        alive = process.main_process(identity) or process.find_main(identity)
        grace_s = settings.STABLENEW_STOP_GRACE_S if alive else 0.0
    ended = process.end(identity, grace_s=grace_s)
    if ended.ended:
        logger.info(
            "Ended the processes of node %s: %s.",
            node.name,
            ", ".join(map(str, ended.ended)),
            extra={
                "event": "node.processes_ended",
                "node": node.name,
                "generation": node.generation,
                "pids": list(ended.ended),
                "killed": list(ended.killed),
            },
        )
    return ended


def shorten_logs(node: Node) -> None:
    """Keeps the output of the running boot within its bound; a log that cannot be shortened is told and left."""
    if not node.log_directory:
        return
    try:
        boot_logs.cap(Path(node.log_directory), max_bytes=settings.STABLENEW_LOG_MAX_BYTES)
    except OSError as exc:
        logger.warning(
            "The logs of node %s cannot be shortened: %s",
            node.name,
            exc,
            extra={"event": "node.logs_not_shortened", "node": node.name},
        )


def has_processes(node: Node) -> bool:
    return bool(process.family(process.identity_of(node)))


def begin(node: Node, reason: str, *, restart: bool) -> None:
    """Writes the new generation, starts the command, then writes who runs. Raises BootError.

    The row is committed before the process exists: whoever finds STARTING without a pid looks for the nonce.
    """
    began_at = timezone.now()
    log_directory = boot_logs.boot_directory(node.name, node.generation + 1)
    write_state(
        node,
        NodeState.STARTING,
        reason,
        generation=node.generation + 1,
        restarts=node.restarts + (1 if restart else 0),
        nonce=process.new_nonce(),
        pid=None,
        process_start_ticks=None,
        boot_id="",
        adopted_foreign=False,
        checkpoint="",
        log_directory=str(log_directory),
        state_since=began_at,
    )
    try:
        started = process.spawn(
            adding.command_words(node),
            identity=process.identity_of(node),
            log_directory=log_directory,
            working_directory=node.working_directory,
            environment=token_environment(node),
        )
    except (ValueError, OSError) as exc:
        sentence = _why_not_started(node, exc)
        boot_history.begun(node, reason, at=began_at)
        boot_history.ended(node, sentence)
        raise BootError(sentence) from exc
    write(node, pid=started.pid, process_start_ticks=started.start_ticks, boot_id=started.boot_id)
    boot_history.begun(node, reason, at=began_at)
    boot_logs.remove_old_boots(node.name)


def _why_not_started(node: Node, exc: ValueError | OSError) -> str:
    if isinstance(exc, ValueError):
        return f"The start command of node {node.name} cannot be used: {exc}."
    place = f" {exc.filename}" if exc.filename else ""
    return (
        f"The {node.noun} cannot be started ({exc.strerror or exc}:{place}). Correct the start command, "
        "its folder, or the rights on the log folder."
    )


def lose(node: Node, because: str) -> None:
    """A server that is not our process cannot be used any longer."""
    boot_history.ended(node, because)


def take_over(node: Node) -> bool:
    """Finds the living main process of the row's boot, by pid or nonce, and writes who it is."""
    identity = process.identity_of(node)
    if process.main_process(identity) is not None:
        return True
    found = process.find_main(identity)
    if found is None:
        return False
    ticks = start_ticks(found.pid)
    if ticks is None:
        return False
    write(node, pid=found.pid, process_start_ticks=ticks, boot_id=process.machine_boot_id())
    return True


def bury(node: Node, *, seen: bool = True) -> str:
    """Ends what a dead main process has left behind; tells how that ended, with its last words.

    It was `seen` where this keeper has looked after that boot until now.
    """
    status = _end_processes(node, grace_s=0).status
    words = tail_capture.last_words(Path(node.log_directory)) if node.log_directory else ""
    if _may_have_had_requests(node):
        words = redact_unknown(words)
    elif words:
        words = redact_text(words, secrets_of(node_id=node.pk))
    sentence = f"The {node.noun} process {node.pid or ''}".rstrip() + f" {process.exit_sentence(status)}"
    sentence = f"{sentence}; its last line: {words}" if words else f"{sentence}."
    boot_history.ended(node, sentence, seen=seen)
    return sentence


def _may_have_had_requests(node: Node) -> bool:
    """A boot that has been READY may repeat somebody's words as its last ones; one that never was has heard none."""
    return node.last_ready_at is not None and boot_history.was_ready(node) is not False


def move_to_free_port(node: Node) -> None:
    """For the embedded simulator, which nobody has to find at a certain port."""
    host, _ = ports.endpoint(node.base_url)
    write(node, base_url=f"http://{host}:{ports.free_port(host)}")


def port_taken_sentence(node: Node, port: int) -> str:
    """Who sits on the port of a node that we would start ourselves."""
    holder = ports.holder(port)
    who = str(holder) if holder else "a process that this user may not see"
    return (
        f"Port {port} is taken by {who}, which does not speak the {node.noun}'s API. "
        f"Stop it, or give the {node.noun} of node {node.name} another port."
    )
