"""Pictures of one generation: what each pass leaves in them, and the words a person reads on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from webui.simulator import drawing
from webui.simulator.catalog import SimulatedCatalog, plain_words
from webui.simulator.checkpoints import Checkpoint
from webui.simulator.composing import fitted, flat
from webui.simulator.parameters import Facts
from webui.simulator.refiner import Refiner
from webui.simulator.second_pass import SecondPass


@dataclass(frozen=True)
class Painter:
    """Draws with what is known before sampling; the refiner tells afterwards whether it came to work."""

    kind: str
    """txt2img or img2img."""
    fields: dict[str, Any]
    facts: Facts
    base: Checkpoint
    size: tuple[int, int]
    init: Image.Image | None
    mask: Image.Image | None
    second: SecondPass | None
    refiner: Refiner | None
    catalog: SimulatedCatalog
    init_upscaler: str
    """The one that enlarges the picture of an img2img."""

    def landscape(
        self, index: int, *, checkpoint: Checkpoint | None = None, prompt: str | None = None
    ) -> Image.Image:
        """The picture of this index as one checkpoint draws it from one prompt; both of the first pass, if not said.

        What was truly used is all in it: the same gives the same pixels, anything else other ones.
        """
        facts, words = self.facts, prompt or self.facts.prompt
        shape = f"{facts.seeds[index]}:{(checkpoint or self.base).name}:{plain_words(facts.prompt)}:{facts.negative}"
        shape += self.catalog.networks(words, facts.negative) + facts.variation(index)
        picture = drawing.landscape(shape, plain_words(words), *self.size, self.details)
        if self.init is None:
            return picture
        init = fitted(flat(self.init), self.size, self.fields["resize_mode"], self.init_upscaler)
        blended = Image.blend(init, picture, self._strength)
        return (
            Image.composite(blended, init, self.mask.convert("L").resize(self.size)) if self.mask else blended
        )

    @property
    def details(self) -> str:
        """What shows in small things: how it was sampled, and what came after."""
        facts, fields = self.facts, self.fields
        schedule = facts.extra.get("Schedule type")
        parts = [
            facts.sampler,
            schedule if schedule != "Uniform" else None,
            fields["steps"],
            fields["cfg_scale"],
        ]
        parts += [facts.vae, facts.clip_skip, *facts.modules]
        parts += [self.second.details] if self.second else []
        parts += [fields["denoising_strength"]] if self.init or self.second else []
        return repr(parts)

    def _worked_over(self, picture: Image.Image, index: int) -> Image.Image:
        """With what a second pass of other words or another checkpoint, and a refiner, change in it."""
        second, refiner = self.second, self.refiner
        if second and (second.prompt or second.checkpoint):
            again = self.landscape(index, checkpoint=second.checkpoint, prompt=second.prompt)
            picture = Image.blend(picture, again, self._strength)
        if refiner and refiner.share:
            prompt = second.prompt if second else None
            refined = self.landscape(index, checkpoint=refiner.checkpoint, prompt=prompt)
            picture = Image.blend(picture, refined, refiner.share)
        return picture

    def finished(self, picture: Image.Image, index: int, share: float) -> Image.Image:
        """A landscape after this share (0-1) of its steps, with its caption."""
        picture = self._worked_over(picture, index)
        if share < 1:
            picture = drawing.half_finished(picture, share)
        words = self.second.prompt if self.second else None
        words = plain_words(words or self.facts.prompt)
        text = drawing.Caption(self._badge(), words, self._fact_line(self.facts.seeds[index]))
        drawing.caption(picture, text, covers_another=self.init is not None)
        return picture

    @property
    def _strength(self) -> float:
        return min(max(float(self.fields["denoising_strength"]), 0.0), 1.0)

    def _badge(self) -> str:
        fields = self.fields
        parts = [self.kind]
        if self.kind == "img2img":
            parts += [f"denoising {fields['denoising_strength']:g}"] + (["masked"] if self.mask else [])
        if self.second:
            parts = [f"txt2img + hires fix  ·  {fields['width']}x{fields['height']} to {self.second.sign}"]
        if self.refiner and self.refiner.has_worked:
            parts += [f"refiner {self.refiner.checkpoint.name} from {self.refiner.switch_at or 0:g}"]
        return "  ·  ".join(parts)

    def _fact_line(self, seed: int) -> str:
        fields, facts = self.fields, self.facts
        schedule = facts.extra.get("Schedule type")
        parts = [f"seed {seed}", f"{self.size[0]}x{self.size[1]}", f"{fields['steps']} steps", facts.sampler]
        parts += [schedule] if schedule else []
        parts += [f"CFG {fields['cfg_scale']:g}", facts.checkpoint]
        parts += [facts.vae] if facts.vae else list(facts.modules)
        parts += [f"clip skip {facts.clip_skip}"] if facts.clip_skip > 1 else []
        return "  ·  ".join(parts)
