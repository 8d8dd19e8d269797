"""One row per recorded exchange of A1111: which client call makes it, and what must come of it."""

from tests.contract.calls import (
    Row,
    drawn,
    echoes,
    extra,
    fails,
    img2img,
    internal_progress,
    kills,
    moving,
    names,
    plain,
    progress,
    raw,
    raw_extra,
    raw_generation,
    set_options,
    shows,
    task,
    upscaled,
)
from tests.contract.recordings import load_exchange
from webui import errors
from webui.drivers.a1111.client import WebUIClient

S = (64, 64)

TXT2IMG = (
    drawn("txt2img-200", S),
    drawn("txt2img-200-batch", S, S, S, S),
    drawn("txt2img-200-batch-save-images", S, S, S, S, sent=5),
    drawn("txt2img-200-empty-object", S, seed=113576245),
    drawn("txt2img-200-hires", (128, 128)),
    drawn("txt2img-200-random-seed", S, seed=3917587340),
    drawn("txt2img-200-scheduler", S),
    drawn("txt2img-200-scheduler-label", S),
    drawn("txt2img-200-send-images-false"),
    drawn("txt2img-after-nan", S),
    drawn("txt2img-after-oom", S),
    drawn("txt2img-after-override", S),
    drawn("txt2img-after-reload", S),
    drawn("txt2img-after-unload", S),
    drawn("txt2img-float-steps", S, call=raw_generation),
    drawn("txt2img-force-task-id", (256, 256)),
    drawn("txt2img-huge-seed", S, seed=2**63),
    # Half done, and nothing in the answer says so.
    drawn("txt2img-interrupted", (256, 256)),
    drawn("txt2img-null-seed", S, seed=2517228709, call=raw_generation),
    drawn("txt2img-numeric-strings", S, call=raw_generation),
    drawn("txt2img-override-checkpoint", S, checkpoint="tinyB"),
    drawn("txt2img-override-checkpoint-norestore", S, checkpoint="tinyB"),
    drawn("txt2img-override-unknown-checkpoint", S),
    drawn("txt2img-override-unknown-vae", S),
    drawn("txt2img-queued-behind-interrupted", S),
    drawn("txt2img-queued-second", S),
    drawn("txt2img-sampler-empty-string", S),
    drawn("txt2img-script-prompt-matrix", S, S, sent=3),
    drawn("txt2img-seed-2pow32", S, seed=2**32 + 5),
    drawn("txt2img-size-not-multiple-of-8", S),
    drawn("txt2img-skipped-n_iter-3", (256, 256), (256, 256), (256, 256)),
    drawn("txt2img-unknown-field", S, call=raw_generation),
    drawn("txt2img-unknown-lora", S),
    drawn("txt2img-unknown-scheduler", S),
    drawn("txt2img-unknown-style", S),
    drawn("fresh-txt2img-override", S),
    drawn("fresh-txt2img-after-override", S),
    fails("txt2img-interrupted-n_iter-3", errors.WebUITooFewPicturesError, "1 of 3"),
    fails("txt2img-404-unknown-sampler", errors.SamplerNotFoundError, "Sampler not found", "HTTPException"),
    fails(
        "txt2img-old-combined-sampler-name",
        errors.SamplerNotFoundError,
        "Sampler not found",
        "HTTPException",
    ),
    fails("txt2img-sampler-alias", errors.SamplerNotFoundError, "Sampler not found", "HTTPException"),
    fails("txt2img-sampler-lowercase", errors.SamplerNotFoundError, "Sampler not found", "HTTPException"),
    fails("txt2img-500-nan", errors.WebUINaNError, "all NaNs", "NansException"),
    fails("txt2img-nan-in-request", errors.WebUINaNError, "produced in VAE", "NansException", raw_generation),
    fails("txt2img-500-out-of-memory", errors.WebUIOutOfMemoryError, "can't allocate", "RuntimeError"),
    fails(
        "txt2img-after-corrupt-checkpoint", errors.WebUIServerError, "Torch not compiled", "AssertionError"
    ),
    fails("txt2img-after-corrupt-override", errors.WebUIServerError, "Torch not compiled", "AssertionError"),
    fails("txt2img-recovered", errors.WebUIServerError, "Torch not compiled", "AssertionError"),
    fails("txt2img-after-wrong-type-option", errors.WebUIServerError, "bad operand type", "TypeError"),
    fails(
        "txt2img-override-corrupt-checkpoint",
        errors.CheckpointNotLoadedError,
        "deserializing header",
        "SafetensorError",
    ),
    fails("txt2img-batch-size-0", errors.RequestValidationError, "batch_size", "IndexError", raw_generation),
    fails("txt2img-hires-no-denoising", errors.RequestValidationError, "denoising_strength:", "TypeError"),
    fails("txt2img-hires-unknown-upscaler", errors.UnknownUpscalerError, "No Such Upscaler", "Exception"),
    fails("txt2img-null-fields", errors.RequestValidationError, "prompt:", "AssertionError", raw_generation),
    fails("txt2img-null-prompt", errors.RequestValidationError, "prompt:", "AssertionError", raw_generation),
    fails("txt2img-override-unknown-key", errors.UnknownOptionError, "'no_such_option'", "KeyError"),
    fails(
        "txt2img-prompt-list",
        errors.RequestValidationError,
        "prompt: str type expected",
        None,
        raw_generation,
    ),
    fails("txt2img-script-missing-args", errors.RequestValidationError, "script_args:", "ValueError"),
    fails(
        "txt2img-selectable-as-alwayson",
        errors.ScriptNotFoundError,
        "Cannot have a selectable script",
        "HTTPException",
    ),
    fails("txt2img-steps-0", errors.RequestValidationError, "steps:", "ZeroDivisionError", raw_generation),
    fails(
        "txt2img-steps-negative",
        errors.RequestValidationError,
        "non-negative",
        "RuntimeError",
        raw_generation,
    ),
    fails("txt2img-unknown-alwayson", errors.ScriptNotFoundError, "'ADetailer' not found", "HTTPException"),
    fails("txt2img-unknown-script", errors.ScriptNotFoundError, "'No Such Script'", "HTTPException"),
    fails("txt2img-width-0", errors.RequestValidationError, "width, height:", "RuntimeError", raw_generation),
    fails(
        "txt2img-width-negative",
        errors.RequestValidationError,
        "negative dimension",
        "RuntimeError",
        raw_generation,
    ),
)

IMG2IMG = (
    drawn("img2img-200", S, call=img2img),
    drawn("img2img-200-data-uri", S, call=img2img),
    drawn("img2img-200-include-init-images", S, call=img2img),
    drawn("img2img-200-mask", S, call=img2img),
    drawn("img2img-denoise-2", S, call=raw_generation),
    drawn("img2img-denoise-zero", S, call=img2img),
    drawn("img2img-resize-mode-9", (128, 64), call=img2img),
    fails(
        "img2img-404-no-init-images",
        errors.InvalidImageError,
        "Init image not found",
        "HTTPException",
        raw_generation,
    ),
    fails(
        "img2img-500-bad-mask", errors.InvalidImageError, "Invalid encoded image", "HTTPException", img2img
    ),
    fails(
        "img2img-500-invalid-base64",
        errors.InvalidImageError,
        "Invalid encoded image",
        "HTTPException",
        img2img,
    ),
    fails(
        "img2img-500-not-an-image",
        errors.InvalidImageError,
        "Invalid encoded image",
        "HTTPException",
        img2img,
    ),
    fails(
        "img2img-500-url-not-allowed",
        errors.InvalidImageError,
        "Request to local resource not allowed",
        "HTTPException",
        img2img,
    ),
    fails(
        "img2img-empty-init-images",
        errors.InvalidImageError,
        "init_images:",
        "RuntimeError",
        raw_generation,
    ),
    fails(
        "img2img-init-images-null-item",
        errors.InvalidImageError,
        "init_images:",
        "AttributeError",
        raw_generation,
    ),
    fails(
        "img2img-init-images-string",
        errors.RequestValidationError,
        "init_images: value is not a valid list",
        None,
        raw_generation,
    ),
    fails("img2img-two-inits", errors.InvalidImageError, "bad number of images", "RuntimeError", img2img),
)

EXTRAS = (
    shows("extra-single-image-200-lanczos", extra, upscaled, (128, 128)),
    shows("extra-single-image-200-none", extra, upscaled, S),
    shows("extra-single-image-200-resize-mode-1", extra, upscaled, (96, 80)),
    shows("extra-single-image-data-uri", extra, upscaled, (128, 128)),
    # Its weights were not there: nothing in the answer says so.
    shows("extra-single-image-upscaler-not-downloaded", extra, upscaled, (128, 128)),
    fails(
        "extra-single-image-422-resize-mode",
        errors.RequestValidationError,
        "resize_mode: unexpected value; permitted: 0, 1; upscaling_resize: ensure",
        None,
        raw_extra,
    ),
    fails(
        "extra-single-image-invalid-image",
        errors.InvalidImageError,
        "Invalid encoded image",
        "HTTPException",
        extra,
    ),
    fails(
        "extra-single-image-no-image",
        errors.InvalidImageError,
        "Invalid encoded image",
        "HTTPException",
        raw_extra,
    ),
    fails(
        "extra-single-image-unknown-upscaler",
        errors.UnknownUpscalerError,
        "No Such Upscaler",
        "AssertionError",
        extra,
    ),
    fails("extra-batch-images-422", errors.RequestValidationError, "imageList: field required", None, raw),
)

IDLE = (True, 0.0, False, False)
PROGRESS = (
    shows("progress-idle", progress, moving, IDLE),
    shows("progress-idle-skip-current-image", progress, moving, IDLE),
    shows("progress-after-errors", progress, moving, IDLE),
    shows("progress-after-idle-interrupt", progress, moving, (True, 0.0, True, False)),
    shows("progress-after-interrupt-idle", progress, moving, (True, 0.0, True, False)),
    shows("progress-after-interrupt", progress, moving, (False, 0.11, True, False)),
    shows("progress-after-client-disconnect", progress, moving, (False, 0.16, False, False)),
    shows("progress-mid", progress, moving, (False, 0.31, False, True)),
    shows("progress-mid-skip-current-image", progress, moving, (False, 0.31, False, False)),
    shows("progress-queued", progress, moving, (False, 0.08, False, False)),
    shows("auth-200", progress, moving, IDLE),
    shows("internal-progress-abandoned-queued", internal_progress, task, (True, False, False, None)),
    shows("internal-progress-done", internal_progress, task, (False, False, True, "Waiting...")),
    shows("internal-progress-failed-task", internal_progress, task, (True, False, False, None)),
    shows("internal-progress-mid", internal_progress, task, (True, False, False, None)),
    shows("internal-progress-queued", internal_progress, task, (False, True, False, "In queue: 5/5")),
    shows("internal-progress-unknown-task", internal_progress, task, (False, False, False, "Waiting...")),
    shows("interrupt-idle", plain(WebUIClient.interrupt), repr, "None"),
    shows("interrupt-mid", plain(WebUIClient.interrupt), repr, "None"),
    shows("skip-idle", plain(WebUIClient.skip), repr, "None"),
    shows("skip-mid", plain(WebUIClient.skip), repr, "None"),
)

TITLE_A, TITLE_B = "tinyA.safetensors [3830f7832d]", "tinyB.safetensors [2be4aa994a]"
OPTIONS = (
    *(
        shows(name, plain(WebUIClient.options), lambda options: options.sd_model_checkpoint, title)
        for name, title in (
            ("options-get", TITLE_A),
            ("options-after-override", TITLE_A),
            ("options-after-override-norestore", TITLE_B),
            ("options-after-corrupt", TITLE_A),
            ("fresh-options-before-override", TITLE_A),
            ("fresh-options-after-override", TITLE_A),
        )
    ),
    fails(
        "options-after-wrong-type",
        errors.WebUIServerError,
        "2 validation errors for Options",
        "ValidationError",
        plain(WebUIClient.options),
    ),
    *(
        shows(name, set_options, repr, "None")
        for name in (
            "options-post-checkpoint",
            # The file could not be read, and the server is broken from here on: nothing says so.
            "options-post-checkpoint-corrupt-file",
            "options-post-empty",
            "options-post-output-dir",
            "options-post-while-generating",
            "options-post-wrong-type",
        )
    ),
    fails(
        "options-post-checkpoint-unknown",
        errors.UnknownCheckpointError,
        "model 'no-such-model' not found",
        "RuntimeError",
        set_options,
    ),
    fails("options-post-unknown-key", errors.UnknownOptionError, "'no_such_option'", "KeyError", set_options),
    fails("options-post-list", errors.RequestValidationError, "body: value is not a valid dict", None, raw),
)

LISTS = (
    shows("samplers", plain(WebUIClient.samplers), names, (19, "DPM++ 2M")),
    shows("schedulers", plain(WebUIClient.schedulers), names, (6, "automatic")),
    shows("upscalers", plain(WebUIClient.upscalers), names, (13, "None")),
    shows("loras", plain(WebUIClient.loras), names, (0, None)),
    shows("latent-upscale-modes", plain(WebUIClient.latent_upscale_modes), names, (6, "Latent")),
    shows("face-restorers", plain(WebUIClient.face_restorers), names, (2, "CodeFormer")),
    shows(
        "scripts",
        plain(WebUIClient.scripts),
        lambda found: (len(found.txt2img), found.img2img[0]),
        (8, "img2img alternative test"),
    ),
    shows("auth-loras-open", plain(WebUIClient.loras), names, (0, None)),
    *(
        shows(
            name,
            plain(WebUIClient.sd_models),
            lambda models: [(model.model_name, model.hash) for model in models][:1],
            [("tinyA", "3830f7832d")],
        )
        for name in ("sd-models", "sd-models-after-override")
    ),
    shows("sd-vae", plain(WebUIClient.sd_vae), list, []),
    shows("embeddings", plain(WebUIClient.embeddings), lambda found: (found.loaded, found.skipped), ([], [])),
    shows(
        "memory",
        plain(WebUIClient.memory),
        lambda memory: (memory.ram.used, memory.cuda.error),
        (975679488, "unavailable"),
    ),
    shows("cmd-flags", plain(WebUIClient.cmd_flags), lambda flags: (flags.api, flags.api_auth), (True, None)),
    shows(
        "cmd-flags-with-auth",
        plain(WebUIClient.cmd_flags),
        lambda flags: (flags.api_auth.get_secret_value(), "secret" in flags.model_dump_json()),
        ("alice:secret", False),
    ),
    shows("refresh-checkpoints", plain(WebUIClient.refresh_checkpoints), repr, "None"),
    shows("refresh-checkpoints-while-generating", plain(WebUIClient.refresh_checkpoints), repr, "None"),
    shows("refresh-vae", plain(WebUIClient.refresh_vae), repr, "None"),
    shows("refresh-embeddings", plain(WebUIClient.refresh_embeddings), repr, "None"),
    shows("refresh-loras", plain(WebUIClient.refresh_loras), repr, "None"),
)

REFUSALS = (
    fails("401-no-credentials", errors.WebUIAuthError, "Not authenticated", "HTTPException", progress),
    fails("401-bearer", errors.WebUIAuthError, "Not authenticated", "HTTPException", progress),
    fails(
        "401-malformed-header",
        errors.WebUIAuthError,
        "Invalid authentication credentials",
        "HTTPException",
        progress,
    ),
    fails(
        "401-wrong-credentials",
        errors.WebUIAuthError,
        "Incorrect username or password",
        "HTTPException",
        progress,
    ),
    fails(
        "401-no-credentials-bad-body",
        errors.WebUIAuthError,
        "Not authenticated",
        "HTTPException",
        raw_generation,
    ),
    fails("401-unknown-user-txt2img", errors.WebUIAuthError, "Incorrect username", "HTTPException"),
    fails("404-unknown-path", errors.WebUIEndpointMissingError, "Not Found", None, raw),
    fails("404-unknown-path-post", errors.WebUIEndpointMissingError, "Not Found", None, raw),
    fails("auth-404", errors.WebUIEndpointMissingError, "Not Found", None, raw),
    fails("nowebui-404-ping", errors.WebUIEndpointMissingError, "Not Found", None, raw),
    fails("nowebui-404-root", errors.WebUIEndpointMissingError, "Not Found", None, raw),
    fails("interrogate-404-model", errors.WebUIRejectedError, "Model not found", "HTTPException", raw),
    fails("405-get-txt2img", errors.WebUIRejectedError, "Method Not Allowed", None, raw),
    fails("422-bad-json", errors.RequestValidationError, "11: Unterminated string", None, raw_generation),
    *(
        fails(name, errors.RequestValidationError, "body: value is not a valid dict", None, raw_generation)
        for name in ("422-form-content-type", "422-json-array", "json-text-plain")
    ),
    fails("422-no-body", errors.RequestValidationError, "body: field required", None, raw_generation),
    fails(
        "422-wrong-type",
        errors.RequestValidationError,
        "steps: value is not a valid integer; width: value is not a valid integer; override_settings: ",
        None,
        raw_generation,
    ),
    fails("trailing-slash", errors.WebUIRedirectError, "http://127.0.0.1:7861/sdapi/v1/txt2img", None, raw),
    fails("root-head", errors.WebUIBadAnswerError, "not JSON", None, raw),
    fails("png-info-empty", errors.InvalidImageError, "Invalid encoded image", "HTTPException", raw),
    fails("png-info-invalid", errors.InvalidImageError, "Invalid encoded image", "HTTPException", raw),
)

LIFE_CYCLE = (
    kills("server-kill", plain(WebUIClient.server_kill)),
    kills("server-restart", plain(WebUIClient.server_restart)),
    fails(
        "server-restart-not-restartable",
        errors.WebUINotOfferedError,
        "Not Implemented",
        None,
        plain(WebUIClient.server_restart),
    ),
    shows("server-stop", plain(WebUIClient.server_stop), repr, "None"),
    shows("server-stop-mid-generation", plain(WebUIClient.server_stop), repr, "None"),
    shows("nowebui-server-stop", plain(WebUIClient.server_stop), repr, "None"),
    fails(
        "nothing-listens", errors.WebUINotSentError, "Connection refused", "ConnectionRefusedError", progress
    ),
    fails("nothing-listens-post", errors.WebUINotSentError, "refused", "ConnectionRefusedError"),
    fails("clients-see-nothing-listens", errors.WebUINotSentError, "refused", "ConnectionRefusedError"),
    *(
        fails(
            f"clients-see-{signal}-mid-generation",
            errors.WebUIConnectionLostError,
            "Remote end closed",
            "RemoteDisconnected",
        )
        for signal in ("sigint", "sigkill", "sigterm")
    ),
    # The clients got it whole; the recording keeps its first 80 characters, so it stands for a cut one.
    fails("clients-see-server-stop-mid-generation", errors.WebUIBadAnswerError, "not JSON"),
)

WITHOUT_A_METHOD = tuple(
    echoes(name)
    for name in (
        "auth-pending-tasks-open",
        "auth-ping-open",
        "extensions",
        "extra-batch-images-200",
        "extra-batch-images-empty",
        "hypernetworks",
        "internal-pending-tasks-after-errors",
        "internal-pending-tasks-idle",
        "internal-pending-tasks-mid",
        "internal-pending-tasks-queued",
        "internal-ping",
        "png-info-200",
        "png-info-200-plain",
        "prompt-styles",
        "queue-status",
        "realesrgan-models",
        "reload-checkpoint",
        "script-info",
        "unload-checkpoint",
    )
)

__all__ = ["ALL", "ROWS", "Row", "load_exchange"]

ALL = (
    *TXT2IMG,
    *IMG2IMG,
    *EXTRAS,
    *PROGRESS,
    *OPTIONS,
    *LISTS,
    *REFUSALS,
    *LIFE_CYCLE,
    *WITHOUT_A_METHOD,
)
ROWS: dict[str, Row] = {row.name: row for row in ALL}
