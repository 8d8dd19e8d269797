"""The history: filters in the address, pages by key, selections, and what every empty state says."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from jobs.lifecycle import JobStatus
from jobs.models import Job
from jobs.reading import lists
from tests.factories import make_pack, make_runner, make_user, submit
from tests.integration.finished_jobs import complete, fail
from tests.markup import markup

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


def page(client: Client, query: str = "", name: str = "history") -> str:
    answer = client.get(reverse(name) + query)
    assert answer.status_code == 200
    return html.unescape(markup(answer))


def jobs_in(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"Job (\d+) ·", text)]


def small_pages(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    history = lists.history
    monkeypatch.setattr(lists, "history", lambda chosen, after: history(chosen, after, size=size))


def test_row_says_what_it_was_how_it_ended_and_why(operator: Client) -> None:
    runner = make_runner()
    submit(make_pack("castles"), repeat=2)
    done, failed = complete(runner), fail(runner)
    text = page(operator)
    assert jobs_in(text) == [failed.pk, done.pk]
    assert failed.error is not None
    for words in (
        f"Job {done.pk} · castles row 1 · seed",
        "a lighthouse on a cliff, evening light",
        # Whole in the title, without the technical place in the line.
        f'title="{failed.error["message"]}">The WebUI does not know the sampler: Sampler not found.</span>',
        'data-status="FAILED"',
        f'href="/jobs/{done.pk}/"',
    ):
        assert words in text
    assert text.count('<td class="fit picture"><a class="thumb"') == 1


def test_filter_of_the_address_is_the_filter_of_the_list_and_stays_in_the_form(operator: Client) -> None:
    runner = make_runner()
    submit(make_pack("castles"))
    castle = complete(runner)
    submit(make_pack("boats", text="a boat in fog\n"))
    boat = complete(runner)
    assert jobs_in(page(operator, "?pack=castles")) == [castle.pk]
    assert jobs_in(page(operator, "?text=FOG")) == [boat.pk]
    text = page(operator, "?text=fog&status=COMPLETED")
    assert 'name="text" id="filter-text" value="fog"' in text
    assert '<input type="hidden" name="status" value="COMPLETED">' in text
    assert 'href="/history/?text=fog&status=FAILED"' in text
    assert '<option value="castles">' in text
    assert "that are completed" in text
    # The viewer's arrows keep to it.
    assert re.search(r'href="/pictures/\d+/\?text=fog&status=COMPLETED"', text)
    assert jobs_in(page(operator, "?status=QUEUED")) == [boat.pk, castle.pk]


def test_pages_follow_by_key_and_keep_the_filter(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = make_runner()
    submit(make_pack("castles"), repeat=5)
    jobs = [complete(runner).pk for _ in range(5)]
    small_pages(monkeypatch, 2)
    seen, query = [], "?pack=castles"
    for _ in range(3):
        text = page(operator, query)
        seen += jobs_in(text)
        following = re.search(r'href="(\?[^"]+)" rel="next"', text)
        query = following[1] if following else ""
    assert seen == jobs[::-1]
    assert query == ""
    last = page(operator, "?pack=castles&after=0~0")
    assert "There is nothing after this place." in last


def test_every_empty_list_says_why_and_what_to_do(operator: Client) -> None:
    assert "No job has finished yet." in page(operator)
    submit(make_pack("castles"))
    complete(make_runner())
    text = page(operator, "?pack=boats")
    assert "No finished job matches." in text
    assert "There are none of pack boats." in text
    assert 'href="/history/">Show all finished jobs' in text


def test_bounded_search_says_how_far_it_looked_and_where_to_go_on(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit()
    limited = lists.JobPage((), "123~4", searched=20_000)
    monkeypatch.setattr(lists, "history", lambda chosen, after: limited)
    text = page(operator, "?text=fog")
    assert "No match among 20,000 jobs." in text
    assert 'href="?text=fog&after=123~4">Look further back' in text
    some = lists.JobPage(lists.everything().lines, "123~4", searched=20_000)
    monkeypatch.setattr(lists, "history", lambda chosen, after: some)
    assert "1 match among 20,000 jobs; that is as far as one page looks." in page(operator, "?text=fog")


def test_selection_carries_the_filter_and_where_to_return(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(make_pack("castles"), repeat=2)
    runner = make_runner()
    complete(runner)
    job = complete(runner)
    # Nothing is on other pages: then there is no choice of them.
    assert 'name="all"' not in page(operator, "?pack=castles")
    small_pages(monkeypatch, 1)
    text = page(operator, "?pack=castles")
    form = text.split("data-bulk>")[1].split("</form>")[0]
    for field in (
        '<input type="hidden" name="scope" value="finished">',
        '<input type="hidden" name="next" value="/history/?pack=castles">',
        '<input type="hidden" name="filter-pack" value="castles">',
        f'name="job" value="{job.pk}" data-select',
        'name="all" value="1"',
        'name="verb" value="retry"',
        'name="verb" value="dismiss"',
    ):
        assert field in form


def test_failures_can_be_retried_with_one_press_where_the_filter_shows_them(operator: Client) -> None:
    submit()
    fail(make_runner())
    assert "Retry failed" not in page(operator)
    text = page(operator, "?status=FAILED")
    form = text.split("Retry failed")[0].rpartition("<form")[2]
    assert '<input type="hidden" name="all" value="1">' in form
    assert '<input type="hidden" name="filter-status" value="FAILED">' in form


def test_viewer_gets_no_selection(client: Client) -> None:
    submit()
    fail(make_runner())
    client.force_login(make_user("vera"))
    text = page(client, "?status=FAILED")
    assert "data-select" not in text
    assert "Retry failed" not in text


def test_news_say_how_many_have_finished_since_and_nothing_when_none_has(operator: Client) -> None:
    runner = make_runner()
    submit(repeat=3)
    complete(runner)
    address = re.search(r'hx-get="(/history/news\?[^"]+)"', page(operator))
    assert address
    assert operator.get(address[1]).status_code == 204
    complete(runner)
    fail(runner)
    answer = operator.get(address[1])
    text = html.unescape(markup(answer))
    assert "2 more: show" in text
    assert 'href="/history/" data-key="r"' in text
    following = re.search(r'hx-get="([^"]+)"', text)
    assert following
    assert operator.get(following[1]).status_code == 204


def test_news_of_a_filtered_list_count_what_the_ledger_knows(operator: Client) -> None:
    runner = make_runner()
    submit(repeat=3)
    complete(runner)
    found = {
        query: re.search(r'hx-get="(/history/news\?[^"]+)"', page(operator, query))
        for query in ("?status=FAILED", "?attention=1", "?text=light")
    }
    complete(runner)
    told = {query: operator.get(address[1]) for query, address in found.items() if address}
    assert [told[query].status_code for query in found] == [204, 204, 200]
    assert "1 more finished, some may match: show" in markup(told["?text=light"])


def test_query_count_is_the_same_for_one_row_and_for_many(operator: Client) -> None:
    runner = make_runner()
    submit(repeat=9)

    def count(name: str) -> int:
        page(operator, name=name)
        with CaptureQueriesContext(connection) as caught:
            page(operator, name=name)
        return len(caught)

    complete(runner)
    few = [count("history"), count("jobs")]
    for _ in range(8):
        complete(runner, pictures=2)
    assert [count("history"), count("jobs")] == few
    assert max(few) < 14


def test_all_jobs_lists_waiting_ones_too(operator: Client) -> None:
    submit(repeat=2)
    complete(make_runner())
    assert sorted(jobs_in(page(operator, name="jobs"))) == sorted(Job.objects.values_list("pk", flat=True))
    assert Job.objects.filter(status=JobStatus.QUEUED).exists()


def test_kinds_are_offered_where_there_are_several_and_the_choice_stays(operator: Client) -> None:
    submit(repeat=2)
    runner = make_runner()
    film, picture = complete(runner).pk, complete(runner).pk
    assert 'name="kind"' not in page(operator)
    Job.objects.filter(pk=film).update(kind="i2v")
    text = page(operator, "?kind=i2v&status=COMPLETED")
    assert jobs_in(text) == [film]
    assert re.search(r'<option value="i2v" selected>\s*Films\s*</option>', text)
    assert "Finished jobs that make films, that are completed" in re.sub(r"\s+", " ", text)
    assert 'name="filter-kind" value="i2v"' in text
    assert "kind=i2v&status=FAILED" in html.unescape(text)
    assert jobs_in(page(operator, "?kind=image")) == [picture]
