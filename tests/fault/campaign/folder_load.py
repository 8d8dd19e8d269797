"""The work of films and edits: a folder of pictures by one command, and smaller ones when the queue runs dry."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tests.fault.campaign.installation import POISON, ConsoleError, Installation

#: Of each kind so many jobs wait; else another folder is submitted.
WAITING = 6
TOPPED_UP = 16
#: Of the first folder, where that is more: each command costs seconds.
TOPPED_UP_SHARE = 0.1
#: For a thousand pictures on a busy machine.
SUBMIT_S = 900.0
SIDE_PX = 64
SETTINGS = {
    "i2v": ("i2v.width=64", "i2v.height=64", "i2v.num_frames=5", "i2v.steps=4"),
    "edit": ("edit.width=64", "edit.height=64", "edit.steps=4"),
}
"""Small and quick."""
ACTS = ("turns", "waves", "rises", "glows", "opens")


@dataclass(frozen=True, slots=True)
class _Order:
    """A folder whose command has not been answered yet: the same key makes its jobs once, however often it is sent."""

    folder: Path
    kind: str
    prompt: str
    seed: int


class FolderLoad:
    """Keeps the queue filled; remembers what it submitted."""

    def __init__(self, installation: Installation, rng: random.Random, pictures: int) -> None:
        self._installation = installation
        self._rng = rng
        self._to_begin_with = pictures
        self._topped_up = max(TOPPED_UP, round(TOPPED_UP_SHARE * pictures))
        self._folders = 0
        self._unanswered: list[_Order] = []
        self.submitted: set[int] = set()
        self.poisoned: set[int] = set()

    def fill(self) -> None:
        """Work of every kind waits afterwards; a command that was refused is given again at the next look."""
        kinds = self._installation.lineup.kinds
        if self._to_begin_with:
            share = self._to_begin_with // len(kinds)
            self._unanswered += [self._drawn(kind, share) for kind in kinds]
            self._to_begin_with = 0
        self._give()
        waiting = dict(
            self._installation.rows(
                "SELECT kind, count(*) FROM jobs_job WHERE status = 'QUEUED' GROUP BY kind ORDER BY kind"
            )
        )
        self._unanswered += [
            self._drawn(kind, self._topped_up) for kind in kinds if waiting.get(kind, 0) < WAITING
        ]
        self._give()

    def poison(self) -> list[int]:
        """One job whose prompt ends the worker each time it is rendered."""
        order = self._drawn(self._rng.choice(self._installation.lineup.kinds), 1, f"the {POISON} lamp glows")
        self._unanswered.append(order)
        return self._give()

    def _drawn(self, kind: str, count: int, prompt: str = "") -> _Order:
        """A folder of pictures that are all different; every other one has a caption of its own."""
        self._folders += 1
        folder = self._installation.aside / f"{kind}-{self._folders}"
        folder.mkdir()
        for number in range(count):
            blocks = Image.frombytes("RGB", (8, 8), self._rng.randbytes(8 * 8 * 3))
            blocks.resize((SIDE_PX, SIDE_PX)).save(folder / f"{number:04}.png")
            if number % 2 and not prompt:
                caption = f"the lamp {self._rng.choice(ACTS)}, number {number}"
                (folder / f"{number:04}.txt").write_text(caption, encoding="utf-8")
        return _Order(folder, kind, prompt or f"the harbour {self._rng.choice(ACTS)}", self._folders)

    def _give(self) -> list[int]:
        """Every order that waits for its answer; the jobs of the last one."""
        made: list[int] = []
        while self._unanswered:
            made = self._submit(self._unanswered[0])
            order = self._unanswered.pop(0)
            self.submitted.update(made)
            if POISON in order.prompt:
                self.poisoned.update(made)
        return made

    def _submit(self, order: _Order) -> list[int]:
        words = [
            str(order.folder),
            "--kind",
            order.kind,
            "--prompt",
            order.prompt,
            *_set(SETTINGS[order.kind]),
        ]
        words += ["--key", order.folder.name, "--seed", str(order.seed), "--json"]
        try:
            said = self._installation.manage("submit_pack", *words, timeout_s=SUBMIT_S)
        except subprocess.TimeoutExpired as exc:
            raise ConsoleError(f"submit_pack did not end within {SUBMIT_S:g} s") from exc
        ids: list[int] = json.loads(said)["job_ids"]
        wanted = len(list(order.folder.glob("*.png")))
        if len(ids) != wanted:
            raise ConsoleError(f"{wanted} pictures made {len(ids)} jobs")
        return ids


def _set(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]
