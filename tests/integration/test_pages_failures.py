"""Failures that need attention, by cause: counted, told, and acted upon as groups."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from diagnostics.failures import groups as attention_module
from diagnostics.failures.error_texts import known_causes
from diagnostics.failures.groups import attention, attention_version
from diagnostics.failures.views import FEW
from jobs.models import Job, Runner
from jobs.queue.filters import JobFilter
from jobs.submitting.reruns import rerun
from tests.factories import make_node, make_pack, make_runner, make_user, submit
from tests.integration.failed_jobs import fail_in_retry, server_error
from tests.integration.finished_jobs import complete
from tests.markup import markup
from webui.words import ServerNoun

pytestmark = pytest.mark.django_db

FRAGMENT = {"HX-Request": "true"}
CAUSES = tuple(known_causes(ServerNoun.WEBUI))


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


@pytest.fixture
def runner() -> Runner:
    return make_runner(make_node("alpha"))


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


def fail_with(runner: Runner, *codes: str) -> list[Job]:
    """One failed job for each code, in this order."""
    submit(make_pack("castles"), repeat=len(codes))
    failed = [fail_in_retry(runner) for _ in codes]
    for job, code in zip(failed, codes, strict=True):
        Job.objects.filter(pk=job.pk).update(error_code=code)
    return failed


def shown(client: Client, **query: str) -> str:
    answer = client.get(f"{reverse('failures')}?{urlencode(query)}")
    assert answer.status_code == 200
    return html.unescape(markup(answer))


def group_fields(text: str, button: str) -> dict[str, str]:
    """The hidden fields of the form with this button."""
    [form] = [part for part in text.split("<form")[1:] if button in part]
    found = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form.partition("</form>")[0])
    return {name: value for name, value in found if name != "csrfmiddlewaretoken"}


def test_failures_are_grouped_by_cause_the_largest_group_first(runner: Runner) -> None:
    submit(make_pack("castles"), repeat=2)
    first, second = fail_in_retry(runner), fail_in_retry(runner)
    submit(make_pack("forests"), repeat=2)
    third, broken = fail_in_retry(runner), fail_in_retry(runner, server_error())
    Job.objects.filter(pk=third.pk).update(checkpoint="dreamshaper_8.safetensors")
    found = attention()
    assert (found.total, found.causes, found.failed) == (4, 2, 4)
    lost, error = found.groups
    assert (lost.cause.code, lost.count) == ("WEBUI_CONNECTION_LOST", 3)
    assert (lost.first_at, lost.last_at) == (first.finished_at, third.finished_at)
    assert (lost.newest_id, lost.newest_pack, lost.newest_stage) == (third.pk, "forests", "txt2img")
    assert [(share.name, share.count) for share in lost.packs.named] == [("castles", 2), ("forests", 1)]
    assert [share.name for share in lost.checkpoints.named][-1] == "dreamshaper_8.safetensors"
    assert lost.all_sampled
    assert (error.cause.code, error.count, error.newest_id) == ("WEBUI_SERVER_ERROR", 1, broken.pk)
    assert error.message == "CUDA error: an illegal memory access"
    assert second.pk not in (lost.newest_id, error.newest_id)


def test_the_largest_group_comes_first_whatever_its_name(runner: Runner) -> None:
    fail_with(runner, "WEBUI_HANG", "WEBUI_NAN", "WEBUI_NAN", "JOB_DEADLINE")
    codes = [group.cause.code for group in attention().groups]
    assert codes == ["WEBUI_NAN", "JOB_DEADLINE", "WEBUI_HANG"]


def test_who_was_run_again_waits_no_more(runner: Runner) -> None:
    submit(repeat=3)
    first, second = fail_in_retry(runner), fail_in_retry(runner)
    complete(runner)
    rerun([first.pk], by="ada")
    found = attention()
    assert (found.total, found.failed) == (1, 2)
    assert found.groups[0].newest_id == second.pk


def test_only_so_many_of_a_group_are_looked_at_and_only_so_many_names_are_told(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = fail_with(runner, *["WEBUI_NAN"] * 8)
    for job in jobs:
        Job.objects.filter(pk=job.pk).update(pack_name=f"pack {job.pk}")
    monkeypatch.setattr(attention_module, "SAMPLE", 6)
    [group] = attention().groups
    assert (group.count, group.sampled, group.all_sampled) == (8, 6, False)
    assert [share.name for share in group.packs.named] == [f"pack {job.pk}" for job in jobs[:3:-1]]
    assert group.packs.others == 2


def test_version_grows_with_every_failure_and_with_every_one_that_is_dealt_with(runner: Runner) -> None:
    submit(repeat=4)
    seen = [attention_version()]
    first = fail_in_retry(runner)
    seen.append(attention_version())
    complete(runner)
    assert attention_version() == seen[-1], "what is no failure changes nothing"
    rerun([first.pk], by="ada")
    seen.append(attention_version())
    fail_in_retry(runner)
    seen.append(attention_version())
    assert seen == sorted(set(seen))


def test_page_says_cause_count_times_remedy_and_links(viewer: Client, runner: Runner) -> None:
    failed = fail_with(runner, "WEBUI_OUT_OF_MEMORY", "WEBUI_OUT_OF_MEMORY")
    text = shown(viewer)
    cause = known_causes(ServerNoun.WEBUI)["WEBUI_OUT_OF_MEMORY"]
    for words in (
        cause.what,
        cause.remedy,
        "2 failures",
        "castles",
        f"{reverse('job', args=[failed[1].pk])}",
    ):
        assert words in text
    assert "needs attention until somebody runs it again or dismisses it" in text
    where = re.search(r'href="/history/\?(cause[^"]*)"', text)
    assert where is not None
    asked = JobFilter.from_query(QueryDict(where[1]))
    assert asked == JobFilter(cause="WEBUI_OUT_OF_MEMORY", attention=True)


def test_one_view_gives_the_page_its_live_part_and_the_short_list(viewer: Client, runner: Runner) -> None:
    fail_with(runner, "WEBUI_NAN")
    whole = viewer.get(reverse("failures"))
    assert b"<html" in whole.content
    assert "HX-Request" in whole["Vary"]
    part = markup(viewer.get(reverse("failures") + "?whole=1", headers=FRAGMENT))
    assert part in markup(whole).replace("\r", "")
    assert "<html" not in part
    assert "hx-get=" in part
    short = markup(viewer.get(reverse("failures"), headers=FRAGMENT))
    assert "<html" not in short
    assert "Needs attention" in short
    assert "What to do:" not in short


def test_short_list_names_few_causes_and_leads_to_all(viewer: Client, runner: Runner) -> None:
    fail_with(runner, *CAUSES[: FEW + 2])
    short = markup(viewer.get(reverse("failures"), headers=FRAGMENT))
    assert short.count("<li") == FEW
    assert f"All {FEW + 2} causes" in short
    assert f"{FEW + 2} failures" in short
    assert markup(viewer.get(reverse("failures"))).count('<li id="') == FEW + 2


@pytest.mark.parametrize("query", ["", "&whole=1"])
def test_nothing_is_sent_again_to_who_has_it(viewer: Client, runner: Runner, query: str) -> None:
    fail_with(runner, "WEBUI_NAN", "WEBUI_HANG")
    address = f"{reverse('failures')}?version={{}}{query}"
    version = attention_version()
    viewer.get(address.format(version), headers=FRAGMENT)
    with CaptureQueriesContext(connection) as caught:
        assert viewer.get(address.format(version), headers=FRAGMENT).status_code == 204
    assert len([query for query in caught if "jobs_" in query["sql"]]) == 1
    answer = viewer.get(address.format(version - 1), headers=FRAGMENT)
    assert f'data-version="{version}"' in markup(answer)


def test_empty_pages_are_calm(viewer: Client, runner: Runner) -> None:
    assert "No job has failed so far." in shown(viewer)
    [failed] = fail_with(runner, "WEBUI_NAN")
    rerun([failed.pk], by="ada")
    text = shown(viewer)
    assert "No failure waits for you." in text
    assert "1 job failed in all, and each was run again or dismissed." in text
    assert "No failure waits for you." in markup(viewer.get(reverse("failures"), headers=FRAGMENT))


def test_operators_act_on_a_whole_group_by_filter(operator: Client, runner: Runner) -> None:
    fail_with(runner, "WEBUI_NAN", "WEBUI_NAN", "WEBUI_HANG")
    text = shown(operator)
    assert group_fields(text, "Run 2 again") == {
        "all": "1",
        "scope": "finished",
        "filter-cause": "WEBUI_NAN",
        "filter-attention": "1",
        "next": reverse("failures"),
    }
    assert text.count('name="verb" value="retry"') == text.count('name="verb" value="dismiss"') == 2
    assert "Dismiss 2" in text
    short = markup(operator.get(reverse("failures"), headers=FRAGMENT))
    assert "Run 2 again" in short
    assert f'name="next" value="{reverse("queue")}"' in short


def test_a_pressed_group_is_run_again_as_a_whole_and_nothing_else(operator: Client, runner: Runner) -> None:
    first, second, other = fail_with(runner, "WEBUI_NAN", "WEBUI_NAN", "WEBUI_HANG")
    fields = group_fields(shown(operator), "Run 2 again")
    asked = operator.post(reverse("bulk-ask"), {**fields, "verb": "retry"})
    assert "Run 2 finished jobs" in markup(asked)
    done = operator.post(reverse("bulk-start"), {**fields, "verb": "retry"}, follow=True)
    assert done.redirect_chain[-1][0] == reverse("failures")
    made = Job.objects.filter(rerun_of__isnull=False).order_by("id")
    assert [job.rerun_of_id for job in made] == [first.pk, second.pk]
    assert [group.newest_id for group in attention().groups] == [other.pk]
    operator.post(reverse("bulk-start"), {**fields, "filter-cause": "WEBUI_HANG", "verb": "dismiss"})
    assert attention().total == 0
    assert "No failure waits for you." in shown(operator)


def test_viewers_get_no_buttons(viewer: Client, runner: Runner) -> None:
    fail_with(runner, "WEBUI_NAN", "WEBUI_NAN")
    for text in (shown(viewer), markup(viewer.get(reverse("failures"), headers=FRAGMENT))):
        assert "Run 2 again" not in text
        assert 'name="verb"' not in text
    assert "Operators can run them again or dismiss them." in shown(viewer)


def test_failure_without_a_code_has_no_button_that_would_mean_all(operator: Client, runner: Runner) -> None:
    fail_with(runner, "", "WEBUI_NAN")
    text = shown(operator)
    assert text.count("Run 1 again") == 1
    assert 'name="filter-cause" value=""' not in text


def test_query_count_is_the_same_for_any_number_of_causes_and_failures(
    operator: Client, runner: Runner
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert operator.get(reverse("failures")).status_code == 200
        return len([query for query in caught if "jobs_job" in query["sql"]])

    fail_with(runner, "WEBUI_NAN")
    shown(operator)
    few = count()
    fail_with(runner, *CAUSES, *CAUSES)
    assert count() == few


def test_groups_are_read_from_the_index_of_what_needs_attention(runner: Runner) -> None:
    """Without it a million jobs would be read to find the few that failed."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL plans by the size of the tables, and here they are small.")
    fail_with(runner, "WEBUI_NAN", "WEBUI_HANG")
    with CaptureQueriesContext(connection) as caught:
        attention_version()
        attention()
    plans = []
    for query in caught:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plans.append(" | ".join(row[3] for row in cursor.fetchall()))
    assert len(plans) == 1 + 4
    assert all("USING INDEX job_attention" in plans[number] for number in (0, 2, 3))
    assert not [plan for plan in plans if re.search(r"SCAN jobs_job(?! USING INDEX job_attention)", plan)]


def test_times_are_exact_because_the_page_stays_open(viewer: Client, runner: Runner) -> None:
    failed = fail_with(runner, "WEBUI_NAN", "WEBUI_NAN")
    assert failed[0].finished_at is not None
    Job.objects.filter(pk=failed[0].pk).update(finished_at=failed[0].finished_at - timedelta(days=3))
    text = shown(viewer)
    assert "first seen" in text
    assert " ago" not in text
