"""What errors say where the server is a worker, by their codes; `webui.errors` has the words of a WebUI.

Only what a worker can bring about stands here: not what is about checkpoints, samplers and options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ErrorWords:
    """What happened and what to do about it, a sentence or two each."""

    what: str
    remedy: str


OF_WORKER: Final[Mapping[str, ErrorWords]] = {
    "WEBUI_ERROR": ErrorWords(
        "The worker could not do what it was asked.",
        "Look at the worker's log.",
    ),
    "WEBUI_REJECTED": ErrorWords(
        "The worker refused the request.",
        "Change the setting that it names; the same request would be refused again.",
    ),
    "WEBUI_AUTH": ErrorWords(
        "The worker refused our token.",
        "Set the token that it was started with (STABLENEW_WORKER_TOKEN): node change NAME --auth TOKEN.",
    ),
    "WEBUI_ENDPOINT_MISSING": ErrorWords(
        "The worker does not have the address that the request went to.",
        "See that a DiffSynth worker of this version answers at that address.",
    ),
    "WEBUI_NOT_OFFERED": ErrorWords(
        "The worker does not offer what it was asked for.",
        "See that a DiffSynth worker of this version answers at that address.",
    ),
    "WEBUI_REDIRECT": ErrorWords(
        "The worker's address answered with a redirect instead of an answer.",
        "Set the address to where the worker itself answers; redirects are not followed.",
    ),
    "WEBUI_REQUEST_INVALID": ErrorWords(
        "The worker found a field of the request wrong.",
        "Correct the field that it names, in the pack's settings or in the form.",
    ),
    "WEBUI_INVALID_IMAGE": ErrorWords(
        "The worker cannot use an input picture.",
        "See on the job's page whether the input picture opens; then run the job again, or with another one.",
    ),
    "WEBUI_REQUEST_TOO_LARGE": ErrorWords(
        "The request is larger than the worker, or a proxy in front of it, accepts.",
        "Raise the largest request body in that proxy (nginx: client_max_body_size), or use a smaller input "
        "picture.",
    ),
    "WEBUI_TRANSIENT": ErrorWords(
        "The worker, or something in front of it, cannot answer just now.",
        "Try again in a moment.",
    ),
    "WEBUI_SERVER_ERROR": ErrorWords(
        "The worker failed while it worked on the request.",
        "Read the end of its log, webui_tail.log in the evidence; restart it if others fail too.",
    ),
    "WEBUI_OUT_OF_MEMORY": ErrorWords(
        "The worker ran out of memory.",
        "Make the result smaller (width, height, frames), let the worker offload more (offload and "
        "vram_limit_gb in its configuration), or free memory on that machine.",
    ),
    "WEBUI_UNAVAILABLE": ErrorWords(
        "The worker gave no answer.",
        "See that the worker is running and reachable at its address.",
    ),
    "WEBUI_NOT_SENT": ErrorWords(
        "The worker could not be reached; the request was never sent.",
        "See that the worker is running and reachable at its address.",
    ),
    "WEBUI_CONNECTION_LOST": ErrorWords(
        "The connection to the worker broke before the whole answer came.",
        "Did it crash? See the end of its log, webui_tail.log in the evidence; then run it again.",
    ),
    "WEBUI_TIMEOUT": ErrorWords(
        "The worker did not answer in time.",
        "See whether the worker hangs or is only slow; it may still be doing the work.",
    ),
    "WEBUI_HANG": ErrorWords(
        "The worker stood still.",
        "See in the worker's log what it was doing; on a slow machine raise STABLENEW_HANG_STEP_S (steps) "
        "or STABLENEW_HANG_PHASE_S (all other phases).",
    ),
    "WEBUI_GATEWAY": ErrorWords(
        "Something in front of the worker answered in its place, and the worker's own answer is lost.",
        "See what stands in front of the worker: raise the read timeout of the proxy (nginx: "
        "proxy_read_timeout), see that it wants no sign-in, or set an address that avoids it.",
    ),
    "WEBUI_TRANSIENT_EXHAUSTED": ErrorWords(
        "The worker said at every attempt that it cannot work just now.",
        "See what keeps the worker, or the server in front of it, from working; then run it again.",
    ),
    "WEBUI_BAD_ANSWER": ErrorWords(
        "The worker's answer cannot be used.",
        "Run it again. If it comes again: does a DiffSynth worker answer there? See its log.",
    ),
    "WEBUI_TOO_FEW_PICTURES": ErrorWords(
        "The worker ended the job without a result.",
        "Somebody may have cancelled it at the worker; run the job again.",
    ),
    "WEBUI_WRONG_SIZE": ErrorWords(
        "The worker's result has another size than was asked for.",
        "Run the job again. If it comes again, see in the worker's log what changed the size.",
    ),
    "TRUTH_DRIFT": ErrorWords(
        "The worker's result is not what was asked for.",
        "See what it names: give the worker what it lacks, or ask for what it has. A film that stands still may move "
        "with another seed.",
    ),
}
