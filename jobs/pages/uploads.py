"""Input pictures that somebody gives: one for each request, so that a thousand are never one large body."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, JsonResponse
from django.http.request import UnreadablePostError
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST

from jobs.errors import InputNotKeptError, InputRefusedError
from jobs.inputs.facts import join_bounded, read_input, refuse_size, too_large
from jobs.inputs.store import keep
from jobs.models import InputPicture
from jobs.packs.names import shown_name
from jobs.pages.permissions import operators_only
from webui.pages.sent import plain
from webui.work.limits import MAX_INPUT_BYTES

#: Of a form with one picture: what stands around its bytes.
MAX_FORM_BYTES: Final = 16 * 1024
MAX_NAME_CHARS: Final = 200
FORM: Final = "multipart/form-data"
NAMELESS: Final = "The picture"
PIECE_BYTES: Final = 64 * 1024


def most_bytes(content_type: str) -> int:
    """Of a request: one that tells more is refused before it is read; of one that tells nothing no more is read."""
    return MAX_INPUT_BYTES + MAX_FORM_BYTES * content_type.lower().startswith(FORM)


# Looking for the token in a form reads all of it: whether it is too long is known before.
@csrf_exempt
@require_POST
@operators_only
def input_upload(request: HttpRequest) -> JsonResponse:
    """Keep one picture: the body itself with its `name` in the address, or a form with one file.

    Answers with what it is, or with a sentence that names the file.
    """
    if _told_bytes(request) > most_bytes(request.META.get("CONTENT_TYPE", "")):
        return _refused(str(too_large(_name(request))), HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    answer: JsonResponse = _keep_sent(request)
    return answer


@csrf_protect
def _keep_sent(request: HttpRequest) -> JsonResponse:
    try:
        if _is_form(request) and (files := len(_files(request))) != 1:
            words = f"The request has {files:,} files. Send one picture with each request."
            return _refused(words, HTTPStatus.BAD_REQUEST)
        name, content = _sent(request)
        kept = keep_picture(content, name, by=request.user.get_username())
    except InputRefusedError as exc:
        return _refused(str(exc), HTTPStatus.UNPROCESSABLE_ENTITY)
    except InputNotKeptError as exc:
        return _refused(str(exc), HTTPStatus.SERVICE_UNAVAILABLE)
    except UnreadablePostError:
        return _refused(f"{_name(request)} did not arrive completely. Try again.", HTTPStatus.BAD_REQUEST)
    told = {
        "sha256": kept.sha256,
        "name": name,
        "width": kept.width_px,
        "height": kept.height_px,
        "format": kept.format,
        "thumb": reverse("input-thumb", args=[kept.sha256]),
    }
    return JsonResponse(told, status=HTTPStatus.CREATED)


def keep_picture(content: bytes, name: str, *, by: str) -> InputPicture:
    """Judge and store one file. Raises `InputRefusedError` and `InputNotKeptError`."""
    return keep(content, read_input(content, name), name=name, by=by)


def name_of(file: UploadedFile[bytes]) -> str:
    return shown_name(plain(file.name or "", MAX_NAME_CHARS)) or NAMELESS


def _sent(request: HttpRequest) -> tuple[str, bytes]:
    """Name and bytes. Raises `InputRefusedError` for more than a picture can have."""
    if not _is_form(request):
        name = _name(request)
        return name, join_bounded(_pieces(request), name)
    [file] = _files(request)
    name = name_of(file)
    refuse_size(file.size or 0, name)
    return name, file.read()


def _files(request: HttpRequest) -> list[UploadedFile[bytes]]:
    return [file for name in request.FILES for file in request.FILES.getlist(name)]


def _pieces(request: HttpRequest) -> Iterator[bytes]:
    while piece := request.read(PIECE_BYTES):
        yield piece


def _refused(words: str, status: HTTPStatus) -> JsonResponse:
    return JsonResponse({"error": words}, status=status)


def _name(request: HttpRequest) -> str:
    return shown_name(plain(request.GET.get("name", ""), MAX_NAME_CHARS)) or NAMELESS


def _is_form(request: HttpRequest) -> bool:
    return request.content_type == FORM


def _told_bytes(request: HttpRequest) -> int:
    text = request.META.get("CONTENT_LENGTH") or "0"
    return int(text) if text.isascii() and text.isdigit() else 0
