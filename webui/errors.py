"""What can go wrong between us and one server, as one tree; sending is in `transport`, judging in `answers`.

    WebUIError
    ├── WebUIRejectedError              the request is wrong: sending it again cannot help
    │   ├── WebUIAuthError              401, 403
    │   ├── WebUIEndpointMissingError   404 of the web framework: no such path, or the API is not there yet
    │   ├── WebUINotOfferedError        501
    │   ├── WebUIRedirectError          3xx
    │   ├── RequestValidationError      422, or a 500 that a field of the request explains
    │   ├── SamplerNotFoundError
    │   ├── ScriptNotFoundError
    │   ├── UnknownUpscalerError
    │   ├── UnknownCheckpointError
    │   ├── RefinerRefusedError
    │   ├── UnknownOptionError
    │   ├── InvalidImageError
    │   └── WebUIRequestTooLargeError   413
    ├── WebUITransientError             429 and 503 in the API's own words, a 502 that has done nothing
    ├── WebUIServerError                500 and other 5xx
    │   └── WebUIOutOfMemoryError
    ├── WebUICheckpointError            the checkpoint fails there, each time alike; the server itself lives
    │   ├── WebUINaNError
    │   └── CheckpointNotLoadedError    what is left of the server must be restarted all the same
    ├── WebUIUnavailableError           no answer; `sent` tells whether the request may have been executed
    │   ├── WebUINotSentError           never sent
    │   ├── WebUIConnectionLostError    sent, the answer was lost
    │   ├── WebUITimeoutError           sent, no answer in time
    │   ├── WebUIHangError              sent, and the work stood still
    │   ├── WebUIGatewayError           sent, and something in front of the WebUI answered in its place
    │   └── WebUITransientExhaustedError  refused for the moment until the policy was used up
    └── WebUIBadAnswerError             a success that cannot be used
        ├── WebUITooFewPicturesError
        ├── WebUIWrongSizeError
        └── TruthDriftError

The first line of a class's docstring is the sentence that its error begins with; those of a worker are in
`worker_words`.
"""

from typing import Any, ClassVar

from webui.error_root import WebUIError as WebUIError
from webui.words import ServerNoun


class WebUIRejectedError(WebUIError):
    """The WebUI refused the request."""

    code = "WEBUI_REJECTED"
    remediation = "Change the setting that it names; the same request would be refused again."


class WebUIAuthError(WebUIRejectedError):
    """The WebUI refused our user name and password."""

    code = "WEBUI_AUTH"
    remediation = "Set the user name and password that the server was started with (WebUI: --api-auth)."


class WebUIEndpointMissingError(WebUIRejectedError):
    """The WebUI does not have the address that the request went to."""

    code = "WEBUI_ENDPOINT_MISSING"
    remediation = "Start it with its API (WebUI: --api); while it is still starting, wait until it is ready."


class WebUINotOfferedError(WebUIRejectedError):
    """The WebUI does not offer what it was asked for."""

    code = "WEBUI_NOT_OFFERED"
    remediation = "See that a WebUI answers at that address; to restart it, use its own start command."


class WebUIRedirectError(WebUIRejectedError):
    """The address answered with a redirect instead of an answer."""

    code = "WEBUI_REDIRECT"
    remediation = "Set the address to where the WebUI itself answers; redirects are not followed."


class RequestValidationError(WebUIRejectedError):
    """The WebUI found a field of the request wrong."""

    code = "WEBUI_REQUEST_INVALID"
    remediation = "Correct the field that it names, in the pack's settings or in the submission."


class SamplerNotFoundError(WebUIRejectedError):
    """The WebUI does not know the sampler."""

    code = "WEBUI_SAMPLER_NOT_FOUND"
    remediation = "Choose a sampler that it lists, spelled exactly so, with the scheduler in its own field."


class ScriptNotFoundError(WebUIRejectedError):
    """The WebUI lacks a script that the request uses."""

    code = "WEBUI_SCRIPT_NOT_FOUND"
    remediation = "Install that extension in the WebUI, or turn the stage off that needs it."


class UnknownUpscalerError(WebUIRejectedError):
    """The WebUI does not know the upscaler."""

    code = "WEBUI_UNKNOWN_UPSCALER"
    remediation = "Choose an upscaler that it lists, spelled exactly so."


class UnknownCheckpointError(WebUIRejectedError):
    """The WebUI does not know the checkpoint."""

    code = "WEBUI_UNKNOWN_CHECKPOINT"
    remediation = "Choose a checkpoint that it lists, or put the file in its folder and refresh."


class RefinerRefusedError(WebUIRejectedError):
    """The refiner cannot go on with what the checkpoint has begun."""

    code = "WEBUI_REFINER_REFUSED"
    remediation = "Choose a refiner of the checkpoint's own architecture (SD 1.5 or SDXL), or turn it off."


class UnknownOptionError(WebUIRejectedError):
    """The WebUI does not know an option that the request sets."""

    code = "WEBUI_UNKNOWN_OPTION"
    remediation = "Leave the setting that it names out of the pack, or use another WebUI."


class InvalidImageError(WebUIRejectedError):
    """The WebUI cannot use an image of the request."""

    code = "WEBUI_INVALID_IMAGE"
    remediation = "See on the job's page whether the picture before this stage opens, then run it again."


class WebUIRequestTooLargeError(WebUIRejectedError):
    """The request is larger than the server, or a proxy in front of it, accepts."""

    code = "WEBUI_REQUEST_TOO_LARGE"
    remediation = (
        "Raise the largest request body in that proxy (nginx: client_max_body_size), or make the picture that this "
        "stage sends smaller: txt2img.width and txt2img.height, or an upscale before it."
    )


class WebUITransientError(WebUIError):
    """The WebUI, or something in front of it, cannot answer just now."""

    code = "WEBUI_TRANSIENT"
    remediation = "Try again in a moment."


class WebUIServerError(WebUIError):
    """The WebUI failed while it worked on the request."""

    code = "WEBUI_SERVER_ERROR"
    remediation = "Read the end of its log, webui_tail.log in the evidence; restart it if others fail too."

    @property
    def leaves_server_unusable(self) -> bool:
        """A worker ends when it has no memory left, and what else fails there may have broken its graphics card."""
        return self.server is ServerNoun.WORKER


class WebUIOutOfMemoryError(WebUIServerError):
    """The WebUI ran out of memory."""

    code = "WEBUI_OUT_OF_MEMORY"
    remediation = "Make the picture or the batch smaller, or free memory on that machine."


class WebUICheckpointError(WebUIError):
    """The WebUI cannot draw with the checkpoint."""

    code = "WEBUI_CHECKPOINT_FAILED"
    remediation = "Try another checkpoint, or replace its file."
    what: ClassVar[str] = "failed"
    """Of that checkpoint: "tinyNaN gave NaN 3 times"."""


class WebUINaNError(WebUICheckpointError):
    """The WebUI computed NaNs instead of a picture."""

    code = "WEBUI_NAN"
    remediation = (
        "Try another VAE or checkpoint, or start the WebUI with --no-half-vae or --no-half. The prompt is not the "
        "cause, and the same request gives NaN again."
    )
    what = "gave NaN"


class CheckpointNotLoadedError(WebUICheckpointError):
    """The WebUI could not load the checkpoint."""

    code = "WEBUI_CHECKPOINT_NOT_LOADED"
    remediation = (
        "Its file may be damaged or incomplete: copy it again, or choose another checkpoint. Models without built-in "
        "text encoders or VAE also need txt2img.forge_additional_modules (Forge)."
    )
    what = "could not be loaded"

    @property
    def leaves_server_unusable(self) -> bool:
        """A load that broke off leaves half a model."""
        return True


class WebUIUnavailableError(WebUIError):
    """The WebUI gave no answer."""

    code = "WEBUI_UNAVAILABLE"
    remediation = "See that the WebUI is running and reachable at its address."
    sent: ClassVar[bool] = True
    """Whether the request may have been executed; False where it never left, or was refused."""

    @property
    def leaves_server_unusable(self) -> bool:
        """As far as anybody knows: nothing answers."""
        return True


class WebUINotSentError(WebUIUnavailableError):
    """The WebUI could not be reached; the request was never sent."""

    code = "WEBUI_NOT_SENT"
    sent = False


class WebUIConnectionLostError(WebUIUnavailableError):
    """The connection to the WebUI broke before the whole answer came."""

    code = "WEBUI_CONNECTION_LOST"
    remediation = "Did it crash? See the end of its log, webui_tail.log in the evidence; then run it again."


class WebUITimeoutError(WebUIUnavailableError):
    """The WebUI did not answer in time."""

    code = "WEBUI_TIMEOUT"
    remediation = "See whether the WebUI hangs or is only slow; it may still be doing the work."


class WebUIHangError(WebUIUnavailableError):
    """The WebUI stood still."""

    code = "WEBUI_HANG"
    remediation = "See in the WebUI's log what it was doing; on a slow machine raise STABLENEW_HANG_BUSY_S."


class WebUIGatewayError(WebUIUnavailableError):
    """Something in front of the WebUI answered in its place, and the WebUI's own answer is lost."""

    code = "WEBUI_GATEWAY"
    remediation = (
        "See what stands in front of the WebUI: raise the read timeout of the proxy (nginx: proxy_read_timeout), "
        "see that it wants no sign-in, or set an address that avoids it."
    )

    @property
    def leaves_server_unusable(self) -> bool:
        """The server is behind it and may go on drawing."""
        return False


class WebUITransientExhaustedError(WebUIUnavailableError):
    """The WebUI said at every attempt that it cannot work just now."""

    code = "WEBUI_TRANSIENT_EXHAUSTED"
    remediation = "See what keeps the WebUI, or the server in front of it, from working; then run it again."
    sent = False


class WebUIBadAnswerError(WebUIError):
    """The WebUI's answer cannot be used."""

    code = "WEBUI_BAD_ANSWER"
    again: bool = True
    """False: the job is to fail at once."""
    remediation = "Run it again. If it comes again: does a WebUI with --api answer there? See its log."


class WebUITooFewPicturesError(WebUIBadAnswerError):
    """The WebUI answered with fewer pictures than were asked for.

    `pictures` are those that came: kept as partial, never as results.
    """

    code = "WEBUI_TOO_FEW_PICTURES"
    remediation = "Somebody may have interrupted it in its own page; run the job again."

    def __init__(self, words: str = "", *, pictures: tuple[bytes, ...] = (), **facts: Any) -> None:
        super().__init__(words, **facts)
        self.pictures = pictures


class WebUIWrongSizeError(WebUIBadAnswerError):
    """The WebUI answered with a picture of another size than was asked for."""

    code = "WEBUI_WRONG_SIZE"
    remediation = "See in the WebUI's log what changed the size (an extension?), then run the job again."


class TruthDriftError(WebUIBadAnswerError):
    """The WebUI's picture is not what was asked for."""

    code = "TRUTH_DRIFT"
    remediation = "See which setting it names; give the WebUI what it lacks, or ask for what it has."


OTHER_PROGRAM = (WebUIEndpointMissingError, WebUINotOfferedError)
"""Of a generation endpoint: a WebUI that was READY had it, so something else answers now, or it starts anew."""


def crash_eligible(error: BaseException) -> bool:
    """Whether `error` speaks for a dying WebUI, so that a restart and the job's one retry are due.

    True for server errors, for missing answers and for missing endpoints of generation requests, which alone name
    their stage; an error that names no endpoint counts as one of them. What something in front answers proves nothing.
    """
    kinds = (WebUIServerError, WebUIUnavailableError, *OTHER_PROGRAM)
    if isinstance(error, WebUIGatewayError) or not isinstance(error, kinds):
        return False
    return error.endpoint is None or error.stage is not None
