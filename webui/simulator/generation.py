"""txt2img and img2img: from checked fields to pictures and `info`, in the server's own order of refusals."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from webui.simulator import adetailer, refiner
from webui.simulator.answers import EscapedError
from webui.simulator.catalog import SimulatedCatalog
from webui.simulator.checkpoints import Checkpoints
from webui.simulator.checks import check_init_count, check_numbers
from webui.simulator.composing import flat, grid
from webui.simulator.detailing import Detailer, Subject
from webui.simulator.dialects import Dialect
from webui.simulator.files import hash_of, stem
from webui.simulator.options import Options
from webui.simulator.painting import Painter
from webui.simulator.parameters import Facts
from webui.simulator.pictures import check_memory
from webui.simulator.sampling import Sampler, img2img_steps
from webui.simulator.second_pass import SecondPass, check_sampler, planned
from webui.simulator.state import State


@dataclass
class Studio:
    """What a generation works with."""

    dialect: Dialect
    catalog: SimulatedCatalog
    checkpoints: Checkpoints
    options: Options
    state: State


@dataclass(frozen=True)
class Inputs:
    """A checked request; of img2img also its decoded pictures."""

    kind: str
    """txt2img or img2img."""
    fields: dict[str, Any]
    inits: tuple[Image.Image, ...] = ()
    mask: Image.Image | None = None


@dataclass
class Product:
    """The pictures of one request with the text of each, and the `info` that goes with them."""

    pictures: list[tuple[Image.Image, str]]
    info: str
    interrupted: bool
    skipped: bool


def generate(inputs: Inputs, studio: Studio, sampler: Sampler) -> Product:
    """Draw everything that the request asks for. Raises EscapedError or RefusedError as recorded.

    `state.begin` has been called. A checkpoint named in `override_settings` is loaded in here, while
    progress reads job_count -1; one that is not known leaves the current one, silently.
    """
    fields = inputs.fields
    overrides = dict(fields["override_settings"] or {})
    wanted = studio.checkpoints.find(overrides.get("sd_model_checkpoint"))
    if wanted is None:
        overrides.pop("sd_model_checkpoint", None)
        if fields["override_settings"] and not studio.dialect.echoes_refused_overrides:
            fields["override_settings"].pop("sd_model_checkpoint", None)
    if fields["script_name"]:
        raise EscapedError("NotImplementedError", f"the simulator runs no scripts: {fields['script_name']}")
    before = studio.options.override(overrides)
    try:
        studio.checkpoints.load(wanted or studio.options.checkpoint)
        return _Generation(inputs, studio, sampler).run()
    finally:
        if fields["override_settings_restore_afterwards"]:
            studio.options.restore(before)


class _Generation:
    """One request while it is drawn."""

    def __init__(self, inputs: Inputs, studio: Studio, sampler: Sampler) -> None:
        self.kind, self.fields = inputs.kind, inputs.fields
        self.inits, self.mask = inputs.inits, inputs.mask
        self.studio, self.sampler, self.state = studio, sampler, studio.state
        if self.kind == "img2img":
            check_init_count(len(self.inits), self.fields["batch_size"])
        check_numbers(self.kind, self.fields)
        self.subject_steps = self.fields["steps"]
        self.detailer = self._detailer()
        self.base = studio.checkpoints.loaded or studio.options.checkpoint
        self.refiner = refiner.wanted(self.fields, studio.checkpoints)
        self.facts = self._facts()
        self.second = self._second_pass()
        size = (self.fields["width"] // 8 * 8, self.fields["height"] // 8 * 8)
        if self.second:
            size = self.second.size
            self.facts.extra = self.second.said | self.facts.extra
            check_memory(*size, len(self.facts.seeds))
        if self.detailer:
            self.facts.extra = self.detailer.request.shown() | self.facts.extra
        self.painter = Painter(
            kind=self.kind,
            fields=self.fields,
            facts=self.facts,
            base=self.base,
            size=size,
            init=self.inits[0] if self.inits else None,
            mask=inputs.mask,
            second=self.second,
            refiner=self.refiner,
            catalog=studio.catalog,
            init_upscaler=studio.catalog.upscaler_used(studio.options.values["upscaler_for_img2img"]),
        )

    def run(self) -> Product:
        fields, state = self.fields, self.state
        rounds = fields["n_iter"]
        state.job_count = rounds * (2 if self.second else 1)
        images: list[Image.Image] = []
        for index in range(rounds):
            state.skipped = False
            if state.interrupted:
                break
            if rounds > 1:
                state.job = f"Batch {index + 1} out of {rounds}"
            images += self._iteration(index)
            state.next_job()
        return self._product(images)

    def _iteration(self, index: int) -> list[Image.Image]:
        size = self.fields["batch_size"]
        indexes = range(index * size, (index + 1) * size)
        self.studio.checkpoints.load(self.base)
        batch = [self.painter.landscape(index) for index in indexes]
        self.state.preview_source = batch[0]
        share = self._sampled(self._steps(), is_second=False)
        if self.second:
            share = min(share, self._sampled_again(self.second))
        self.facts.extra |= self.refiner.shown() if self.refiner else {}
        finished = [
            self.painter.finished(picture, index, share)
            for picture, index in zip(batch, indexes, strict=True)
        ]
        seeds = [self.facts.seeds[index] for index in indexes]
        return [self._detailed(picture, seed) for picture, seed in zip(finished, seeds, strict=True)]

    def _sampled(self, steps: int, *, is_second: bool) -> float:
        """One pass. The refiner works in the last one only, unless the server's settings say otherwise."""
        passes = {"first pass": [False], "second pass": [True]}
        named = self.studio.options.values["hires_fix_refiner_pass"]
        refines = not self.second or is_second in passes.get(named, [False, True])
        return self.sampler.run(steps, self.refiner.at_step if self.refiner and refines else None)

    def _sampled_again(self, second: SecondPass) -> float:
        self.state.next_job()
        if self.studio.dialect.needs_hires_modules and self.fields["hr_additional_modules"] is None:
            raise EscapedError("TypeError", "argument of type 'NoneType' is not iterable")
        if self.fields["denoising_strength"] is None:
            raise EscapedError("TypeError", "'>' not supported between instances of 'NoneType' and 'int'")
        check_sampler(second, self.studio.catalog)
        if second.checkpoint:
            self.studio.checkpoints.load(second.checkpoint)
        return self._sampled(second.steps, is_second=True)

    def _steps(self) -> int:
        steps: int = self.fields["steps"]
        return img2img_steps(steps, self.fields["denoising_strength"]) if self.inits else steps

    def _detailer(self) -> Detailer | None:
        """ADetailer's passes, where it is installed and asked for; a pass that it skips is cut short here."""
        catalog = self.studio.catalog
        request = adetailer.asked(self.kind, self.fields) if catalog.installed.adetailer else None
        if request is None:
            return None
        if request.skip_img2img:
            self.fields = self.fields | adetailer.SKIPPED_PASS
        return Detailer(request, self.sampler, self.state, catalog)

    def _detailed(self, picture: Image.Image, seed: int) -> Image.Image:
        if self.detailer is None:
            return picture
        if self.detailer.request.skip_img2img:
            picture = flat(self.inits[0]).copy()
        facts = self.facts
        details = f"{self.base.name}:{facts.vae}:{facts.modules}:{facts.clip_skip}:"
        details += self.studio.catalog.networks(facts.prompt, facts.negative)
        subject = Subject(facts.prompt, facts.negative, seed, self.subject_steps, details)
        return self.detailer.improve(picture, subject)

    def _second_pass(self) -> SecondPass | None:
        used = {"sampler": self.facts.sampler, "schedule": self.facts.extra.get("Schedule type")}
        return planned(self.fields, self.studio.catalog, self.studio.checkpoints, used)

    def _product(self, images: list[Image.Image]) -> Product:
        fields, facts, state = self.fields, self.facts, self.state
        infotexts = [facts.infotext(index) for index in range(len(images))]
        first = 0
        if fields["save_images"] and len(images) > 1:
            images = [grid(images), *images]
            infotexts = [infotexts[0], *infotexts]
            first = 1
        pictures = list(zip(images, infotexts, strict=True)) if fields["send_images"] else []
        return Product(pictures, facts.info(infotexts, first), state.interrupted, state.skipped)

    def _facts(self) -> Facts:
        fields, studio = self.fields, self.studio
        count = fields["batch_size"] * fields["n_iter"]
        seed = _seed(fields["seed"])
        subseed = _seed(fields["subseed"], like=f"{seed}:{fields['prompt']}")
        name, schedule = studio.dialect.sampling(
            studio.catalog, fields["sampler_name"] or fields["sampler_index"], fields["scheduler"]
        )
        extra: dict[str, Any] = {}
        if self.kind == "img2img":
            extra["Denoising strength"] = fields["denoising_strength"]
            extra |= {"Mask blur": fields["mask_blur"] or fields["mask_blur_x"]} if self.mask else {}
        label = studio.catalog.schedule_label(name, schedule)
        extra |= {"Schedule type": label} if label else {}
        extra |= _networks_told(studio, fields)
        vae = studio.options.vae_name(studio.catalog.has_vae)
        modules = studio.options.modules(studio.catalog.has_vae)
        extra |= {f"Module {number}": stem(name) for number, name in enumerate(modules, start=1)}
        return Facts(
            fields=fields,
            prompt=fields["prompt"],
            negative=fields["negative_prompt"],
            seeds=[seed + (index if fields["subseed_strength"] == 0 else 0) for index in range(count)],
            subseeds=[subseed + index for index in range(count)],
            sampler=name,
            checkpoint=self.base.name,
            checkpoint_hash=self.base.short_hash,
            vae=vae,
            modules=modules,
            vae_hash=hash_of("vae", vae)[:10] if vae else None,
            clip_skip=studio.options.clip_skip(),
            job_timestamp=self.state.job_timestamp,
            version=studio.dialect.version,
            schedule=schedule,
            extra=extra,
        )


def _networks_told(studio: Studio, fields: dict[str, Any]) -> dict[str, str]:
    """What the infotext tells of LoRAs and embeddings, where the settings allow it."""
    catalog, values = studio.catalog, studio.options.values
    told: dict[str, str] = {}
    hashes = catalog.lora_hashes(fields["prompt"])
    if hashes and values.get("lora_add_hashes_to_infotext", True):
        told["Lora hashes"] = hashes
    embeddings = catalog.embeddings_used(f"{fields['prompt']} {fields['negative_prompt']}")
    if embeddings and values.get("textual_inversion_add_hashes_to_infotext", True):
        told |= studio.dialect.embeddings_told(embeddings)
    return told


def settled_seeds(inputs: Inputs) -> Inputs:
    """The same request with its seeds chosen, so that it gives the same pictures as often as it is drawn."""
    fields = inputs.fields
    seed = _seed(fields["seed"])
    subseed = _seed(fields["subseed"], like=f"{seed}:{fields['prompt']}")
    return replace(inputs, fields=fields | {"seed": seed, "subseed": subseed})


def _seed(value: int | None, like: str | None = None) -> int:
    """The given seed, or for -1 and null a new one: by chance, or derived from `like`."""
    if value is not None and value != -1:
        return value
    if like is not None:
        return int.from_bytes(hashlib.sha256(json.dumps(like).encode()).digest()[:4])
    return random.randrange(4294967294)  # noqa: S311 - a seed, not a secret
