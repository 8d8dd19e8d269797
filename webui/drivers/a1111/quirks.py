"""Where relatives of A1111's WebUI differ from the recorded ones: each way, what is done about it, and its source.

What can be the same for all is sent or accepted everywhere, so that nothing depends on knowing whom we speak to. Forge
Neo and SD.Next were read, and never recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FORGE: Final = "forge"
FORGE_NEO: Final = "forge-neo"
SDNEXT: Final = "sdnext"

SAME_MODULES: Final = ("Use same choices",)
"""`hr_additional_modules` of every hires fix: the second pass draws with what the first one has loaded."""
BARE_500: Final = "it does not say why; the reason is in its log"


@dataclass(frozen=True, slots=True)
class Quirk:
    """`dialects` have it; `source` is repository and file, or the thread where its author says so."""

    name: str
    dialects: tuple[str, ...]
    what: str
    answer: str
    source: str


QUIRKS: Final = (
    Quirk(
        "hires modules",
        (FORGE, FORGE_NEO),
        "a hires fix without `hr_additional_modules` fails after its first pass: 500 TypeError",
        "every hires fix says that the second pass has the same; A1111 ignores the field",
        "lllyasviel/stable-diffusion-webui-forge and Haoming02/sd-webui-forge-classic (neo), modules/processing.py, "
        "`StableDiffusionProcessingTxt2Img.sample`; Haoming02/sd-webui-forge-classic issue 1385",
    ),
    Quirk(
        "modules beside the checkpoint",
        (FORGE, FORGE_NEO),
        "text encoders and VAE of models that have none inside are named in `forge_additional_modules`",
        "a pack names them (`txt2img.forge_additional_modules`); sent with the checkpoint, and only when named",
        "Haoming02/sd-webui-forge-classic (neo), modules/processing.py, `process_images` and `create_infotext`",
    ),
    Quirk(
        "sizes in steps of 64",
        (FORGE_NEO,),
        "sides are rounded to multiples of 64, unless its setting Resolution Step says otherwise",
        "a picture that was rounded is taken; the check of results tells both sizes",
        "Haoming02/sd-webui-forge-classic issue 1178; modules/processing.py, `fix_dimensions`",
    ),
    Quirk(
        "bare 500",
        (FORGE_NEO,),
        "a failure is a 500 whose body is no JSON: its error handlers are not installed",
        "it is a failure of the server, and its message says that the reason is in the server's log",
        "Haoming02/sd-webui-forge-classic (neo), modules/api/api.py, `Api.__init__`",
    ),
    Quirk(
        "unknown sampler",
        (FORGE_NEO,),
        "an unknown sampler is refused with 400, not 404",
        "known by its words, whatever its status",
        "Haoming02/sd-webui-forge-classic (neo), modules/api/api.py, `validate_sampler_name`",
    ),
    Quirk(
        "204 without a body",
        (SDNEXT,),
        "interrupt, skip and the refreshes answer 204",
        "204 is a success that says nothing",
        "vladmandic/sdnext, modules/api/api.py, `Api.register`",
    ),
    Quirk(
        "no task ids",
        (SDNEXT,),
        "`force_task_id` is ignored, so its `/internal/progress` knows no request of the API",
        "as for a server that cannot tell: only what is ours alone is interrupted, and idle progress ends a wait",
        "vladmandic/sdnext, modules/api/generate.py and modules/progress.py",
    ),
    Quirk(
        "no checkpoint in info",
        (SDNEXT,),
        "`info` has no `sd_model_name`, and an unknown checkpoint is dropped without a word",
        "the infotext's Model counts; where there is none the checkpoint is not told, and never taken as asked",
        "vladmandic/sdnext, modules/processing_class.py and modules/api/generate.py",
    ),
    Quirk(
        "errors of SD.Next",
        (SDNEXT,),
        "a TypeError is a 500 whose body is one JSON text; others have a field `code`",
        "words are read from whichever it is",
        "vladmandic/sdnext, modules/api/middleware.py",
    ),
)


def lists_tasks(internal_progress: Mapping[str, object]) -> bool:
    """Whether this answer of `/internal/progress` knows requests of the API by their task id.

    `internal_progress` are the fields beyond A1111's; SD.Next's answer has `paused`.
    """
    return "paused" not in internal_progress
