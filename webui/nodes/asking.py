"""Who asks something of a node or a job where no person does, and how sentences name whoever asked. Pure."""

from __future__ import annotations

from typing import Final

from webui.words import ended

# No user of the site can have such a name.
RUNNER: Final = "(runner)"
"""The run of a job."""
SUPERVISOR: Final = "(run_node)"
START: Final = "(up)"
SETTINGS: Final = "(settings)"
"""What is configured; what a person stopped stays so."""
KEEPER: Final = "(keeper)"
"""In the row of a server that could not be restarted: its generation goes on."""
OURS: Final = frozenset({RUNNER, SUPERVISOR, START, SETTINGS, KEEPER})


def named(by: str) -> str:
    """Who asked, within a sentence: a person by name."""
    return "the system" if by in OURS else by or "somebody"


def opening(by: str) -> str:
    """The same as the first words of a sentence."""
    return "The system" if by in OURS else by or "Somebody"


def told(doing: str, joint: str, by: str, reason: str) -> str:
    """`Restarting for anna (new checkpoint).`, but where no person asked, only why: `Restarting: job 6 failed.`"""
    if by in OURS:
        return ended(f"{doing}: {reason}" if reason else doing)
    return f"{doing} {joint} {named(by)}{f' ({reason})' if reason else ''}."
