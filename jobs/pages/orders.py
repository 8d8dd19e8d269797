"""Submitting packs: the page for several of them, the preview of what options make, and the press that queues it."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.forms.boundfield import BoundField
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from jobs.clock import database_now
from jobs.errors import ConflictError, RefusedError
from jobs.models import PackRevision, PromptPack
from jobs.packs.pack import parse_pack
from jobs.pages.forms import MAX_SLOT_FIELDS, SubmitForm
from jobs.pages.permissions import may_operate, operators_only
from jobs.reading.name_choices import NAMED_SETTINGS, name_choices
from jobs.reading.pack_choices import Missing, missing_together
from jobs.reading.pack_problems import on_page, problem_sentences
from jobs.reading.packs import PackDetail, pack_detail, preset_choices, revisions_of, why_too_much
from jobs.reading.submissions import submission_results
from jobs.submitting import preflight_words
from jobs.submitting.order_preview import OrderPreview, preview
from jobs.submitting.ordering import DRAWN_SEEDS, OrderPlan, build_order, plan_order
from jobs.submitting.preflight import Preflight
from jobs.submitting.submission import BuiltPack, Submitted, source_of, submit_packs
from webui.kinds import WorkKind
from webui.pages.htmx import HtmxHttpRequest
from webui.pages.sent import plain, whole
from webui.words import count
from webui.work.limits import LIMITS

#: Problems and warnings that a page lists one by one; more are only counted.
MAX_PROBLEMS = 50
#: Reasons of a refusal that stand above the page, which lists them again.
MAX_TOLD = 5
MAX_KEY_CHARS = 200
#: Fields that go along from the preview to the submission; what becomes of what is missing its buttons say.
CARRIED = tuple(name for name in SubmitForm.base_fields if name != "on_missing")
GONE = "There is no such pack, or not that revision of it."


@require_safe
def pack_order(request: HttpRequest) -> HttpResponse:
    """Several packs (`pack`, by id) to submit together; with none it says how to choose some."""
    asked = _ids(request.GET.getlist("pack"))
    if refused := why_too_much(PromptPack.objects.filter(pk__in=asked).values("current_id"), len(asked)):
        messages.error(request, refused)
        return redirect("packs")
    revisions = revisions_of(asked)
    return render(request, "jobs/pack_order.html", _order_context(request, revisions, SubmitForm()))


@require_POST
def pack_dry_run(request: HtmxHttpRequest) -> HttpResponse:
    """How many records and pictures these options make, and which prompts; nothing is stored."""
    revisions = _revisions(request.POST)
    form = SubmitForm(request.POST)
    made = _made(revisions, form, _planned(revisions, form)) if form.is_valid() else {}
    if request.htmx:
        context = {"form": form, "may_operate": may_operate(request), "is_fragment": True}
        return render(request, "jobs/pack_dry_run.html", context | made)
    return _page(request, revisions, form, made)


@require_POST
@operators_only
def pack_submit(request: HttpRequest) -> HttpResponse:
    """Queue what the preview showed. The same key again queues nothing and leads to the same place."""
    revisions = _revisions(request.POST)
    form = SubmitForm(request.POST)
    refused: Iterable[str]
    made: dict[str, Any] = {}
    if form.is_valid():
        order = _planned(revisions, form)
        try:
            return lead_to(request, _submit(request, revisions, form, order))
        except RefusedError as exc:
            refused = problem_sentences(exc.problems)[:MAX_TOLD]
        except ConflictError as exc:
            refused = [str(exc)]
        made = _made(revisions, form, order, whole_check=True)
    else:
        refused = [str(error) for errors in form.errors.values() for error in errors]
    for words in refused:
        messages.error(request, f"Nothing was queued: {words}")
    return _page(request, revisions, form, made, status=409)


def _planned(revisions: Sequence[PackRevision], form: SubmitForm) -> OrderPlan:
    return plan_order([parse_pack(source_of(revision)) for revision in revisions], form.options)


def _submit(
    request: HttpRequest, revisions: Sequence[PackRevision], form: SubmitForm, order: OrderPlan
) -> Submitted:
    made = build_order(order)
    if made.problems:
        raise RefusedError(made.problems)
    built = zip(revisions, made.builds, strict=True)
    return submit_packs(
        [BuiltPack(revision, build) for revision, build in built if build.records],
        priority=form.cleaned_data["priority"],
        run_now=form.cleaned_data["run_now"],
        key=plain(request.POST.get("key", ""), MAX_KEY_CHARS) or None,
        on_missing=form.cleaned_data["on_missing"],
        user=request.user if isinstance(request.user, User) else None,
        truth=form.cleaned_data["truth"],
    )


def lead_to(request: HttpRequest, submitted: Submitted) -> HttpResponse:
    made = submitted.submission
    if submitted.created:
        were = "was" if made.job_count == 1 else "were"
        results = submission_results(made)
        messages.success(request, f"{count(made.job_count, 'job')} for {results} {were} queued.")
    else:
        messages.info(request, "This was submitted before; nothing was queued twice.")
    return redirect("submission", submission_id=made.pk)


def pack_context(request: HttpRequest, detail: PackDetail, form: SubmitForm) -> dict[str, Any]:
    """What the page of one pack shows besides a preview."""
    context = _form_context(request, [detail.revision.id], form, detail.choices.missing, {detail.kind})
    return context | {"pack": detail}


def _order_context(
    request: HttpRequest, revisions: Sequence[PackRevision], form: SubmitForm
) -> dict[str, Any]:
    missing = missing_together([(made.pack.name, source_of(made)) for made in revisions])
    kinds = {made.pack.kind for made in revisions}
    context = _form_context(request, [made.pk for made in revisions], form, missing, kinds)
    return context | {"revisions": revisions}


def _form_context(
    request: HttpRequest,
    revision_ids: Sequence[int],
    form: SubmitForm,
    missing: Sequence[Missing],
    kinds: Collection[str],
) -> dict[str, Any]:
    """`kinds` are those of the packs; what only pictures have is not asked for where there are none."""
    of_pictures = not kinds or WorkKind.IMAGE in kinds
    section = next((kind for kind in LIMITS if kind in kinds and not of_pictures), "txt2img")
    return {
        "of_pictures": of_pictures,
        "setting_example": f"{section}.steps={20 if of_pictures else LIMITS[section]['steps'].default}",
        "sweep_example": f"{section}.cfg_scale={'5,7' if of_pictures else '1,2'}",
        "form": form,
        "revision_ids": revision_ids,
        "presets": preset_choices(),
        "drawn": _drawn(form),
        "slot_fields": [
            (found.token, found.rows, form.slot_values.get(found.token, ""))
            for found in missing[:MAX_SLOT_FIELDS]
        ],
        "named_fields": _named_fields(form),
        "may_operate": may_operate(request),
    }


def _named_fields(form: SubmitForm) -> list[tuple[BoundField, str, Sequence[str]]]:
    """Field, label, and the names that it offers."""
    offered = name_choices()
    return [(form[one.field], one.label, offered[one.field]) for one in NAMED_SETTINGS]


def _drawn(form: SubmitForm) -> str:
    """The seed for whoever gives none: the page's own, so that a preview changes with the options alone."""
    given = whole(form.data.get("drawn", "")) if form.is_bound else None
    return str(secrets.randbelow(DRAWN_SEEDS) if given is None else given)


def _page(
    request: HttpRequest,
    revisions: Sequence[PackRevision],
    form: SubmitForm,
    made: dict[str, Any],
    status: int = 200,
) -> HttpResponse:
    """The whole page with a preview, for browsers without script."""
    if len(revisions) > 1:
        context = _order_context(request, revisions, form) | made
        return render(request, "jobs/pack_order.html", context, status=status)
    detail = pack_detail(revisions[0].pack_id, revisions[0].number)
    if detail is None:
        raise Http404(GONE)
    return render(request, "jobs/pack_detail.html", pack_context(request, detail, form) | made, status=status)


def _made(
    revisions: Sequence[PackRevision], form: SubmitForm, order: OrderPlan, *, whole_check: bool = False
) -> dict[str, Any]:
    """The preview, and the hidden fields that submit exactly it."""
    made = preview(revisions, order, whole_check=whole_check)
    problems = problem_sentences(made.problems)
    return {
        "made": made,
        "problems": problems[:MAX_PROBLEMS],
        "more_problems": max(0, len(problems) - MAX_PROBLEMS),
        "noticed": [
            (pack, warning, on_page(warning.message)) for pack, warning in made.warnings[:MAX_PROBLEMS]
        ],
        "carried": _carried(form, revisions, made),
        "checked": PreflightWords.of(made.preflight) if made.preflight is not None else None,
    }


@dataclass(frozen=True, slots=True)
class PreflightWords:
    """What the nodes lack, for the page. `left` records can run; `told` is what was found, `more` the rest."""

    summary: str
    told: tuple[str, ...]
    more: int
    ages: str
    rendered: str
    held: int
    left: int

    @classmethod
    def of(cls, found: Preflight) -> PreflightWords:
        now = database_now()
        told = preflight_words.sentences(found, now)
        return cls(
            summary=preflight_words.summary(found),
            told=tuple(told[:MAX_PROBLEMS]),
            more=max(0, len(told) - MAX_PROBLEMS),
            ages=preflight_words.ages(found, now),
            rendered=preflight_words.rendered_words(found),
            held=len(found.held),
            left=found.records - len(found.held),
        )


def _carried(
    form: SubmitForm, revisions: Sequence[PackRevision], made: OrderPreview
) -> list[tuple[str, str]]:
    fields = {name: form.data[name] for name in CARRIED if form.data.get(name)}
    fields |= {"seed": str(made.build_seed), "key": f"page-{uuid.uuid4()}"}
    slots = [
        pair
        for found in form.slot_values.items()
        for pair in zip(("slot_name", "slot_values"), found, strict=True)
    ]
    return [*(("revision", str(revision.pk)) for revision in revisions), *fields.items(), *slots]


def _revisions(asked: QueryDict) -> list[PackRevision]:
    """The revisions that the form was made for, in its order: their packs may have newer ones by now.

    Raises Http404 when one of them does not exist, and when they are more than the page for them takes.
    """
    ids = _ids(asked.getlist("revision"))
    if refused := why_too_much(ids, len(ids)):
        raise Http404(refused)
    places = {pk: place for place, pk in enumerate(ids)}
    found = sorted(
        PackRevision.objects.select_related("pack").filter(pk__in=ids), key=lambda made: places[made.pk]
    )
    if not ids or len(found) != len(ids):
        raise Http404(GONE)
    return found


def _ids(texts: Sequence[str]) -> list[int]:
    return list(dict.fromkeys(number for number in map(whole, texts) if number is not None))
