"""Checkpoints: those that are installed, and the one that is loaded."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import Any

from webui.simulator.answers import EscapedError
from webui.simulator.files import ROOT, hash_of, stem
from webui.simulator.log import say

TITLE = re.compile(r"(.*?)(?: \[(\w+)\])?", re.DOTALL)


@dataclass
class Checkpoint:
    """One checkpoint. Its hash shows only after it was loaded once, as on the real server."""

    name: str
    sha256: str
    hashed: bool = False

    @property
    def short_hash(self) -> str:
        return self.sha256[:10]

    @property
    def title(self) -> str:
        file_name = f"{self.name}.safetensors"
        return f"{file_name} [{self.short_hash}]" if self.hashed else file_name

    @property
    def short_title(self) -> str:
        """As infotexts name it, next to the one that made the picture."""
        return f"{self.name} [{self.short_hash}]"

    @property
    def path(self) -> str:
        return str(ROOT / "models/Stable-diffusion" / f"{self.name}.safetensors")

    def answers_to(self, alias: str) -> bool:
        file_name = f"{self.name}.safetensors"
        return alias in {self.name, file_name, self.path, f"{file_name} [{self.short_hash}]"} or (
            self.hashed and alias in {self.short_hash, self.sha256}
        )

    def shown(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "model_name": self.name,
            "hash": self.short_hash if self.hashed else None,
            "sha256": self.sha256 if self.hashed else None,
            "filename": self.path,
            "config": self.path.removesuffix(".safetensors") + ".yaml",
        }


class Checkpoints:
    """All checkpoints, and the loaded one. Loading one that is not loaded takes `load_seconds`.

    With `any_name` a checkpoint that is asked for and not there appears, with the hash that was asked for.
    """

    def __init__(self, names: list[str], load_seconds: float, *, any_name: bool = False) -> None:
        self.all = [Checkpoint(name, hash_of("checkpoint", name)) for name in map(stem, names)]
        self.load_seconds = load_seconds
        self.any_name = any_name
        self.loaded: Checkpoint | None = None
        self._leftover = Checkpoint("leftover-v1", hash_of("checkpoint", "leftover-v1"))
        self._guard = threading.Lock()

    def find(self, alias: object) -> Checkpoint | None:
        if not isinstance(alias, str):
            return None
        known = next((one for one in (*self.all, self._leftover) if one.answers_to(alias)), None)
        return self._appear(alias) if known is None and self.any_name and alias else known

    def required(self, alias: str) -> Checkpoint:
        """For the refiner and the hires fix. Raises EscapedError where there is none of this name."""
        found = self.find(alias)
        if found is None:
            raise EscapedError("Exception", f"Could not find checkpoint with name {alias}")
        return found

    def other_than(self, checkpoint: Checkpoint) -> Checkpoint:
        """One that is installed, or else one that no list tells of."""
        return next((other for other in self.all if other is not checkpoint), self._leftover)

    def _appear(self, alias: str) -> Checkpoint:
        title = TITLE.fullmatch(alias)
        name, short_hash = title.groups() if title else (alias, None)
        own = stem(re.split(r"[\\/]", name)[-1])
        checkpoint = Checkpoint(own, (short_hash or "") + hash_of("checkpoint", own)[len(short_hash or "") :])
        self.all.append(checkpoint)
        return checkpoint

    def load(self, checkpoint: Checkpoint) -> None:
        """Return once this checkpoint is the loaded one."""
        with self._guard:
            if self.loaded is checkpoint:
                return
            say(f"Loading weights [{checkpoint.short_hash}] from {checkpoint.path}")
            time.sleep(self.load_seconds)
            checkpoint.hashed = True
            self.loaded = checkpoint
            say(f"Model loaded in {self.load_seconds:.1f}s (simulated).")

    def wait_until_loaded(self, default: Checkpoint) -> None:
        """What a job does before it begins: wait for the load at start, or load again after an unload."""
        if self.loaded is None:
            self.load(default)

    def unload(self) -> None:
        with self._guard:
            self.loaded = None
