"""Every address of the site: what it answers to, and the least role that it asks for.

An address that is not in `ENTRIES` fails `test_every_address_has_an_entry`: say here who may use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse

from diagnostics.evidence.artifacts import artifacts_of
from jobs.bulk import acts
from jobs.models import BulkVerb, InputPicture, Job, OutputImage, Submission
from jobs.queue.filters import JobFilter
from stablenew_site.roles import Role
from tests.factories import make_node, make_pack, make_runner, submit
from tests.integration.failed_jobs import fail_in_retry
from tests.integration.film_runs import run_film
from tests.integration.finished_jobs import claim, complete, show_preview
from webui.models import Node
from webui.nodes.catalogs import store
from webui.work import catalog


@dataclass(frozen=True, slots=True)
class Entry:
    """`least` None: nobody has to log in."""

    methods: frozenset[str]
    least: Role | None


def _entries(methods: str, least: Role | None, names: str) -> dict[str, Entry]:
    return dict.fromkeys(names.split(), Entry(frozenset(methods.split()), least))


ENTRIES: dict[str, Entry] = {
    **_entries("GET", None, "healthz robots"),
    **_entries("GET POST", None, "login admin-login"),
    **_entries(
        "GET",
        Role.VIEWER,
        "queue queue-live bulk history history-news jobs job job-live output thumb poster picture preview "
        "input input-thumb "
        "runner-state packs pack pack-diff pack-order submission submission-live "
        "nodes node-strip node node-boots node-catalog node-log events events-jsonl "
        "failures failure-artifacts job-account job-exchanges "
        "api-jobs api-job api-document",
    ),
    **_entries("POST", Role.VIEWER, "logout pack-dry-run"),
    **_entries(
        "POST",
        Role.OPERATOR,
        "queue-pause queue-resume lists-refresh bulk-ask bulk-start bulk-advance bulk-stop "
        "job-cancel job-rerun runner-try runner-release pack-import pack-submit submission-cancel",
    ),
    **_entries("POST", Role.OPERATOR, "input-upload"),
    **_entries("GET POST", Role.OPERATOR, "new-video new-edit"),
    **_entries("GET", Role.ADMIN, "failure-artifact bundle"),
    **_entries("POST", Role.ADMIN, "bundle-with-prompts"),
    **_entries("GET POST", Role.ADMIN, "node-attach node-edit node-remove"),
    **_entries("POST", Role.ADMIN, "node-catalog-read node-wish node-take-back node-test"),
}


def _patterns(found: list[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for pattern in found:
        if isinstance(pattern, URLPattern):
            yield pattern
        elif pattern.namespace != "admin":
            yield from _patterns(pattern.url_patterns)


#: Names of all addresses but those of Django's admin; "" for one that has none.
ALL = sorted(pattern.name or "" for pattern in _patterns(get_resolver().url_patterns))
#: Addresses for programs: who is signed out is not led to the login, and whatever they answer is JSON.
API = {"api-jobs", "api-job", "api-document"}
OPEN = {name for name, entry in ENTRIES.items() if entry.least is None}
POST_ONLY = {name for name, entry in ENTRIES.items() if entry.methods == {"POST"}}
#: What only some of those who are logged in may do.
CHANGING = {name for name in POST_ONLY if ENTRIES[name].least not in (None, Role.VIEWER)}
#: Pages that not every viewer may read.
GUARDED = {
    name
    for name, entry in ENTRIES.items()
    if "GET" in entry.methods and entry.least not in (None, Role.VIEWER)
}


def make_addresses() -> dict[str, str]:
    """Every name with an address that leads to rows that exist; makes the rows."""
    runner = make_runner(make_node(start_command="webui.sh"))
    upscaler = catalog.Entry("R-ESRGAN 4x+", usable=False, note="its weights are not here")
    store(runner.node, catalog.Catalog(dialect="a1111", lists={catalog.Thing.UPSCALER: (upscaler,)}))
    revision = make_pack()
    submit(revision, repeat=4)
    complete(runner)
    failed = fail_in_retry(runner)
    show_preview(runner, claim(runner))
    ids: dict[str, int | str] = {
        "job_id": Job.objects.values_list("pk", flat=True)[0],
        "output_id": OutputImage.objects.values_list("pk", flat=True)[0],
        "pack_id": revision.pack_id,
        "submission_id": Submission.objects.values_list("pk", flat=True)[0],
        "node_id": Node.objects.values_list("pk", flat=True)[0],
        "action_id": acts.start(BulkVerb.BACK, JobFilter(), by="ada").pk,
    }
    film_job, _, _ = run_film()
    ids["sha256"] = InputPicture.objects.values_list("sha256", flat=True)[0]
    evidence = {"job_id": failed.pk, "path": artifacts_of(failed.pk)[0].path}
    found = {
        "failure-artifact": reverse("failure-artifact", kwargs=evidence),
        "poster": reverse("poster", args=[film_job.results[0].pk]),
    }
    for name in (name for name in ALL if name not in found):
        for wanted in ((), *((key,) for key in ids)):
            try:
                found[name] = reverse(name, kwargs={key: ids[key] for key in wanted})
                break
            except NoReverseMatch:  # the next arguments may fit
                continue
    assert sorted(found) == ALL, "give make_addresses the arguments of the new address"
    return found


def admin_addresses() -> list[str]:
    """Addresses of Django's admin, those of rows with the number 1."""
    root = next(
        p for p in get_resolver().url_patterns if isinstance(p, URLResolver) and p.namespace == "admin"
    )
    found = {"/admin/nothing/", "/admin/jobs/job/1/"}
    for pattern in _patterns(root.url_patterns):
        for arguments in ((), ("1",), ("1", "1"), ("jobs",)):
            try:
                found.add(reverse(f"admin:{pattern.name}", args=arguments))
                break
            except NoReverseMatch:
                continue
        else:
            assert pattern.name is None, pattern
    return sorted(found)
