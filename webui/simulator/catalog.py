"""What the server has beside checkpoints, from its lists: LoRAs, embeddings, VAEs, samplers, upscalers, detectors.

A list may name what cannot be used: upscalers without weights, embeddings that do not fit. What a name then leads to
is here, too: silence, as on the real server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from webui.simulator import adetailer
from webui.simulator.files import ROOT, hash_of, stem

LORA_TAG = re.compile(r"<lora:([^:>]+)(?::([^>]*))?>")
NETWORK_TAG = re.compile(r"<\w+:[^>]+>")
"""What a prompt is stripped of before it is understood."""
PLAIN_UPSCALER = "Lanczos"
"""What a listed upscaler without weights comes down to."""
AUTOMATIC = (None, "", "Automatic", "automatic")
NO_VAE = ("", "None", "Automatic", "auto")
ANY_NAME = frozenset({"LoRA", "VAE", "upscaler", "detector", "face restorer"})
"""Kinds of which a server can pretend to have whatever a request names; embeddings are only words of a prompt."""


@dataclass(frozen=True)
class Installed:
    """What is installed beyond the recorded lists, and what of them can be used."""

    loras: tuple[str, ...] = ()
    vaes: tuple[str, ...] = ()
    embeddings: tuple[str, ...] = ()
    skipped_embeddings: tuple[str, ...] = ()
    """Listed as not fitting the loaded checkpoint; to a prompt they are words."""
    upscalers: tuple[str, ...] = ()
    """Their weights are here; those of the recorded lists are not, unless they are named here."""
    bare_upscalers: tuple[str, ...] = ()
    """Listed without weights, beside the recorded ones."""
    detectors: tuple[str, ...] | None = None
    """None: those that ADetailer brings."""
    face_restorers: tuple[str, ...] = ()
    """Those of the recorded list that have their model."""
    lora_files: str = ""
    """Which files lie under the LoRAs' names; another word stands for other files, with other hashes."""
    adetailer: bool = False
    any_name: frozenset[str] = frozenset()
    """Of these kinds everything that a request names is here, beside what the lists tell."""


class SimulatedCatalog:
    def __init__(self, document: dict[str, Any], installed: Installed = Installed()) -> None:
        self.document = document
        self.installed = installed
        self.loras = tuple(map(stem, installed.loras))
        self.embeddings = tuple(map(stem, installed.embeddings))
        self.vaes = installed.vaes
        self.sampler_options: dict[str, dict[str, Any]] = {
            sampler["name"]: sampler["options"] for sampler in document["samplers"]
        }
        self.latent_modes = {mode["name"] for mode in document["latent_upscale_modes"]}
        self._upscalers = {upscaler["name"]: upscaler for upscaler in self.shown_upscalers()}

    # --- lists --------------------------------------------------------------------------------------------

    def shown_loras(self) -> list[dict[str, Any]]:
        folder = ROOT / "models/Lora"
        return [
            {
                "name": name,
                "alias": name,
                "path": str(folder / f"{name}.safetensors"),
                "metadata": {"sshs_model_hash": hash_of("lora", name)},
            }
            for name in self.loras
        ]

    def shown_vaes(self) -> list[dict[str, Any]]:
        return [{"model_name": name, "filename": str(ROOT / "models/VAE" / name)} for name in self.vaes]

    def shown_embeddings(self) -> dict[str, dict[str, Any]]:
        def shown(names: tuple[str, ...], size: int) -> dict[str, Any]:
            facts = {"step": 0, "sd_checkpoint": None, "sd_checkpoint_name": None}
            return {stem(name): facts | {"shape": size, "vectors": 1} for name in names}

        return {
            "loaded": shown(self.installed.embeddings, 768),
            "skipped": shown(self.installed.skipped_embeddings, 1024),
        }

    def shown_upscalers(self) -> list[dict[str, Any]]:
        """The path of one whose weights are not here is an address, as on the real server."""
        installed = self.installed
        shown: list[dict[str, Any]] = [
            upscaler | {"model_path": _weights(upscaler["name"])} if self._is_fetched(upscaler) else upscaler
            for upscaler in self.document["upscalers"]
        ]
        known = {upscaler["name"] for upscaler in shown}
        paths = {name: f"https://models.example/{name}.pth" for name in installed.bare_upscalers}
        paths |= {name: _weights(name) for name in installed.upscalers}
        return shown + [
            {"name": name, "model_name": name, "model_path": path, "model_url": None, "scale": 4.0}
            for name, path in paths.items()
            if name not in known
        ]

    def _is_fetched(self, upscaler: dict[str, Any]) -> bool:
        installed = self.installed
        return bool(upscaler["model_path"]) and (
            "upscaler" in installed.any_name or upscaler["name"] in installed.upscalers
        )

    def scripts(self, kind: str) -> list[str]:
        """Of txt2img or img2img, in the server's order: installed extensions before the built-in rest."""
        names: list[str] = self.document["scripts"][kind]
        if not self.installed.adetailer:
            return names
        at = names.index("refiner")
        return [*names[:at], adetailer.TITLE.lower(), *names[at:]]

    def always_on(self, kind: str) -> set[str]:
        """In lower case; selectable scripts are listed before these."""
        names = self.scripts(kind)
        return {name.lower() for name in names[names.index("extra options") :]}

    def shown_script_info(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.document["script_info"]
        if not self.installed.adetailer:
            return entries
        return [*entries, *(adetailer.SCRIPT_INFO | {"is_img2img": kind} for kind in (False, True))]

    @property
    def detectors(self) -> tuple[str, ...]:
        own = self.installed.detectors
        return adetailer.detectors() if own is None else own

    # --- what a name leads to -----------------------------------------------------------------------------

    def has_detector(self, name: str) -> bool:
        return "detector" in self.installed.any_name or name in self.detectors

    def has_upscaler(self, name: str) -> bool:
        return "upscaler" in self.installed.any_name or name in self._upscalers

    def has_face_restorer(self, name: str) -> bool:
        """Whether its model is here."""
        return "face restorer" in self.installed.any_name or name in self.installed.face_restorers

    def has_vae(self, name: object) -> bool:
        if isinstance(name, str) and name not in NO_VAE and "VAE" in self.installed.any_name:
            return True
        return name in self.vaes

    def upscaler_used(self, name: str | None) -> str:
        """The one that does the work: a plain one for a listed name without weights, and for an unknown name."""
        if not name or name == "None" or not self.has_upscaler(name):
            return PLAIN_UPSCALER
        path = self._upscalers.get(name, {}).get("model_path")
        return PLAIN_UPSCALER if str(path).startswith(("http://", "https://")) else name

    def schedule_label(self, sampler: str, scheduler: str | None) -> str | None:
        """The label that the infotext carries: of the named scheduler, or of the sampler's own.

        None for an unknown one: the server samples by the model's own noise levels then, as it does for a sampler
        that has no schedule.
        """
        wanted = scheduler
        if wanted in AUTOMATIC:
            wanted = self.sampler_options[sampler].get("scheduler")
        for known in self.document["schedulers"]:
            if wanted in (known["name"], known["label"]):
                return str(known["label"])
        return None

    def loras_used(self, prompt: str) -> dict[str, str]:
        """The installed LoRAs that the prompt names, with their weights as written; unknown ones are ignored."""
        has_any = "LoRA" in self.installed.any_name
        return {name: weight for name, weight in LORA_TAG.findall(prompt) if has_any or name in self.loras}

    def lora_hashes(self, prompt: str) -> str | None:
        """`name: hash, ...` of the LoRAs that are used."""
        return ", ".join(f"{name}: {self._lora_hash(name)}" for name in self.loras_used(prompt)) or None

    def _lora_hash(self, name: str) -> str:
        return hash_of("lora", name + self.installed.lora_files)[:12]

    def embeddings_used(self, prompt: str) -> list[str]:
        """The loaded embeddings that the prompt names; case does not count, as the tokenizer ignores it."""
        words = plain_words(prompt).lower()
        return [
            name
            for name in self.embeddings
            if name.lower() in words and re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", words)
        ]

    def networks(self, prompt: str, negative: str) -> str:
        """Every LoRA and embedding that shapes a picture, by file and weight; "" where there is none."""
        loras = self.loras_used(prompt)
        used = [f"{self._lora_hash(name)}*{weight}" for name, weight in loras.items()]
        return "+".join([*used, *self.embeddings_used(f"{prompt} {negative}")])


def plain_words(prompt: str) -> str:
    """The prompt as the text encoder sees it, without the tags that ask for networks."""
    return NETWORK_TAG.sub("", prompt).strip()


def embedding_hash(name: str) -> str:
    return hash_of("embedding", name)[:12]


def _weights(name: str) -> str:
    return str(ROOT / "models/ESRGAN" / f"{name}.pth")
