"""The hires fix: size, prompt, sampler and checkpoint of the second pass, and its part of the infotext."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from webui.simulator.answers import EscapedError
from webui.simulator.catalog import SimulatedCatalog
from webui.simulator.checkpoints import Checkpoint, Checkpoints


@dataclass(frozen=True)
class SecondPass:
    size: tuple[int, int]
    steps: int
    prompt: str | None
    """Its own prompt; None repeats the first pass, like the sampler and the checkpoint."""
    sampler: str | None
    checkpoint: Checkpoint | None
    details: str
    """What else shows in the picture: the upscaler that did the work, the schedule, the steps."""
    said: dict[str, Any]
    """In the order of the infotext; None stands in `extra_generation_params` and not in the text."""

    @property
    def sign(self) -> str:
        """What a person reads on the picture about it."""
        parts = [f"{self.size[0]}x{self.size[1]}"]
        parts += [self.sampler] if self.sampler else []
        parts += [self.said["Hires schedule type"]] if self.said["Hires schedule type"] else []
        parts += [self.checkpoint.name] if self.checkpoint else []
        return "  ·  ".join(parts)


def planned(
    fields: dict[str, Any], catalog: SimulatedCatalog, checkpoints: Checkpoints, used: dict[str, Any]
) -> SecondPass | None:
    """None without `enable_hr`. `used`: the first pass's sampler and schedule label, None where automatic.

    Raises EscapedError where the upscaler or the checkpoint is not known.
    """
    if not fields.get("enable_hr"):
        return None
    checkpoint = _checkpoint(fields["hr_checkpoint_name"], checkpoints)
    upscaler = fields["hr_upscaler"]
    known = upscaler is None or upscaler in catalog.latent_modes or catalog.has_upscaler(upscaler)
    if not known:
        raise EscapedError("Exception", f"could not find upscaler named {upscaler}")
    sampler = fields["hr_sampler_name"]
    own_sampler = sampler if sampler is not None and sampler != used["sampler"] else None
    size, shown_size = _size(fields)
    said: dict[str, Any] = {"Denoising strength": fields["denoising_strength"]}
    said |= {"Hires checkpoint": checkpoint.short_title} if checkpoint else {}
    said |= {"Hires sampler": own_sampler} if own_sampler else {}
    said |= {
        "Hires prompt": _own(fields, "hr_prompt", "prompt"),
        "Hires negative prompt": _own(fields, "hr_negative_prompt", "negative_prompt"),
        "Hires schedule type": _schedule(fields, catalog, used),
    }
    said |= {"Hires CFG Scale": fields["hr_cfg"]} if "hr_cfg" in fields else {}
    said |= shown_size
    said |= {"Hires steps": fields["hr_second_pass_steps"]} if fields["hr_second_pass_steps"] else {}
    said |= {"Hires upscaler": upscaler} if upscaler is not None else {}
    steps = fields["hr_second_pass_steps"] or fields["steps"]
    does_the_work = upscaler if upscaler in catalog.latent_modes else catalog.upscaler_used(upscaler)
    details = repr((size, steps, own_sampler, _label(fields, catalog, used), does_the_work))
    return SecondPass(size, steps, said["Hires prompt"], own_sampler, checkpoint, details, said)


def check_sampler(second: SecondPass, catalog: SimulatedCatalog) -> None:
    """The second pass looks for its sampler only when the first is done. Raises EscapedError."""
    if second.sampler is not None and second.sampler not in catalog.sampler_options:
        raise EscapedError("AssertionError", f"bad sampler name: {second.sampler}")


def _own(fields: dict[str, Any], name: str, first: str) -> str | None:
    value = fields[name] or ""
    return value if value not in ("", fields[first]) else None


def _schedule(fields: dict[str, Any], catalog: SimulatedCatalog, used: dict[str, Any]) -> str | None:
    """The label of the second pass's schedule where it differs from the first one's."""
    label = _label(fields, catalog, used)
    return label if label != used["schedule"] else None


def _label(fields: dict[str, Any], catalog: SimulatedCatalog, used: dict[str, Any]) -> str | None:
    sampler = fields["hr_sampler_name"] or used["sampler"]
    if sampler not in catalog.sampler_options:
        return None
    return catalog.schedule_label(sampler, fields["hr_scheduler"] or fields["scheduler"])


def _checkpoint(name: str | None, checkpoints: Checkpoints) -> Checkpoint | None:
    return checkpoints.required(name) if name else None


def _size(fields: dict[str, Any]) -> tuple[tuple[int, int], dict[str, Any]]:
    """The size in pixels, multiples of 8, and how the infotext puts it."""
    width, height = fields["width"], fields["height"]
    x, y = fields["hr_resize_x"] or 0, fields["hr_resize_y"] or 0
    shown: dict[str, Any] = {"Hires resize": f"{x}x{y}"}
    if not x and not y:
        shown = {"Hires upscale": fields["hr_scale"]}
        x, y = int(width * fields["hr_scale"]), int(height * fields["hr_scale"])
    x, y = x or y * width // height, y or x * height // width
    return (max(8, x // 8 * 8), max(8, y // 8 * 8)), shown
