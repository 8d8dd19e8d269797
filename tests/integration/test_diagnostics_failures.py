"""The failure admin: one list of failures with filters, and one page that explains each; nothing can be changed."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from diagnostics.failures import filters
from diagnostics.failures.filters import BoundedPaginator, causes
from diagnostics.models import FailedJob
from jobs.lifecycle import EventType
from jobs.models import Job, Runner
from tests.factories import make_job, make_node, make_pack, make_runner, make_user, submit
from tests.integration.failed_jobs import complete_in_retry, fail_in_retry, server_error, tell
from tests.integration.finished_jobs import claim, complete
from tests.markup import markup

pytestmark = pytest.mark.django_db

LIST = "admin:diagnostics_failedjob_changelist"
PAGE = "admin:diagnostics_failedjob_change"


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


@pytest.fixture
def admin(client: Client) -> Client:
    """Staff with no other permission than to see failures."""
    user = make_user("ada", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_failedjob"))
    client.force_login(user)
    return client


@pytest.fixture
def runner() -> Runner:
    return make_runner(make_node("alpha"))


def listed(client: Client, query: str = "") -> list[int]:
    """Ids of the jobs on the page, in its order."""
    answer = client.get(f"{reverse(LIST)}{query}")
    assert answer.status_code == 200
    return [job.pk for job in answer.context["cl"].result_list]


def page(client: Client, job: Job) -> str:
    answer = client.get(reverse(PAGE, args=[job.pk]))
    assert answer.status_code == 200
    return html.unescape(markup(answer))


def queries(client: Client, address: str) -> int:
    client.get(address)
    with CaptureQueriesContext(connection) as caught:
        assert client.get(address).status_code == 200
    return len(caught)


def test_list_holds_the_failures_newest_first_and_no_other_job(admin: Client, runner: Runner) -> None:
    submit(repeat=4)
    first = fail_in_retry(runner)
    complete(runner)
    second = fail_in_retry(runner)
    assert listed(admin) == [second.pk, first.pk]


def test_jobs_that_needed_their_retry_are_a_choice_of_the_filter(admin: Client, runner: Runner) -> None:
    submit(repeat=3)
    completed = complete_in_retry(runner)
    failed = fail_in_retry(runner)
    drained = claim(runner)
    tell(drained.job_id, EventType.REQUEUED, {"reason": "drain", "charged": False})
    assert listed(admin) == [failed.pk]
    assert listed(admin, "?kind=retried") == [failed.pk, completed.pk]
    assert "It needed its retry" in page(admin, completed)


def test_filters_by_cause_node_pack_and_time(admin: Client, runner: Runner) -> None:
    other = make_runner(make_node("beta"))
    castles, forests = make_pack("castles"), make_pack("forests")
    submit(castles)
    lost = fail_in_retry(runner)
    submit(forests)
    broken = fail_in_retry(other, server_error())
    Job.objects.filter(pk=lost.pk).update(finished_at=timezone.now() - timedelta(days=3))
    assert causes() == ["WEBUI_CONNECTION_LOST", "WEBUI_SERVER_ERROR"]
    assert listed(admin, "?cause=WEBUI_SERVER_ERROR") == [broken.pk]
    assert listed(admin, "?node=alpha") == [lost.pk]
    assert listed(admin, "?node=gamma") == []
    assert listed(admin, "?pack=forests") == [broken.pk]
    assert listed(admin, "?ended=24") == [broken.pk]
    assert listed(admin, "?ended=168") == [broken.pk, lost.pk]
    assert listed(admin, "?ended=tomorrow") == []
    assert listed(admin, "?cause=WEBUI_SERVER_ERROR&node=beta&pack=forests&ended=1") == [broken.pk]
    assert listed(admin, "?cause=WEBUI_SERVER_ERROR&node=alpha") == []


def test_search_finds_number_code_and_pack(admin: Client, runner: Runner) -> None:
    submit(make_pack("castles"), repeat=2)
    first, second = fail_in_retry(runner), fail_in_retry(runner, server_error())
    assert listed(admin, f"?q={first.pk}") == [first.pk]
    assert listed(admin, "?q=WEBUI_SERVER_ERROR") == [second.pk]
    assert listed(admin, "?q=castles") == [second.pk, first.pk]


def test_page_of_a_failure_tells_what_to_do_and_shows_causes_waits_and_evidence(
    admin: Client, runner: Runner
) -> None:
    make_job()
    failed = fail_in_retry(runner)
    assert failed.error is not None
    text = page(admin, failed)
    assert failed.error["message"] in text
    told, _, _ = text.partition("<pre>")
    assert told.count(failed.error["remediation"]) == 1, "the message says it already"
    assert "WEBUI_CONNECTION_LOST" in text
    assert "ConnectionResetError: [Errno 104] Connection reset by peer" in text
    assert "<td>1 of 3</td>" in text
    for path in failed.error["artifact_paths"]:
        assert reverse("failure-artifact", args=[failed.pk, path]) in text
    assert "the request, every text replaced by its length and hash" in text


def test_attempts_and_events_stand_below_even_without_other_permissions(
    admin: Client, runner: Runner
) -> None:
    make_job()
    text = page(admin, fail_in_retry(runner))
    assert len(re.findall(r'id="attempts-\d+"', text)) == 2
    assert "QUEUE_JOB_WEBUI_RETRY_EXHAUSTED" in text or "Retry exhausted" in text
    assert "txt2img ended with WEBUI_SERVER_ERROR, HTTP 500." in text


def test_nothing_can_be_added_changed_or_deleted(client: Client, runner: Runner) -> None:
    make_job()
    failed = fail_in_retry(runner)
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    where = {name: f"admin:diagnostics_failedjob_{name}" for name in ("add", "change", "delete")}
    assert client.get(reverse(where["add"])).status_code == 403
    assert client.post(reverse(where["change"], args=[failed.pk]), {}).status_code == 403
    assert client.post(reverse(where["delete"], args=[failed.pk]), {"post": "yes"}).status_code == 403
    assert client.post(reverse(LIST), {"action": "delete_selected"}).status_code == 200
    assert FailedJob.objects.filter(pk=failed.pk).exists()
    text = page(client, failed)
    assert 'name="_save"' not in text
    assert set(Permission.objects.filter(content_type__app_label="diagnostics").values_list("codename")) == {
        ("view_failedjob",),
        ("bundle_prompts",),
    }


def test_staff_without_the_permission_sees_no_failure(client: Client, runner: Runner) -> None:
    make_job()
    failed = fail_in_retry(runner)
    user = make_user("staff", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(user)
    assert client.get(reverse(LIST)).status_code == 403
    assert client.get(reverse(PAGE, args=[failed.pk])).status_code == 403


def test_job_that_did_not_fail_has_no_page_here(admin: Client, runner: Runner) -> None:
    make_job()
    completed = complete(runner)
    assert admin.get(reverse(PAGE, args=[completed.pk])).status_code == 302


def test_query_counts_do_not_grow_with_failures_attempts_and_events(admin: Client, runner: Runner) -> None:
    submit(repeat=13)
    first = fail_in_retry(runner)
    filtered = f"{reverse(LIST)}?kind=retried&cause=WEBUI_CONNECTION_LOST&node=alpha&ended=24"
    few = [queries(admin, url) for url in (reverse(LIST), filtered, reverse(PAGE, args=[first.pk]))]
    for _ in range(12):
        last = fail_in_retry(runner)
    for row in last.attempts.all():
        for _ in range(10):
            row.pk = None
            row.save(force_insert=True)
    many = [queries(admin, url) for url in (reverse(LIST), filtered, reverse(PAGE, args=[last.pk]))]
    assert many == few
    assert max(many) <= 25


def test_counting_stops_where_listing_stops(
    admin: Client, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(repeat=4)
    for _ in range(4):
        fail_in_retry(runner)
    monkeypatch.setattr(filters, "MAX_LISTED", 3)
    paginator = BoundedPaginator(FailedJob.objects.order_by("-id"), 2)
    assert paginator.count == 3
    newest = list(FailedJob.objects.order_by("-id").values_list("pk", flat=True))
    assert [job.pk for job in paginator.page(1).object_list] == newest[:2]
    assert [job.pk for job in paginator.page(2).object_list] == newest[2:3]
    with CaptureQueriesContext(connection) as caught:
        assert len(listed(admin)) == 3
    walks = [query["sql"] for query in caught if 'FROM "jobs_job"' in query["sql"]]
    assert not [sql for sql in walks if "COUNT(" in sql]
    assert [sql for sql in walks if "LIMIT 3" in sql]


def test_list_walks_the_index_of_failures_whatever_is_filtered(admin: Client, runner: Runner) -> None:
    """Without it a page would read a million jobs to find fifty failures."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL plans by the size of the tables, and here they are small.")
    make_job()
    fail_in_retry(runner)
    for query in ("", "?cause=WEBUI_CONNECTION_LOST", "?node=alpha", "?pack=castles", "?ended=24"):
        rows = admin.get(f"{reverse(LIST)}{query}").context["cl"].queryset
        plan = rows.explain()
        assert "job_failures" in plan, f"{query}: {plan}"
        assert "TEMP B-TREE" not in plan, f"{query}: {plan}"
