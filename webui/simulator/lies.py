"""The lies that a server tells by drawing something else than was asked: each a change, and what the answer says.

Lies of the finished answer (swapped, stale or black pictures) are in `spoiling`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from webui.simulator.catalog import Installed, SimulatedCatalog
from webui.simulator.generation import Inputs, Studio
from webui.simulator.lying import Change, Lie, Tells

MISSING = "simulated-missing"
"""A name that no list has."""


def _request(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    """A lie that uses other fields; `change` gives those that differ."""

    def act(inputs: Inputs, studio: Studio) -> tuple[Inputs, Studio]:
        return replace(inputs, fields=inputs.fields | change(inputs.fields)), studio

    return act


def _option(name: str, other: Callable[[Any], Any]) -> Change:
    """A lie that uses another setting of the server, given the one that the request asks for (None: none)."""

    def changed(fields: dict[str, Any]) -> dict[str, Any]:
        overrides = dict(fields.get("override_settings") or {})
        return {"override_settings": overrides | {name: other(overrides.get(name))}}

    return _request(changed)


def _lists(change: Callable[[Installed, dict[str, Any]], Installed]) -> Change:
    """A lie that works as if something else were installed than the lists tell."""

    def act(inputs: Inputs, studio: Studio) -> tuple[Inputs, Studio]:
        catalog = studio.catalog
        installed = change(catalog.installed, inputs.fields)
        return inputs, replace(studio, catalog=SimulatedCatalog(catalog.document, installed))

    return act


# --- things that are there and are not used ---------------------------------------------------------------


def _no_schedule(inputs: Inputs, studio: Studio) -> tuple[Inputs, Studio]:
    catalog, asked = studio.catalog, inputs.fields["scheduler"]
    others = [
        known for known in catalog.document["schedulers"] if asked not in (known["name"], known["label"])
    ]
    document = catalog.document | {"schedulers": others}
    return inputs, replace(studio, catalog=SimulatedCatalog(document, catalog.installed))


def _first_sampler(inputs: Inputs, studio: Studio) -> tuple[Inputs, Studio]:
    asked = inputs.fields["sampler_name"] or inputs.fields["sampler_index"]
    other = next(name for name in studio.catalog.sampler_options if not asked.startswith(name))
    return _request(lambda fields: {"sampler_name": other, "scheduler": None})(inputs, studio)


def _lacks(kind: str, **left: Any) -> Change:
    """As if nothing of this kind were there but what is `left`, by the field that lists it."""
    return _lists(lambda installed, fields: replace(installed, any_name=installed.any_name - {kind}, **left))


def _first_lora_only(inputs: Inputs, studio: Studio) -> tuple[Inputs, Studio]:
    used = studio.catalog.loras_used(inputs.fields.get("prompt") or "")
    return _lacks("LoRA", loras=tuple(used)[:1])(inputs, studio)


def _without_weights(installed: Installed, fields: dict[str, Any]) -> Installed:
    overrides = fields.get("override_settings") or {}
    asked = (fields.get("upscaler_1"), fields.get("hr_upscaler"), overrides.get("upscaler_for_img2img"))
    bare = (
        *installed.bare_upscalers,
        *installed.upscalers,
        *(asked if "upscaler" in installed.any_name else ()),
    )
    names = tuple(name for name in bare if isinstance(name, str))
    return replace(installed, upscalers=(), bare_upscalers=names, any_name=installed.any_name - {"upscaler"})


def _not_upscaled(inputs: Inputs, studio: Studio) -> tuple[Inputs, Studio]:
    fields = inputs.fields
    if inputs.kind == "txt2img":
        fields = fields | {"enable_hr": False}
    elif inputs.kind == "img2img" and inputs.inits:
        width, height = inputs.inits[0].size
        fields = fields | {"width": width, "height": height}
    elif inputs.kind == "extras":
        fields = fields | {"upscaler_1": "None"}
    return replace(inputs, fields=fields), studio


def _another_checkpoint(inputs: Inputs, studio: Studio) -> tuple[Inputs, Studio]:
    asked = (inputs.fields["override_settings"] or {}).get("sd_model_checkpoint")
    wanted = studio.checkpoints.find(asked) or studio.options.checkpoint
    other = studio.checkpoints.other_than(wanted).title
    return _option("sd_model_checkpoint", lambda asked: other)(inputs, studio)


LIES: dict[str, Lie] = {
    "lora-ignored": Lie(
        _lacks("LoRA", loras=()),
        "draws without its LoRAs, as where their files are gone",
    ),
    "lora-ignored-hidden": Lie(
        _lacks("LoRA", loras=()),
        "the same, and tells their hashes",
        Tells.ASKED,
    ),
    "lora-first-only": Lie(_first_lora_only, "draws with the first of its LoRAs only"),
    "lora-other-file": Lie(
        _lists(lambda installed, fields: replace(installed, lora_files="another")),
        "draws with another file of its LoRA's name, and tells that file's hash",
    ),
    "embedding-ignored": Lie(
        _lists(lambda installed, fields: replace(installed, embeddings=())),
        "takes the name of an embedding for words",
    ),
    "vae-ignored": Lie(
        _lacks("VAE", vaes=()),
        "draws with the checkpoint's own VAE",
    ),
    "scheduler-ignored": Lie(_no_schedule, "draws as if it did not know the scheduler"),
    "sampler-replaced": Lie(_first_sampler, "draws with the first sampler of its list, and says so"),
    "hr-scheduler-ignored": Lie(
        _request(lambda fields: {"hr_scheduler": MISSING}),
        "draws the second pass as if it did not know its scheduler",
    ),
    "hr-upscaler-other": Lie(
        _request(
            lambda fields: {"hr_upscaler": "Lanczos" if fields["hr_upscaler"] != "Lanczos" else "Latent"}
        ),
        "draws the second pass with another upscaler, and says so",
    ),
    "upscaler-without-weights": Lie(
        _lists(_without_weights), "resizes plainly, and names the upscaler", strikes_extras=True
    ),
    "img2img-upscaler-ignored": Lie(
        _option("upscaler_for_img2img", lambda asked: MISSING), "resizes the picture of an img2img plainly"
    ),
    "upscale-not-done": Lie(
        _not_upscaled, "leaves out hires fix or upscale, and tells of it", Tells.ASKED, strikes_extras=True
    ),
    "face-restorer-missing": Lie(
        _lacks("face restorer", face_restorers=()),
        "restores no face, and tells of it",
        strikes_extras=True,
    ),
    "detector-missing": Lie(
        _lacks("detector", detectors=()),
        "does not have the detector, and tells of it",
    ),
    "refiner-ignored": Lie(
        _request(lambda fields: {"refiner_checkpoint": None}),
        "draws without the refiner, and says nothing of it",
    ),
    "refiner-ignored-hidden": Lie(
        _request(lambda fields: {"refiner_checkpoint": None}),
        "draws without the refiner, and tells of it",
        Tells.ASKED,
    ),
    "wrong-checkpoint": Lie(_another_checkpoint, "answers 200, drawn with another one, and says so"),
    "wrong-checkpoint-hidden": Lie(
        _another_checkpoint, "the same, and tells the one that was asked for", Tells.ASKED
    ),
    "clip-skip-other": Lie(
        _option("CLIP_stop_at_last_layers", lambda asked: 1 if asked != 1 else 2),
        "skips other layers of CLIP, and says so",
    ),
    "clip-skip-ignored": Lie(
        _option("CLIP_stop_at_last_layers", lambda asked: 1 if asked != 1 else 2),
        "the same, and tells the number that was asked for",
        Tells.ASKED,
    ),
    "wrong-seed": Lie(
        _request(lambda fields: {"seed": fields["seed"] + 1000}), "draws another seed, and says so"
    ),
    "wrong-seed-hidden": Lie(
        _request(lambda fields: {"seed": fields["seed"] + 1000}),
        "the same, and tells the seed asked for",
        Tells.ASKED,
    ),
    "seed-of-another": Lie(
        _request(lambda fields: {"seed": fields["seed"] + 1}),
        "gives each picture that of the next seed; only the picture's own text says so",
        Tells.ASKED_IN_INFO,
    ),
    "wrong-subseed": Lie(
        _request(lambda fields: {"subseed": fields["subseed"] + 1000}), "draws another variation, and says so"
    ),
    "steps-fewer": Lie(
        _request(lambda fields: {"steps": max(1, fields["steps"] // 2)}),
        "takes half of the steps, and says so",
    ),
    "steps-fewer-hidden": Lie(
        _request(lambda fields: {"steps": max(1, fields["steps"] // 2)}),
        "the same, and tells those that were asked for",
        Tells.ASKED,
    ),
    "cfg-other": Lie(
        _request(lambda fields: {"cfg_scale": fields["cfg_scale"] + 3}), "draws with another CFG, and says so"
    ),
    "denoising-other": Lie(
        _request(lambda fields: {"denoising_strength": (fields["denoising_strength"] or 0.0) / 2 + 0.05}),
        "denoises less, and says so",
    ),
}
