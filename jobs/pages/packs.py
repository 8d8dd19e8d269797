"""Packs: the list, import by upload, one pack with its rows, differences of revisions. Submitting is `orders`."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from jobs.errors import RefusedError, UploadRefusedError
from jobs.packs.names import one_spelling
from jobs.packs.pack import parse_pack
from jobs.packs.uploads import convert_uploads, read_uploads, refuse_too_much
from jobs.pages.forms import FORMAT_CHOICES, ImportForm, SubmitForm
from jobs.pages.orders import pack_context
from jobs.pages.permissions import may_operate, operators_only
from jobs.reading.pack_differences import revision_difference
from jobs.reading.packs import pack_detail, pack_page
from jobs.submitting import importing
from jobs.submitting.importing import Imported
from webui.pages.sent import whole
from webui.words import count

#: Packs of one import that are told one by one.
MAX_TOLD = 8
#: No pack has a row or a revision of a higher number, and no column holds one.
LARGEST = 10**9


@require_safe
def pack_list(request: HttpRequest) -> HttpResponse:
    return _list(request)


def _list(request: HttpRequest, problems: Iterable[str] = (), status: int = 200) -> HttpResponse:
    name = one_spelling(request.GET.get("q", "").strip().replace("\0", ""))[:200]
    after = request.GET.get("after", "").replace("\0", "")[:200]
    with_forms = "forms" in request.GET
    kept = {"q": name} if name else {}
    kept |= {"forms": "1"} if with_forms else {}
    context = {
        "page": pack_page(name, after, with_forms=with_forms),
        "with_forms": with_forms,
        "here": f"{urlencode(kept)}&" if kept else "",
        "name": name,
        "is_first": not after,
        "problems": tuple(problems),
        "may_operate": may_operate(request),
        "import_formats": FORMAT_CHOICES,
        "import_format": request.POST.get("format", ""),
    }
    return render(request, "jobs/pack_list.html", context, status=status)


@require_POST
@operators_only
def pack_import(request: HttpRequest) -> HttpResponse:
    """All files or none: one that cannot be read leaves everything as it was."""
    form = ImportForm(request.POST, request.FILES)
    if not form.is_valid():
        return _list(request, (str(error) for errors in form.errors.values() for error in errors), status=400)
    files: list[UploadedFile[bytes]] = form.cleaned_data["pack_files"]
    try:
        refuse_too_much(file.size or 0 for file in files)
        sources = read_uploads([(file.name or "", file.read()) for file in files])
        notes: list[str] = []
        if form.cleaned_data["format"]:
            made = convert_uploads(sources, form.cleaned_data["format"])
            sources = [one.source for one in made]
            notes = [f"{one.source.pack_id}, {note}" for one in made for note in one.notes]
    except UploadRefusedError as exc:
        return _list(request, exc.problems, status=400)
    user = request.user if isinstance(request.user, User) else None
    try:
        imported = importing.import_packs([parse_pack(source) for source in sources], user=user)
    except RefusedError as exc:
        return _list(request, (problem.message for problem in exc.problems), status=400)
    for done in imported[:MAX_TOLD]:
        messages.success(request, _told(done))
    for note in notes[:MAX_TOLD]:
        messages.warning(request, note)
    if len(notes) > MAX_TOLD:
        messages.warning(
            request, f"{len(notes) - MAX_TOLD:,} more things of these files are not in the packs."
        )
    if len(imported) > MAX_TOLD:
        messages.success(request, f"{len(imported) - MAX_TOLD:,} more packs were imported.")
    if len(imported) == 1:
        return redirect("pack", pack_id=imported[0].revision.pack_id)
    return redirect("packs")


def _told(done: Imported) -> str:
    revision = done.revision
    warnings = len(revision.warnings)
    noticed = f", with {count(warnings, 'warning')}" if warnings else ""
    rows = count(revision.row_count, "row")
    if done.created:
        return f"{revision.pack.name} is now revision {revision.number}: {rows}{noticed}."
    return f"{revision.pack.name} had this content already, as revision {revision.number}: {rows}{noticed}."


@require_safe
def pack(request: HttpRequest, pack_id: int) -> HttpResponse:
    """A pack with its rows; `revision` shows an earlier one, `row` opens that row on its page, `open` all rows."""
    row = _number(request, "row")
    detail = pack_detail(pack_id, _number(request, "revision"), row or 1)
    if detail is None:
        raise Http404("There is no such pack, or not that revision of it.")
    context = pack_context(request, detail, SubmitForm())
    context |= {"opened": row, "open_all": "open" in request.GET}
    return render(request, "jobs/pack_detail.html", context)


@require_safe
def pack_diff(request: HttpRequest, pack_id: int) -> HttpResponse:
    """What revision `to` changed since `from`; without them, the newest since the one before it."""
    found = revision_difference(pack_id, _number(request, "from"), _number(request, "to"))
    if found is None:
        raise Http404("There is no such pack, or not those revisions of it.")
    return render(request, "jobs/pack_diff.html", {"diff": found})


def _number(request: HttpRequest, name: str) -> int | None:
    number = whole(request.GET.get(name, ""))
    return None if number is None else min(number, LARGEST)
