"""The lies: what the server does, who can know it, and what the check of results must say of it.

Two kinds. In the first the server lacks what is named and says nothing, as the recorded servers do; in the second it
has everything and lies by a fault of the simulator (`webui.simulator.lies`, `webui.simulator.spoiling`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from tests.truth.installation import (
    BARE_UPSCALER,
    CHECKPOINTS,
    DIALECTS,
    EMBEDDINGS,
    FACE_RESTORER,
    LORAS,
    VAES,
)
from tests.truth.orders import ADETAILER, IMG2IMG, PASS, TXT2IMG, UPSCALE, UPSCALE_BY_IMG2IMG, work
from webui.simulator.faults import KINDS
from webui.work.unit import Work

Order = Callable[[bytes], Work]
"""What is asked, given a picture that later stages may begin with."""


class Expected(StrEnum):
    """What the check must say at least; more is welcome."""

    DRIFT = "drift"
    REFUSED = "refused"
    """The answer is no result at all: the driver refuses it, or the server the request."""
    NOT_TOLD = "not told"
    """No witness: the setting must not count as verified."""
    NOBODY = "nobody can tell"
    """Every witness repeats the lie, and an honest answer would be the same, byte for byte, but for its pixels."""


class Witness(StrEnum):
    """By what a lie can be known."""

    LISTS = "the server's lists"
    INFO = "the answer's info and texts"
    PICTURE = "the picture's own text"
    PIXELS = "the pixels"
    ANSWER = "the answer or its absence"
    NONE = "none"


@dataclass(frozen=True)
class Lie:
    """`rule` is the fault of the simulator ("" where the server only lacks something); `order` what is asked.

    `fields` are those that may drift, any of them names the lie. `unlike` has what a dialect makes different.
    """

    name: str
    does: str
    order: Order
    witness: Witness
    fields: tuple[str, ...]
    expected: Expected = Expected.DRIFT
    rule: str = ""
    dialects: tuple[str, ...] = DIALECTS
    unlike: Mapping[str, Expected] = field(default_factory=dict)

    def expected_on(self, dialect: str) -> Expected:
        return self.unlike.get(dialect, self.expected)


# --- what is asked ------------------------------------------------------------------------------------------


def _txt2img(more: Mapping[str, Any] | None = None, **changes: Any) -> Order:
    """`changes` are those of the parameters, `more` those of the unit of work."""
    parameters = TXT2IMG.model_copy(update=changes)
    return lambda picture: work(parameters, **(more or {}))


def _later(parameters: Any, **changes: Any) -> Order:
    changed = parameters.model_copy(update=changes)
    return lambda picture: work(changed, picture=picture)


def _detailed(model: str) -> Order:
    return _later(ADETAILER, face=PASS.model_copy(update={"model": model}))


PLAIN: Final = _txt2img()
THREE: Final = _txt2img({"images": (0, 1, 2)})
SKIPPED: Final = _txt2img({"clip_skip": 2})
SOFT: Final = _txt2img({"vae": VAES[1]})
TWO_LORAS: Final = _txt2img({"prompt": f"a lighthouse <lora:{LORAS[0]}:0.8> <lora:{LORAS[1]}:0.5>"})
EMBEDDED: Final = _txt2img({"negative_prompt": f"blurry, {EMBEDDINGS[0]}", "embeddings": (EMBEDDINGS[0],)})
VARIED: Final = _txt2img({"subseed_strength": 0.4, "images": (0, 1)})
HIRES: Final = _txt2img(enable_hr=True, hr_upscaler="4x-UltraSharp", hr_scheduler="Exponential")
REFINED: Final = _txt2img(refiner_checkpoint=CHECKPOINTS[2], refiner_switch_at=0.5)
IMG: Final = _later(IMG2IMG)
DETAILED: Final = _detailed("face_yolov8n.pt")
ENLARGED: Final = _later(UPSCALE)
ENLARGED_BY_IMG: Final = _later(UPSCALE_BY_IMG2IMG)
RESTORED: Final = _later(
    UPSCALE,
    upscaler="Lanczos",
    **{f"{FACE_RESTORER.lower()}_visibility": 0.8, f"{FACE_RESTORER.lower()}_weight": 0.5},
)

MISSING: Final = (
    Lie(
        "LoRA missing",
        "leaves it out",
        _txt2img({"prompt": "a cat <lora:absent_lora:1>"}),
        Witness.LISTS,
        ("LoRA absent_lora",),
    ),
    Lie(
        "one LoRA of two missing",
        "leaves it out",
        _txt2img({"prompt": f"a cat <lora:{LORAS[0]}:1> <lora:absent_lora:1>"}),
        Witness.LISTS,
        ("LoRA absent_lora",),
    ),
    Lie(
        "embedding missing",
        "takes its name for words",
        _txt2img({"prompt": "a cat, absent_ti", "embeddings": ("absent_ti",)}),
        Witness.LISTS,
        ("Embedding absent_ti",),
    ),
    Lie("VAE missing", "takes the checkpoint's own", _txt2img({"vae": "absent.pt"}), Witness.LISTS, ("VAE",)),
    Lie(
        "VAE that is a module there",
        "reads `forge_additional_modules` only",
        _txt2img({"vae": VAES[1]}),
        Witness.LISTS,
        ("VAE",),
        dialects=("forge",),
    ),
    Lie(
        "scheduler unknown", "takes the model's own", _txt2img(scheduler="Foo"), Witness.LISTS, ("Scheduler",)
    ),
    Lie(
        "scheduler of a later version",
        'does not know "Beta" yet',
        _txt2img(scheduler="Beta"),
        Witness.LISTS,
        ("Scheduler",),
        dialects=("a1111",),
    ),
    Lie(
        "sampler unknown",
        "Forge takes DPM++ 2M with its schedule; A1111 refuses",
        _txt2img(sampler="Nope", scheduler=""),
        Witness.INFO,
        ("Sampler",),
        unlike={"a1111": Expected.REFUSED},
    ),
    Lie(
        "sampler in the wrong case",
        "the same",
        _txt2img(sampler="euler A", scheduler=""),
        Witness.INFO,
        ("Sampler",),
        unlike={"a1111": Expected.REFUSED},
    ),
    Lie(
        "scheduler of the second pass unknown",
        "takes the model's own",
        _txt2img(enable_hr=True, hr_scheduler="Foo"),
        Witness.LISTS,
        ("Hires scheduler",),
    ),
    Lie(
        "face restorer without its model",
        "leaves the faces as they are",
        _later(UPSCALE, gfpgan_visibility=1.0),
        Witness.NONE,
        ("GFPGAN",),
        Expected.NOT_TOLD,
    ),
    Lie(
        "upscaler None at twice the size",
        "leaves the size",
        _later(UPSCALE, upscaler="None"),
        Witness.PIXELS,
        ("Size", "Enlarged"),
    ),
    Lie(
        "upscaler without weights (extras)",
        "resizes plainly",
        _later(UPSCALE, upscaler=BARE_UPSCALER),
        Witness.PIXELS,
        ("Upscaler",),
    ),
    Lie(
        "upscaler without weights (hires fix)",
        "resizes plainly",
        _txt2img(enable_hr=True, hr_upscaler=BARE_UPSCALER),
        Witness.NONE,
        ("Hires upscaler",),
        Expected.NOT_TOLD,
    ),
    Lie(
        "upscaler unknown (img2img)",
        "resizes plainly",
        _later(UPSCALE_BY_IMG2IMG, upscaler="absent"),
        Witness.LISTS,
        ("Upscaler",),
    ),
    Lie(
        "upscaler unknown (extras)",
        "refuses",
        _later(UPSCALE, upscaler="absent"),
        Witness.ANSWER,
        (),
        Expected.REFUSED,
    ),
    Lie(
        "checkpoint unknown",
        "draws with the one that is loaded",
        _txt2img({"checkpoint": "absent-model"}),
        Witness.INFO,
        ("Checkpoint",),
    ),
    Lie(
        "refiner unknown",
        "refuses",
        _txt2img(refiner_checkpoint="absent-model"),
        Witness.ANSWER,
        (),
        Expected.REFUSED,
    ),
    Lie("detector missing", "finds nothing", _detailed("absent.pt"), Witness.LISTS, ("Detector absent.pt",)),
)


def _fault(
    rule: str,
    order: Order,
    witness: Witness,
    *fields: str,
    expected: Expected = Expected.DRIFT,
    where: str = "",
    unlike: Mapping[str, Expected] | None = None,
    dialects: tuple[str, ...] = DIALECTS,
) -> Lie:
    name = f"{rule} ({where})" if where else rule
    return Lie(
        name,
        KINDS[rule].meaning,
        order,
        witness,
        fields,
        expected,
        rule,
        unlike=unlike or {},
        dialects=dialects,
    )


NOBODY: Final = Expected.NOBODY
TOLD: Final = (
    _fault(
        "lora-ignored",
        TWO_LORAS,
        Witness.INFO,
        f"LoRA {LORAS[0]}",
        f"LoRA {LORAS[1]}",
        # Forge does not say whether it tells hashes, so their absence says nothing.
        unlike={"forge": Expected.NOT_TOLD},
    ),
    _fault("lora-first-only", TWO_LORAS, Witness.INFO, f"LoRA {LORAS[1]}"),
    _fault("lora-other-file", TWO_LORAS, Witness.LISTS, f"LoRA {LORAS[0]}", f"LoRA {LORAS[1]}"),
    _fault("lora-ignored-hidden", TWO_LORAS, Witness.NONE, f"LoRA {LORAS[0]}", expected=NOBODY),
    _fault(
        "embedding-ignored",
        EMBEDDED,
        Witness.NONE,
        f"Embedding {EMBEDDINGS[0]}",
        expected=Expected.NOT_TOLD,
    ),
    _fault("vae-ignored", SOFT, Witness.INFO, "VAE", dialects=("a1111",)),
    _fault("scheduler-ignored", PLAIN, Witness.INFO, "Scheduler"),
    _fault("sampler-replaced", PLAIN, Witness.INFO, "Sampler"),
    _fault("hr-scheduler-ignored", HIRES, Witness.INFO, "Hires scheduler"),
    _fault("hr-upscaler-other", HIRES, Witness.INFO, "Hires upscaler"),
    _fault("upscaler-without-weights", ENLARGED, Witness.PIXELS, "Upscaler", where="extras"),
    _fault(
        "upscaler-without-weights", HIRES, Witness.NONE, "Hires upscaler", where="hires fix", expected=NOBODY
    ),
    _fault("img2img-upscaler-ignored", ENLARGED_BY_IMG, Witness.NONE, "Upscaler", expected=NOBODY),
    _fault("upscale-not-done", ENLARGED, Witness.PIXELS, "Size", "Enlarged", where="extras"),
    _fault("upscale-not-done", HIRES, Witness.PIXELS, "Size", where="hires fix"),
    _fault("upscale-not-done", ENLARGED_BY_IMG, Witness.PIXELS, "Size", "Enlarged", where="img2img"),
    _fault("face-restorer-missing", RESTORED, Witness.NONE, FACE_RESTORER, expected=Expected.NOT_TOLD),
    _fault("detector-missing", DETAILED, Witness.NONE, "Changed", expected=Expected.NOT_TOLD),
    _fault("refiner-ignored", REFINED, Witness.INFO, "Refiner"),
    _fault("refiner-ignored-hidden", REFINED, Witness.NONE, "Refiner", expected=NOBODY),
    _fault("wrong-checkpoint", PLAIN, Witness.INFO, "Checkpoint", where="txt2img"),
    _fault("wrong-checkpoint", IMG, Witness.INFO, "Checkpoint", where="img2img"),
    _fault("wrong-checkpoint-hidden", PLAIN, Witness.NONE, "Checkpoint", expected=NOBODY),
    _fault("clip-skip-other", SKIPPED, Witness.INFO, "Clip skip"),
    _fault("clip-skip-ignored", SKIPPED, Witness.NONE, "Clip skip", expected=NOBODY),
    _fault("wrong-seed", PLAIN, Witness.INFO, "Seed", where="txt2img"),
    _fault("wrong-seed", IMG, Witness.INFO, "Seed", where="img2img"),
    _fault("wrong-seed-hidden", PLAIN, Witness.NONE, "Seed", expected=NOBODY),
    _fault("seed-of-another", THREE, Witness.PICTURE, "Seed"),
    _fault("wrong-subseed", VARIED, Witness.INFO, "Variation seed"),
    _fault("steps-fewer", PLAIN, Witness.INFO, "Steps"),
    _fault("steps-fewer-hidden", PLAIN, Witness.NONE, "Steps", expected=NOBODY),
    _fault("cfg-other", PLAIN, Witness.INFO, "CFG scale"),
    _fault("denoising-other", IMG, Witness.INFO, "Denoising strength", where="img2img"),
    _fault("denoising-other", HIRES, Witness.INFO, "Denoising strength", where="hires fix"),
    _fault("black", PLAIN, Witness.PIXELS, "Content", where="txt2img"),
    _fault("black", ENLARGED, Witness.PIXELS, "Content", where="extras"),
    _fault("nearly-black", PLAIN, Witness.PIXELS, "Content"),
    _fault("flat", THREE, Witness.PIXELS, "Content", where="txt2img"),
    _fault("flat", IMG, Witness.PIXELS, "Content", where="img2img"),
    _fault("half-drawn", PLAIN, Witness.PIXELS, "Whole", where="txt2img"),
    _fault("half-drawn", ENLARGED, Witness.PIXELS, "Whole", where="extras"),
    _fault("torn-picture", PLAIN, Witness.PIXELS, "Whole"),
    _fault("truncated", PLAIN, Witness.ANSWER, expected=Expected.REFUSED),
    _fault("fewer-images", THREE, Witness.ANSWER, "Pictures", expected=Expected.REFUSED),
    _fault("wrong-size", PLAIN, Witness.PIXELS, "Size", where="txt2img"),
    _fault("wrong-size", ENLARGED, Witness.PIXELS, "Size", where="extras"),
    _fault("swapped-order", THREE, Witness.PICTURE, "Seed"),
    _fault("swapped-pixels", THREE, Witness.NONE, "Seed", expected=NOBODY),
    _fault("sisters-equal", THREE, Witness.PIXELS, "Distinct"),
    _fault("grid", THREE, Witness.PIXELS, "Size", where="three pictures"),
    _fault("grid", PLAIN, Witness.PIXELS, "Size", where="one picture"),
    _fault("stale", PLAIN, Witness.PIXELS, "Distinct"),
    _fault("stale-answer", PLAIN, Witness.INFO, "Seed", "Prompt"),
    _fault("input-returned", IMG, Witness.PIXELS, "Changed", where="img2img"),
    _fault("input-returned", ENLARGED, Witness.PIXELS, "Size", "Enlarged", where="extras"),
    _fault("input-returned", ENLARGED_BY_IMG, Witness.PIXELS, "Size", "Enlarged", where="upscale by img2img"),
    _fault(
        "input-returned", DETAILED, Witness.NONE, "Changed", where="ADetailer", expected=Expected.NOT_TOLD
    ),
    _fault("interrupted", PLAIN, Witness.NONE, "Content", expected=NOBODY),
)
LIES: Final = (*MISSING, *TOLD)
