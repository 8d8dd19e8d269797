"""What the server has installed: checkpoints (and which is loaded), LoRAs, VAEs, samplers, upscalers."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from webui.simulator import adetailer
from webui.simulator.answers import EscapedError
from webui.simulator.log import say

ROOT = PurePosixPath("/srv/webui")
LORA_TAG = re.compile(r"<lora:([^:>]+)")
TITLE = re.compile(r"(.*?)(?: \[(\w+)\])?", re.DOTALL)
WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt")


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
        self.all = [Checkpoint(name, _hash_of("checkpoint", name)) for name in map(_stem, names)]
        self.load_seconds = load_seconds
        self.any_name = any_name
        self.loaded: Checkpoint | None = None
        self._guard = threading.Lock()

    def find(self, alias: object) -> Checkpoint | None:
        if not isinstance(alias, str):
            return None
        known = next((checkpoint for checkpoint in self.all if checkpoint.answers_to(alias)), None)
        return self._appear(alias) if known is None and self.any_name and alias else known

    def required(self, alias: str) -> Checkpoint:
        """For the refiner and the hires fix. Raises EscapedError where there is none of this name."""
        found = self.find(alias)
        if found is None:
            raise EscapedError("Exception", f"Could not find checkpoint with name {alias}")
        return found

    def other_than(self, checkpoint: Checkpoint) -> Checkpoint:
        """One that is installed, or else one that no list tells of."""
        leftover = Checkpoint("leftover-v1", _hash_of("checkpoint", "leftover-v1"))
        return next((other for other in self.all if other is not checkpoint), leftover)

    def _appear(self, alias: str) -> Checkpoint:
        title = TITLE.fullmatch(alias)
        name, short_hash = title.groups() if title else (alias, None)
        stem = _stem(re.split(r"[\\/]", name)[-1])
        checkpoint = Checkpoint(
            stem, (short_hash or "") + _hash_of("checkpoint", stem)[len(short_hash or "") :]
        )
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


class SimulatedCatalog:
    def __init__(
        self,
        document: dict[str, Any],
        loras: list[str],
        vaes: list[str],
        *,
        any_name: bool = False,
        has_adetailer: bool = False,
    ) -> None:
        self.any_name = any_name
        self.has_adetailer = has_adetailer
        self.loras = [_stem(name) for name in loras]
        self.vaes = list(vaes)
        self.document = document
        self.sampler_options: dict[str, dict[str, Any]] = {
            sampler["name"]: sampler["options"] for sampler in self.document["samplers"]
        }
        self.upscaler_names = {upscaler["name"] for upscaler in self.document["upscalers"]}
        self.latent_modes = {mode["name"] for mode in self.document["latent_upscale_modes"]}

    def shown_loras(self) -> list[dict[str, Any]]:
        folder = ROOT / "models/Lora"
        return [
            {"name": name, "alias": name, "path": str(folder / f"{name}.safetensors"), "metadata": {}}
            for name in self.loras
        ]

    def shown_vaes(self) -> list[dict[str, Any]]:
        return [{"model_name": name, "filename": str(ROOT / "models/VAE" / name)} for name in self.vaes]

    def scripts(self, kind: str) -> list[str]:
        """Of txt2img or img2img, in the server's order: installed extensions before the built-in rest."""
        names: list[str] = self.document["scripts"][kind]
        if not self.has_adetailer:
            return names
        at = names.index("refiner")
        return [*names[:at], adetailer.TITLE.lower(), *names[at:]]

    def always_on(self, kind: str) -> set[str]:
        """In lower case; selectable scripts are listed before these."""
        names = self.scripts(kind)
        return {name.lower() for name in names[names.index("extra options") :]}

    def shown_script_info(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.document["script_info"]
        if not self.has_adetailer:
            return entries
        return [*entries, *(adetailer.SCRIPT_INFO | {"is_img2img": kind} for kind in (False, True))]

    def has_upscaler(self, name: str) -> bool:
        return self.any_name or name in self.upscaler_names

    def schedule_label(self, sampler: str, scheduler: str | None) -> str | None:
        """The label that the infotext carries: of the named scheduler, or of the sampler's own."""
        wanted = scheduler
        if wanted in (None, "", "Automatic", "automatic"):
            wanted = self.sampler_options[sampler].get("scheduler")
        for known in self.document["schedulers"]:
            if wanted in (known["name"], known["label"]):
                return str(known["label"])
        return None

    def lora_hashes(self, prompt: str) -> str | None:
        """`name: hash, ...` of the installed LoRAs that the prompt names; unknown ones are ignored."""
        used = dict.fromkeys(name for name in LORA_TAG.findall(prompt) if name in self.loras)
        return ", ".join(f"{name}: {_hash_of('lora', name)[:12]}" for name in used) or None


def _stem(name: str) -> str:
    suffix = next((suffix for suffix in WEIGHT_SUFFIXES if name.endswith(suffix)), "")
    return name.removesuffix(suffix)


def _hash_of(kind: str, name: str) -> str:
    return hashlib.sha256(f"{kind}:{name}".encode()).hexdigest()
