"""The tree of errors, what an answer makes of it, and what speaks for a dying WebUI."""

import json
import pickle
from typing import Any

import pytest

from webui import errors
from webui.drivers.a1111.answers import error_of
from webui.http.answer import HttpAnswer
from webui.words import ServerNoun
from webui.worker_words import OF_WORKER

TXT2IMG = "/sdapi/v1/txt2img"


def tree(root: type[errors.WebUIError] = errors.WebUIError) -> list[type[errors.WebUIError]]:
    """`root` and all below it, in the order in which they are written."""
    return [root, *(kind for child in root.__subclasses__() for kind in tree(child))]


def answer(status: int, payload: object = None, *, text: str | None = None) -> HttpAnswer:
    body = json.dumps(payload) if text is None else text
    content_type = "application/json" if text is None else "text/html"
    return HttpAnswer(status, content_type, body.encode(), elapsed_s=0.5)


def judged(status: int, payload: object, body: object = None) -> errors.WebUIError:
    return error_of(answer(status, payload), body)


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_every_error_tells_a_person_what_happened_and_what_to_do(kind: type[errors.WebUIError]) -> None:
    error = kind(
        "its own words",
        endpoint=TXT2IMG,
        method="POST",
        stage="txt2img",
        status=500,
        error_class="KeyError",
        elapsed_s=1.25,
        address="http://gpu:7860",
    )
    text = str(error)
    assert kind.__doc__ is not None
    assert text.startswith(kind.__doc__.splitlines()[0].rstrip("."))
    assert "stage txt2img, POST http://gpu:7860/sdapi/v1/txt2img, HTTP 500, KeyError, after 1.2 s" in text
    assert text == f"{error.message} {kind.remediation}"
    assert error.message.endswith(": its own words.")


def test_error_codes_and_sentences_are_unique() -> None:
    kinds = tree()
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert len({kind.__doc__ for kind in kinds}) == len(kinds)


def test_tree_in_the_module_docstring_is_the_tree_in_the_code() -> None:
    assert errors.__doc__ is not None
    drawn = [line.split("─")[-1].split()[0] for line in errors.__doc__.splitlines() if "Error" in line]
    assert drawn == [kind.__name__ for kind in tree()]


def test_error_without_facts_is_still_a_sentence() -> None:
    kind = errors.WebUIConnectionLostError
    sentence = "The connection to the WebUI broke before the whole answer came."
    assert str(kind()) == f"{sentence} {kind.remediation}"


def test_long_words_are_cut_in_the_message_and_kept_in_the_field() -> None:
    error = errors.WebUIServerError("x" * 5000)
    assert len(str(error)) < 1000
    assert len(error.words) == 5000


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_errors_survive_being_sent_between_processes(kind: type[errors.WebUIError]) -> None:
    error = kind("words", endpoint=TXT2IMG, status=500)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert type(copy) is kind
    assert copy.facts() == error.facts() == {"words": "words", "endpoint": TXT2IMG, "status": 500}


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (
            {"error": "HTTPException", "detail": "Sampler not found", "body": "", "errors": ""},
            "Sampler not found",
        ),
        ({"error": "RuntimeError", "detail": "", "body": "", "errors": "it broke"}, "it broke"),
        ({"error": "RuntimeError", "detail": "", "body": "", "message": "it broke"}, "it broke"),
        ({"error": "RuntimeError", "detail": None, "errors": ""}, "RuntimeError"),
        (
            {"detail": [{"loc": ["body", "steps"], "msg": "too many"}, {"msg": "odd"}]},
            "steps: too many; body: odd",
        ),
        ({"detail": [{"loc": ["body", "a", 0, "b"], "msg": "no"}]}, "a.0.b: no"),
        ({"detail": ["plain", {"no": "msg"}]}, 'plain; {"no": "msg"}'),
        ({"detail": {"code": 7}}, '{"code": 7}'),
        ({}, "Internal Server Error"),
        (None, "Internal Server Error"),
        (["odd"], "['odd']"),
    ],
)
def test_words_come_from_whichever_field_holds_them(payload: object, words: str) -> None:
    assert judged(500, payload).words == words


def test_error_page_is_told_by_its_title() -> None:
    page = "<html><head><title>502 Bad Gateway</title></head><body>" + "x" * 9999
    error = error_of(answer(502, text=page), None)
    assert type(error) is errors.WebUIGatewayError
    assert error.words == "an HTML page titled '502 Bad Gateway'"


@pytest.mark.parametrize(
    ("status", "payload", "kind"),
    [
        (400, {"detail": "Sampler not found"}, errors.SamplerNotFoundError),
        (401, {"detail": "Not authenticated"}, errors.WebUIAuthError),
        (403, {"detail": "no"}, errors.WebUIAuthError),
        (404, {"detail": "Not Found"}, errors.WebUIEndpointMissingError),
        (404, {"detail": "Sampler not found"}, errors.SamplerNotFoundError),
        (404, {"detail": "Model not found"}, errors.WebUIRejectedError),
        (413, {"detail": "too large"}, errors.WebUIRequestTooLargeError),
        (422, {"detail": "Script 'ADetailer' not found"}, errors.ScriptNotFoundError),
        (422, {"detail": []}, errors.RequestValidationError),
        (429, {"detail": "slow down"}, errors.WebUITransientError),
        (500, {"error": "KeyError", "errors": "'loaded'"}, errors.WebUIServerError),
        (500, {"error": "AssertionError", "errors": ""}, errors.WebUIServerError),
        (500, {"error": "IndexError", "errors": "list index out of range"}, errors.WebUIServerError),
        (500, {"error": "OutOfMemoryError", "errors": "CUDA out of memory."}, errors.WebUIOutOfMemoryError),
        (500, {"error": "OutOfMemoryError", "errors": ""}, errors.WebUIOutOfMemoryError),
        (500, {"error": "RuntimeError", "errors": "CUDA error: out of memory"}, errors.WebUIOutOfMemoryError),
        (500, {"error": "RuntimeError", "message": "not enough memory"}, errors.WebUIOutOfMemoryError),
        (500, {"error": "RuntimeError", "errors": "CUDA error: unspecified"}, errors.WebUIServerError),
        (500, {"error": "NansException", "message": "A tensor"}, errors.WebUINaNError),
        (500, {"error": "SafetensorError", "errors": "InvalidHeader"}, errors.CheckpointNotLoadedError),
        (
            500,
            {"error": "RuntimeError", "errors": "PytorchStreamReader failed reading zip archive"},
            errors.CheckpointNotLoadedError,
        ),
        (
            500,
            {"error": "AssertionError", "message": "You do not have CLIP state dict!"},
            errors.CheckpointNotLoadedError,
        ),
        (
            500,
            {"error": "Exception", "errors": "Could not find checkpoint with name nothing"},
            errors.UnknownCheckpointError,
        ),
        (
            404,
            {"error": "HTTPException", "code": 404, "detail": "Not Found"},
            errors.WebUIEndpointMissingError,
        ),
        (500, {"detail": "Invalid encoded image"}, errors.InvalidImageError),
        (501, None, errors.WebUINotOfferedError),
        (502, None, errors.WebUIGatewayError),
        (503, {"detail": "busy"}, errors.WebUITransientError),
        (504, None, errors.WebUIGatewayError),
        (507, None, errors.WebUIServerError),
        (302, None, errors.WebUIRedirectError),
    ],
)
def test_status_and_words_decide_the_error(
    status: int, payload: object, kind: type[errors.WebUIError]
) -> None:
    error = judged(status, payload, {"prompt": "a cat", "steps": 20, "width": 512, "height": 512})
    assert type(error) is kind
    assert error.status == status
    assert error.elapsed_s == 0.5


def test_not_yet_ready_server_is_told_from_an_unknown_sampler() -> None:
    """While it starts, every path of the API is a plain 404."""
    starting = judged(404, {"detail": "Not Found"})
    unknown = judged(404, {"error": "HTTPException", "detail": "Sampler not found", "body": "", "errors": ""})
    assert isinstance(starting, errors.WebUIEndpointMissingError)
    assert not isinstance(unknown, errors.WebUIEndpointMissingError)


@pytest.mark.parametrize(
    ("payload", "body", "kind"),
    [
        (
            {"error": "KeyError", "errors": "'my_option'"},
            {"override_settings": {"my_option": 1}},
            errors.UnknownOptionError,
        ),
        ({"error": "KeyError", "errors": "'my_option'"}, {"my_option": 1}, errors.UnknownOptionError),
        (
            {"error": "TypeError", "errors": "'NoneType' and 'int'"},
            {"enable_hr": True},
            errors.RequestValidationError,
        ),
        (
            {"error": "TypeError", "errors": "'NoneType' and 'int'"},
            {"enable_hr": True, "denoising_strength": 0.5},
            errors.WebUIServerError,
        ),
        ({"error": "TypeError", "errors": "'NoneType' and 'int'"}, {}, errors.WebUIServerError),
        (
            {
                "error": "RuntimeError",
                "errors": "mat1 and mat2 shapes cannot be multiplied (77x768 and 2048x640)",
            },
            {"refiner_checkpoint": "sdxl-refiner"},
            errors.RefinerRefusedError,
        ),
        (
            {
                "error": "RuntimeError",
                "errors": "mat1 and mat2 shapes cannot be multiplied (77x768 and 2048x640)",
            },
            {},
            errors.WebUIServerError,
        ),
    ],
)
def test_request_explains_a_500_only_if_it_holds_the_fault(
    payload: dict[str, Any], body: dict[str, Any], kind: type[errors.WebUIError]
) -> None:
    assert type(judged(500, payload, body)) is kind


@pytest.mark.parametrize(
    ("error", "eligible"),
    [
        (errors.WebUIServerError(endpoint=TXT2IMG, stage="txt2img"), True),
        (errors.WebUIOutOfMemoryError(endpoint="/sdapi/v1/img2img", stage="img2img"), True),
        (errors.WebUIOutOfMemoryError(endpoint="/sdapi/v1/extra-single-image", stage="upscale"), True),
        (errors.WebUINaNError(endpoint=TXT2IMG, stage="txt2img"), False),
        (errors.CheckpointNotLoadedError(endpoint=TXT2IMG, stage="txt2img"), False),
        (errors.RefinerRefusedError(endpoint=TXT2IMG, stage="txt2img"), False),
        (errors.WebUINotSentError(endpoint=TXT2IMG, stage="txt2img"), True),
        (errors.WebUIConnectionLostError(endpoint=TXT2IMG, stage="txt2img"), True),
        (errors.WebUITimeoutError(endpoint=TXT2IMG, stage="txt2img"), True),
        (errors.WebUIHangError(endpoint=TXT2IMG, stage="txt2img"), True),
        (errors.WebUITransientExhaustedError(endpoint=TXT2IMG, stage="txt2img"), True),
        (errors.WebUIUnavailableError("no answer"), True),
        (errors.WebUIEndpointMissingError(endpoint=TXT2IMG, stage="txt2img"), True),
        (errors.WebUINotOfferedError(endpoint=TXT2IMG, stage="txt2img"), True),
        (errors.WebUIRedirectError(endpoint="/sdapi/v1/progress"), False),
        (errors.WebUIEndpointMissingError(endpoint="/internal/progress"), False),
        (errors.WebUIServerError(endpoint="/sdapi/v1/options"), False),
        (errors.WebUITimeoutError(endpoint="/sdapi/v1/progress"), False),
        (errors.WebUIServerError(endpoint=TXT2IMG), False),
        (errors.WebUIConnectionLostError(endpoint="/sdapi/v1/refresh-checkpoints"), False),
        (errors.WebUITransientError(endpoint=TXT2IMG, stage="txt2img"), False),
        (errors.WebUIBadAnswerError(endpoint=TXT2IMG, stage="txt2img"), False),
        (errors.WebUITooFewPicturesError(endpoint=TXT2IMG, stage="txt2img"), False),
        (errors.WebUIRejectedError(endpoint=TXT2IMG, stage="txt2img"), False),
        (errors.InvalidImageError(endpoint=TXT2IMG, stage="txt2img", status=500), False),
        (errors.WebUIAuthError(endpoint=TXT2IMG, stage="txt2img"), False),
        (ValueError("ours"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_only_failing_or_silent_generation_speaks_for_a_dying_webui(error: Exception, eligible: bool) -> None:
    assert errors.crash_eligible(error) is eligible


def test_only_a_request_that_was_not_executed_says_so() -> None:
    below = [kind for kind in tree() if issubclass(kind, errors.WebUIUnavailableError)]
    unsent = [kind for kind in below if not kind.sent]
    assert unsent == [errors.WebUINotSentError, errors.WebUITransientExhaustedError]


# --- the same of a worker ---------------------------------------------------------------------------

OF_PICTURES = (
    "WebUI",
    "picture",
    "password",
    "user name",
    "STABLENEW_HANG_BUSY_S",
    "txt2img",
    "prompt",
    "--api",
)


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_error_of_a_worker_speaks_of_no_webui(kind: type[errors.WebUIError]) -> None:
    told = str(kind(server=ServerNoun.WORKER)).replace("webui_tail.log", "").replace("input picture", "")
    assert told == told.strip()
    assert [word for word in OF_PICTURES if word in told] == []
    assert "worker" in told


def test_sentences_of_a_worker_are_unique() -> None:
    assert len({told.what for told in OF_WORKER.values()}) == len(OF_WORKER)
    assert set(OF_WORKER) <= {kind.code for kind in tree()}


def test_server_of_an_error_is_kept_and_told_where_it_is_no_webui() -> None:
    error = errors.WebUIHangError("its progress has not changed for 5 s", server=ServerNoun.WORKER)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert str(copy) == str(error)
    assert copy.message == "The worker stood still: its progress has not changed for 5 s."
    assert copy.remedy == OF_WORKER[errors.WebUIHangError.code].remedy
    assert errors.WebUIHangError().facts() == {"words": ""}
