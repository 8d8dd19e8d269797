"""The pages "New video" and "New edit": pictures and a prompt become films or edits."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from jobs.errors import ConflictError, InputNotKeptError, InputRefusedError, RefusedError
from jobs.inputs.facts import MOST_BYTES_WORDS, refuse_size
from jobs.packs.rows import RowImage
from jobs.pages.new_forms import NewForm
from jobs.pages.orders import lead_to
from jobs.pages.permissions import operators_only
from jobs.pages.uploads import keep_picture, name_of
from jobs.queue.filters import JobFilter
from jobs.reading.new_work import new_outlook
from jobs.reading.submissions import jobs_of
from jobs.submitting.chosen_pictures import (
    MAX_PICTURES,
    Chosen,
    ChosenPicture,
    chosen_pictures,
    of_filter,
    of_jobs,
    of_submission,
    token_of,
)
from jobs.submitting.filled_form import Made, by_field, look_at, queue
from jobs.submitting.ordering import DRAWN_SEEDS
from webui.kinds import WorkKind
from webui.pages.htmx import HtmxHttpRequest
from webui.pages.return_address import return_address
from webui.pages.sent import plain, whole
from webui.work.limits import MAX_INPUT_BYTES, MAX_INPUTS

MAX_NONCE_CHARS: Final = 60
TITLES: Final[Mapping[str, str]] = {WorkKind.I2V: "New video", WorkKind.EDIT: "New edit"}
NAMES: Final[Mapping[str, str]] = {WorkKind.I2V: "new-video", WorkKind.EDIT: "new-edit"}
#: Stands for what is not chosen or written yet, so that everything else is judged already.
_SOME_WORDS: Final = "-"
_SOME_PICTURE: Final = ChosenPicture("", RowImage("0" * 64, "", 1024, 1024), 1)

#: Where what belongs to no field is told.
WHOLE: Final = "form"

Errors = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class FormSight:
    """A form as it stands. `why_not` says why it cannot be submitted, "" where it can."""

    form: NewForm
    chosen: Chosen
    errors: Errors
    made: Made | None
    why_not: str


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def new_video(request: HtmxHttpRequest) -> HttpResponse:
    """Films of pictures."""
    return _new(request, WorkKind.I2V)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def new_edit(request: HtmxHttpRequest) -> HttpResponse:
    """Pictures made of others by an instruction."""
    return _new(request, WorkKind.EDIT)


def _new(request: HtmxHttpRequest, kind: WorkKind) -> HttpResponse:
    """`act` of a form is `submit`, `gather` (results of a selection of jobs), or nothing for a preview."""
    act = request.POST.get("act", "")
    if request.method != "POST":
        return _begin(request, kind, _named(request.GET))
    if act == "gather":
        tokens = _gathered(request.POST)
        if tokens:
            return _begin(request, kind, tokens)
        messages.warning(
            request, "None of these jobs has a picture to go on with: films and failures have none."
        )
        return redirect(return_address(request, reverse("history")))
    form = NewForm(kind, request.POST)
    tokens, refused = _with_uploads(request)
    if act == "submit":
        return _submit(request, form, chosen_pictures(tokens), refused)
    sight = _look(form, chosen_pictures(tokens), refused)
    if request.htmx:
        return render(request, "jobs/_new_preview.html", _context(request, sight) | {"is_fragment": True})
    return _page(request, sight)


def _begin(request: HttpRequest, kind: WorkKind, tokens: Sequence[str]) -> HttpResponse:
    """An untouched form, with results of others where some were chosen."""
    if len(tokens) > MAX_PICTURES:
        messages.warning(
            request, f"There are more pictures than one form takes: these are the first {MAX_PICTURES:,}."
        )
    return _page(request, _look(NewForm.fresh(kind), chosen_pictures(tokens[:MAX_PICTURES]), []))


def _named(asked: QueryDict) -> list[str]:
    """Results, jobs or a submission that the address names."""
    tokens = [token_of(number) for text in asked.getlist("result") if (number := whole(text)) is not None]
    tokens += of_jobs(number for text in asked.getlist("job") if (number := whole(text)) is not None)
    submission_id = whole(asked.get("submission", ""))
    if submission_id is not None:
        tokens += of_submission(jobs_of(submission_id))
    return tokens


def _gathered(sent: QueryDict) -> list[str]:
    """Results of the jobs that the bar of a list has marked, or of all that match its filter."""
    if sent.get("all") == "1":
        prefix = "filter-"
        chosen = {name.removeprefix(prefix): sent.get(name, "") for name in sent if name.startswith(prefix)}
        return of_filter(JobFilter.from_query(chosen))
    numbers = map(whole, ",".join(sent.getlist("job")).split(","))
    return of_jobs(number for number in numbers if number is not None)


def _with_uploads(request: HttpRequest) -> tuple[list[str], list[str]]:
    """Tokens of the form's pictures and of files that came with it, and why some of these are refused."""
    tokens, refused = request.POST.getlist("image"), list[str]()
    files: list[UploadedFile[bytes]] = request.FILES.getlist("pictures")
    for file in files:
        name = name_of(file)
        try:
            refuse_size(file.size or 0, name)
            tokens.append(keep_picture(file.read(), name, by=request.user.get_username()).sha256)
        except (InputRefusedError, InputNotKeptError) as exc:
            refused.append(str(exc))
    return tokens, refused


def _look(form: NewForm, chosen: Chosen, refused: Iterable[str], *, strict: bool = False) -> FormSight:
    """What the form makes. Where it is not `strict`, what is not chosen or written yet is no error."""
    errors: Errors = {}
    for name, found in form.errors.items():
        _add(errors, name if name in form.told_fields else WHOLE, map(str, found))
    _add(errors, "images", (*refused, *chosen.problems))
    filled = form.filled(chosen.pictures)
    has_prompt = bool(filled.prompt)
    seen = filled
    if not strict:
        seen = replace(
            filled, prompt=filled.prompt or _SOME_WORDS, pictures=filled.pictures or (_SOME_PICTURE,)
        )
    made = look_at(seen)
    for name, words in made.problems.items():
        _add(errors, name or WHOLE, words)
    why_not = ""
    if not chosen.pictures:
        why_not = "Choose a picture first." if not errors else "Choose a picture, and change what is marked."
    elif not has_prompt:
        why_not = "Write a prompt first." if not errors else "Write a prompt, and change what is marked."
    elif errors:
        why_not = "Change what is marked first."
    return FormSight(form, chosen, errors, made if chosen.pictures and made.results else None, why_not)


def _add(errors: Errors, name: str, words: Iterable[str]) -> None:
    """Each once; a field without any has no entry."""
    for one in words:
        if one not in errors.get(name, ()):
            errors.setdefault(name, []).append(one)


def _submit(request: HttpRequest, form: NewForm, chosen: Chosen, refused: Sequence[str]) -> HttpResponse:
    """Queue it, or show the whole form again with everything that is wrong."""
    sight = _look(form, chosen, refused, strict=True)
    if not sight.errors:
        try:
            submitted = queue(
                form.filled(chosen.pictures),
                nonce=_nonce(form),
                user=request.user if isinstance(request.user, User) else None,
                priority=form.cleaned_data["priority"],
                truth=form.cleaned_data["truth"],
            )
        except RefusedError as exc:
            for name, words in by_field(exc.problems, form.kind).items():
                _add(sight.errors, name or WHOLE, words)
        except (ConflictError, InputNotKeptError) as exc:
            _add(sight.errors, WHOLE, [str(exc)])
        else:
            return lead_to(request, submitted)
    messages.error(request, "Nothing was queued. Change what is marked, then submit again.")
    return _page(request, replace(sight, why_not=sight.why_not or "Change what is marked first."), status=409)


def _page(request: HttpRequest, sight: FormSight, status: int = 200) -> HttpResponse:
    return render(request, "jobs/new_work.html", _context(request, sight), status=status)


def _context(request: HttpRequest, sight: FormSight) -> dict[str, Any]:
    form, made = sight.form, sight.made
    return {
        "form": form,
        "kind": form.kind,
        "is_video": form.kind == WorkKind.I2V,
        "title": TITLES[form.kind],
        "here": reverse(NAMES[form.kind]),
        "pictures": sight.chosen.pictures,
        "errors": sight.errors,
        "field_errors": [(name, sight.errors.get(name, [])) for name in form.told_fields],
        "settings": [(one, sight.errors.get(one.name, [])) for one in form.setting_fields],
        "made": made,
        "why_not": sight.why_not,
        "outlook": new_outlook(form.kind, made.results if made else 0),
        "nonce": _nonce(form),
        "drawn": _drawn(form),
        "most_pictures": MAX_PICTURES,
        "most_bytes": MAX_INPUT_BYTES,
        "most_words": MOST_BYTES_WORDS,
        "most_together": MAX_INPUTS,
    }


def _nonce(form: NewForm) -> str:
    """The page's own, so that a form that was sent twice is known."""
    return plain(form.data.get("nonce", ""), MAX_NONCE_CHARS) or secrets.token_urlsafe(12)


def _drawn(form: NewForm) -> str:
    """The seed for whoever gives none: a preview that is asked for again does not change it."""
    sent = whole(form.data.get("drawn", ""))
    return str(secrets.randbelow(DRAWN_SEEDS) if sent is None else sent)
