"""Packs: import by upload, rows and warnings, dry run, submit."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from jobs import services
from jobs.builder import Build, build
from jobs.errors import ConflictError, RefusedError
from jobs.forms import ImportForm, SubmitForm
from jobs.models import PackRevision
from jobs.packs.uploads import UploadRefusedError, read_uploads
from jobs.selectors.packs import PackDetail, pack_detail, pack_lines, submission_detail
from jobs.submission import BuiltPack, source_of, submit_packs
from jobs.views.permissions import may_operate, operators_only

#: Problems that a page lists one by one; more are only counted.
MAX_PROBLEMS = 50


@require_safe
def pack_list(request: HttpRequest) -> HttpResponse:
    return _list(request)


def _list(request: HttpRequest, problems: Iterable[str] = (), status: int = 200) -> HttpResponse:
    context = {"packs": pack_lines(), "problems": tuple(problems), "may_operate": may_operate(request)}
    return render(request, "jobs/pack_list.html", context, status=status)


@require_POST
@operators_only
def pack_import(request: HttpRequest) -> HttpResponse:
    """All files or none: one that cannot be read leaves everything as it was."""
    form = ImportForm(request.POST, request.FILES)
    if not form.is_valid():
        return _list(request, (str(error) for error in form.errors["pack_files"]), status=400)
    files: list[UploadedFile[bytes]] = form.cleaned_data["pack_files"]
    try:
        sources = read_uploads({file.name or "": file.read() for file in files})
    except UploadRefusedError as exc:
        return _list(request, exc.problems, status=400)
    with transaction.atomic():
        imported = [services.import_pack(source, user=_user(request)) for source in sources]
    for done in imported:
        revision = done.revision
        what = f"is now revision {revision.number}" if done.created else "had this content already"
        warnings = f", with {len(revision.warnings)} warnings" if revision.warnings else ""
        messages.success(request, f"{revision.pack.name} {what}: {revision.row_count} rows{warnings}.")
    if len(imported) == 1:
        return redirect("pack", pack_id=imported[0].revision.pack_id)
    return redirect("packs")


@require_safe
def pack(request: HttpRequest, pack_id: int) -> HttpResponse:
    """A pack with its rows; `revision` shows an earlier one."""
    number = request.GET.get("revision", "")
    detail = pack_detail(pack_id, int(number) if number.isdigit() and len(number) < 9 else None)
    if detail is None:
        return _gone(request, "There is no such pack, or not that revision of it.")
    return render(request, "jobs/pack_detail.html", _pack_context(request, detail, SubmitForm()))


def _pack_context(request: HttpRequest, detail: PackDetail, form: SubmitForm) -> dict[str, Any]:
    return {"pack": detail, "pack_id": detail.id, "form": form, "may_operate": may_operate(request)}


@require_POST
def pack_dry_run(request: HttpRequest, pack_id: int) -> HttpResponse:
    """How many records and pictures these options make, and which prompts; nothing is stored."""
    revision = _revision(request.POST, pack_id)
    if revision is None:
        return _gone(request, "There is no such pack, or not that revision of it.")
    form = SubmitForm(request.POST)
    context: dict[str, Any] = {"form": form, "may_operate": may_operate(request), "pack_id": pack_id}
    if form.is_valid():
        context |= _dry_run_context(request.POST, revision, build(source_of(revision), form.options))
    if "HX-Request" in request.headers:
        return render(request, "jobs/pack_dry_run.html", context)
    detail = pack_detail(pack_id, revision.number)
    if detail is None:
        return _gone(request, "There is no such pack.")
    return render(request, "jobs/pack_detail.html", _pack_context(request, detail, form) | context)


def _dry_run_context(asked: Mapping[str, str], revision: PackRevision, made: Build) -> dict[str, Any]:
    """What the page shows of a build, and the hidden fields that submit exactly this one."""
    carried = {name: asked.get(name, "") for name in SubmitForm.base_fields if asked.get(name)}
    carried |= {
        "seed": str(made.options.build_seed),
        "revision": str(revision.pk),
        "key": f"page-{uuid.uuid4()}",
    }
    return {
        "build": made,
        "first": made.records[0] if made.records else None,
        "last": made.records[-1] if len(made.records) > 1 else None,
        "problems": made.problems[:MAX_PROBLEMS],
        "more_problems": max(0, len(made.problems) - MAX_PROBLEMS),
        "carried": carried,
    }


@require_POST
@operators_only
def pack_submit(request: HttpRequest, pack_id: int) -> HttpResponse:
    """Queue what the dry run showed. The same key again queues nothing and leads to the same place."""
    revision = _revision(request.POST, pack_id)
    if revision is None:
        return _gone(request, "There is no such pack, or not that revision of it.")
    form = SubmitForm(request.POST)
    if not form.is_valid():
        for errors in form.errors.values():
            for error in errors:
                messages.error(request, f"Nothing was queued: {error}")
        return redirect("pack", pack_id=pack_id)
    try:
        submitted = submit_packs(
            [BuiltPack(revision, build(source_of(revision), form.options))],
            priority=form.cleaned_data["priority"],
            run_now=form.cleaned_data["run_now"],
            key=request.POST.get("key", "")[:200] or None,
            user=_user(request),
        )
    except RefusedError as exc:
        for problem in exc.problems[:MAX_PROBLEMS]:
            messages.error(request, f"Nothing was queued: {problem.message}")
        return redirect("pack", pack_id=pack_id)
    except ConflictError as exc:
        messages.error(request, f"Nothing was queued: {exc}")
        return redirect("pack", pack_id=pack_id)
    if submitted.created:
        made = submitted.submission
        messages.success(request, f"{made.job_count:,} jobs for {made.image_count:,} pictures were queued.")
    return redirect("submission", submission_id=submitted.submission.pk)


@require_safe
def submission(request: HttpRequest, submission_id: int) -> HttpResponse:
    detail = submission_detail(submission_id)
    if detail is None:
        return _gone(request, f"There is no submission {submission_id}.")
    return render(request, "jobs/submission_detail.html", {"submission": detail})


def _revision(asked: QueryDict, pack_id: int) -> PackRevision | None:
    """The revision that the form was made for: its pack may have a newer one by now."""
    number = asked.get("revision", "")
    if not number.isdigit() or len(number) > 18:
        return None
    return PackRevision.objects.select_related("pack").filter(pk=int(number), pack_id=pack_id).first()


def _user(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _gone(request: HttpRequest, reason: str) -> HttpResponse:
    return render(request, "404.html", {"reason": reason}, status=404)
