"""One row per recorded exchange of Forge: which client call makes it, and what must come of it."""

from dataclasses import replace

from tests.contract.calls import (
    drawn,
    echoes,
    extra,
    fails,
    img2img,
    moving,
    names,
    plain,
    progress,
    raw,
    raw_generation,
    set_options,
    shows,
    upscaled,
)
from webui import errors
from webui.drivers.a1111.client import WebUIClient

FOLDER = "exchanges-forge"
S = (64, 64)
IDLE = (True, 0.0, False, False)

ALL = tuple(
    replace(row, folder=FOLDER)
    for row in (
        *(
            drawn(name, S, checkpoint="randA")
            for name in (
                "txt2img-200",
                "txt2img-200-second",
                "txt2img-after-unload",
                "txt2img-old-combined-sampler-name",
                "txt2img-override-unknown-checkpoint",
                # Refused by A1111; here it silently became another one.
                "txt2img-unknown-sampler",
                "txt2img-unknown-scheduler",
                "txt2img-width-not-multiple-of-8",
            )
        ),
        drawn("txt2img-interrupted", (128, 128), checkpoint="randA"),
        drawn("img2img-200", S, call=img2img, checkpoint="randA"),
        shows("extra-single-image-200-lanczos", extra, upscaled, (128, 128)),
        fails("txt2img-500-out-of-memory", errors.WebUIOutOfMemoryError, "can't allocate", "RuntimeError"),
        fails(
            "txt2img-float-steps",
            errors.RequestValidationError,
            "steps: Input should be a valid integer",
            None,
            raw_generation,
        ),
        fails("txt2img-hires-unknown-upscaler", errors.UnknownUpscalerError, "No Such", "Exception"),
        fails(
            "txt2img-null-prompt", errors.RequestValidationError, "prompt:", "AssertionError", raw_generation
        ),
        fails("txt2img-override-unknown-key", errors.UnknownOptionError, "'no_such_option'", "KeyError"),
        fails(
            "txt2img-steps-0", errors.RequestValidationError, "steps:", "ZeroDivisionError", raw_generation
        ),
        fails("txt2img-unknown-alwayson", errors.ScriptNotFoundError, "'ADetailer' not found"),
        fails("txt2img-unknown-script", errors.ScriptNotFoundError, "'No Such Script' not found"),
        fails(
            "img2img-404-no-init-images",
            errors.InvalidImageError,
            "Init image not found",
            None,
            raw_generation,
        ),
        fails("img2img-500-invalid-base64", errors.InvalidImageError, "Invalid encoded image", None, img2img),
        fails(
            "extra-single-image-unknown-upscaler",
            errors.UnknownUpscalerError,
            "No Such",
            "AssertionError",
            extra,
        ),
        shows("progress-idle", progress, moving, IDLE),
        shows("progress-mid", progress, moving, (False, 0.14, False, False)),
        shows("auth-200", progress, moving, IDLE),
        shows("interrupt-idle", plain(WebUIClient.interrupt), repr, "None"),
        shows("interrupt-mid", plain(WebUIClient.interrupt), repr, "None"),
        shows("skip-idle", plain(WebUIClient.skip), repr, "None"),
        shows(
            "options-get",
            plain(WebUIClient.options),
            lambda options: options.samples_format,
            "png",
        ),
        fails(
            "options-post-checkpoint-unknown",
            errors.UnknownCheckpointError,
            "model 'no-such' not found",
            "RuntimeError",
            set_options,
        ),
        fails(
            "options-post-unknown-key",
            errors.UnknownOptionError,
            "'no_such_option'",
            "KeyError",
            set_options,
        ),
        shows(
            "sd-models",
            plain(WebUIClient.sd_models),
            lambda models: [(model.model_name, model.hash) for model in models],
            [("randA", "79fa07373e")],
        ),
        shows("sd-modules", plain(WebUIClient.sd_modules), list, []),
        fails("sd-vae", errors.WebUIEndpointMissingError, "Not Found", None, plain(WebUIClient.sd_vae)),
        shows("samplers", plain(WebUIClient.samplers), names, (25, "DPM++ 2M")),
        shows("schedulers", plain(WebUIClient.schedulers), names, (16, "automatic")),
        shows("upscalers", plain(WebUIClient.upscalers), names, (12, "None")),
        shows("scripts", plain(WebUIClient.scripts), lambda found: len(found.txt2img), 17),
        shows("loras", plain(WebUIClient.loras), names, (0, None)),
        shows(
            "embeddings", plain(WebUIClient.embeddings), lambda found: (found.loaded, found.skipped), ([], [])
        ),
        shows(
            "memory",
            plain(WebUIClient.memory),
            lambda memory: (memory.ram.used, memory.cuda.error),
            (6906503168, "unavailable"),
        ),
        # Forge cannot put its own command line into its own answer.
        fails(
            "cmd-flags",
            errors.WebUIServerError,
            "",
            "ResponseValidationError",
            plain(WebUIClient.cmd_flags),
        ),
        fails("401-no-credentials", errors.WebUIAuthError, "Not authenticated", None, progress),
        fails(
            "401-no-credentials-bad-body", errors.WebUIAuthError, "Not authenticated", None, raw_generation
        ),
        fails("401-wrong-credentials", errors.WebUIAuthError, "Incorrect username", None, progress),
        fails("404-unknown-path", errors.WebUIEndpointMissingError, "Not Found", None, raw),
        fails("405-get-txt2img", errors.WebUIRejectedError, "Method Not Allowed", None, raw),
        fails("422-bad-json", errors.RequestValidationError, "JSON decode error", None, raw_generation),
        fails("422-no-body", errors.RequestValidationError, "body: Field required", None, raw_generation),
        fails(
            "422-wrong-type",
            errors.RequestValidationError,
            "steps: Input should be a valid integer",
            None,
            raw_generation,
        ),
        fails(
            "json-text-plain", errors.RequestValidationError, "body: Input should be", None, raw_generation
        ),
        *(echoes(name) for name in ("internal-ping", "reload-checkpoint", "unload-checkpoint")),
    )
)
FORGE_ROWS = {row.name: row for row in ALL}
