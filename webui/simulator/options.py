"""The server's settings as `/sdapi/v1/options` reads and writes them; wrong types hurt later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from webui.simulator.answers import EscapedError
from webui.simulator.checkpoints import Checkpoint, Checkpoints
from webui.simulator.dialects import Dialect
from webui.simulator.grammar import Rule


class Options:
    def __init__(self, checkpoints: Checkpoints, dialect: Dialect) -> None:
        self.dialect = dialect
        self.rules: dict[str, Rule] = dialect.document("options")["options"]
        self.values: dict[str, Any] = {name: rule["default"] for name, rule in self.rules.items()}
        self.checkpoints = checkpoints
        self.checkpoint = checkpoints.all[0]
        self._guard = threading.Lock()

    def shown(self) -> dict[str, Any]:
        """All settings. Raises EscapedError as long as one of them has a wrong type."""
        values = self.values | {
            "sd_model_checkpoint": self.checkpoint.title,
            "sd_checkpoint_hash": self.checkpoints.loaded.sha256 if self.checkpoints.loaded else "",
        }
        read = self.dialect.schema.response("Options", self.rules, values)
        return read if self.dialect.coerces_options else values

    def set(self, name: str, value: Any) -> None:
        """Raises EscapedError (KeyError) for a name that no setting has."""
        if name not in self.rules:
            raise EscapedError("KeyError", repr(name))
        with self._guard:
            if name == "sd_model_checkpoint":
                self.checkpoint = self.checkpoints.find(value) or self.checkpoint
            else:
                self.values[name] = value

    def checkpoint_named(self, alias: object) -> Checkpoint:
        """Raises EscapedError (RuntimeError) where a request to change the settings names no checkpoint."""
        found = self.checkpoints.find(alias)
        if found is None:
            raise EscapedError("RuntimeError", f"model {alias!r} not found")
        return found

    def override(self, overrides: dict[str, Any]) -> dict[str, Any]:
        """Take a request's `override_settings`; returns what `restore` needs. Raises EscapedError."""
        before = {
            name: self.checkpoint.title if name == "sd_model_checkpoint" else self.values[name]
            for name in overrides
            if name in self.rules
        }
        try:
            for name, value in overrides.items():
                self.set(name, value)
        except EscapedError:
            self.restore(before)
            raise
        return before

    def restore(self, before: dict[str, Any]) -> None:
        for name, value in before.items():
            self.set(name, value)

    def clip_skip(self) -> int:
        """Raises EscapedError where the setting is no number: jobs fail of it, the setting does not."""
        value = self.values["CLIP_stop_at_last_layers"]
        if isinstance(value, str):
            raise EscapedError("TypeError", "bad operand type for unary -: 'str'")
        return int(value)

    def vae_name(self, has: Callable[[object], bool]) -> str | None:
        """The VAE in use; one that is not installed is ignored silently, and on Forge every one of this setting."""
        name = self.values["sd_vae"]
        return name if has(name) and not self.dialect.has_modules else None

    def modules(self, has: Callable[[object], bool]) -> tuple[str, ...]:
        """Forge's modules in use, VAEs among them, by file name; those that are not installed are left out."""
        named = self.values["forge_additional_modules"] if self.dialect.has_modules else ()
        names = (PurePosixPath(str(name).replace("\\", "/")).name for name in named or ())
        return tuple(name for name in names if has(name))
