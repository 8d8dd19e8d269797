"""The list of packs and the differences of their revisions."""

from __future__ import annotations

import html

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.models import Job, PackRevision, PromptPack
from jobs.reading import packs
from tests.factories import make_node, make_pack, make_runner, make_user, submit
from tests.integration.finished_jobs import fail
from tests.markup import markup

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


def shown(client: Client, query: str = "") -> str:
    answer = client.get(reverse("packs") + query)
    assert answer.status_code == 200
    return html.unescape(markup(answer))


def _queries(client: Client, url: str) -> int:
    client.get(url)
    with CaptureQueriesContext(connection) as found:
        assert client.get(url).status_code == 200
    return len(found)


def test_list_says_rows_warnings_importer_jobs_and_last_submission(operator: Client) -> None:
    revision = make_pack("castles", text="one\nneg: blurry\nmore\n\ntwo\n")
    made = submit(revision, repeat=3)
    fail(make_runner(make_node()))
    page = shown(operator)
    assert "2 rows" in page
    assert "1 warning" in page
    assert "5 queued" in page
    assert "1 failed" in page
    assert reverse("submission", args=[made.submission.pk]) in page
    assert reverse("queue") + "?pack=castles" in page
    assert reverse("history") + "?pack=castles&attention=1" in page


def test_list_costs_the_same_queries_for_any_number_of_packs(operator: Client) -> None:
    submit(make_pack())
    first = _queries(operator, reverse("packs"))
    for _ in range(6):
        submit(make_pack())
    assert _queries(operator, reverse("packs")) == first


def test_list_is_searched_by_name_and_title(operator: Client) -> None:
    make_pack("castles")
    make_pack("towers", document='{"pack_data": {"name": "High Castles"}}')
    make_pack("rivers")
    page = shown(operator, "?q=CASTLE")
    assert "castles" in page
    assert "towers" in page
    assert "rivers" not in page
    assert "No pack has “nothing” in its name." in shown(operator, "?q=nothing")
    assert "nul" in shown(operator, "?q=nul%00")


def test_list_comes_in_pages_that_keep_the_search(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACKS_SHOWN", 2)
    for name in ("a1", "a2", "a3", "b1"):
        make_pack(name)
    first = shown(operator, "?q=a")
    assert "?q=a&after=a2" in first
    second = shown(operator, "?q=a&after=a2")
    assert "a3" in second
    assert ">a1</a>" not in second
    assert "First page" in second


def test_failures_beyond_the_bound_are_not_counted(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "MAX_FAILURES", 1)
    submit(make_pack("castles"), repeat=2)
    runner = make_runner(make_node())
    fail(runner)
    fail(runner)
    assert "1+ failed" in shown(operator)


def test_empty_list_says_what_a_pack_is(operator: Client) -> None:
    page = shown(operator)
    assert "No packs yet." in page
    assert "Find by name" not in page


def test_submit_button_of_the_list_is_disabled_with_a_reason_until_a_pack_is_chosen(operator: Client) -> None:
    make_pack()
    page = shown(operator)
    assert 'disabled aria-describedby="choose-first"' in page
    assert "No pack is chosen: mark one or several above to submit them together." in page


def test_file_chosen_twice_is_named(operator: Client) -> None:
    files = [SimpleUploadedFile("a.txt", b"one"), SimpleUploadedFile("a.txt", b"two")]
    answer = operator.post(reverse("pack-import"), {"pack_files": files})
    assert "a.txt was chosen twice" in html.unescape(markup(answer))
    assert not PromptPack.objects.exists()


def test_text_that_cannot_be_read_is_told_once_with_its_settings_beside_it(operator: Client) -> None:
    files = [SimpleUploadedFile("a.txt", b"caf\xe9"), SimpleUploadedFile("a.json", b'{"preset_data": {}}')]
    page = html.unescape(markup(operator.post(reverse("pack-import"), {"pack_files": files})))
    assert "a.txt is not UTF-8" in page
    assert "holds settings but no rows" not in page


def diff(client: Client, pack_id: int, query: str = "") -> HttpResponse:
    answer = client.get(reverse("pack-diff", args=[pack_id]) + query)
    assert isinstance(answer, HttpResponse)
    return answer


def test_newest_revision_is_compared_with_the_one_before_it(operator: Client) -> None:
    first = make_pack("castles", text="one\n\ntwo\n")
    make_pack("castles", text="one\n\nTWO\n\nthree\n", document='{"preset_data": {"txt2img": {"steps": 9}}}')
    page = markup(diff(operator, first.pack_id))
    assert "what revision 2 changed" in page
    assert "<del>two</del>" in page
    assert "<ins>three</ins>" in page
    assert "steps&quot;: 9" in page
    assert "<b>±</b> changed" in page
    assert "1 unchanged" in page


def test_change_is_told_by_sign_and_word(operator: Client) -> None:
    first = make_pack("castles", text="one\n")
    make_pack("castles", text="two\n")
    page = markup(diff(operator, first.pack_id))
    assert "<b>+</b> <span>added</span>" in page
    assert "<b>−</b> <span>removed</span>" in page


def test_any_two_revisions_can_be_compared(operator: Client) -> None:
    first = make_pack("castles", text="one\n")
    make_pack("castles", text="two\n")
    make_pack("castles", text="three\n")
    page = markup(diff(operator, first.pack_id, "?from=3&to=1"))
    assert "<del>three</del>" in page
    assert "<ins>one</ins>" in page
    assert "Nothing differs" in markup(diff(operator, first.pack_id, "?from=2&to=2"))


def test_pack_with_one_revision_has_nothing_to_compare(operator: Client) -> None:
    page = diff(operator, make_pack().pack_id)
    assert "This pack has one revision only" in markup(page)


@pytest.mark.parametrize("query", ["?from=7", "?to=7", "?from=1&to=99999999"])
def test_unknown_revision_is_not_found(operator: Client, query: str) -> None:
    assert diff(operator, make_pack().pack_id, query).status_code == 404


def test_pack_page_links_each_revision_with_the_one_before(operator: Client) -> None:
    first = make_pack("castles", text="one\n")
    make_pack("castles", text="two\n")
    page = html.unescape(markup(operator.get(reverse("pack", args=[first.pack_id]))))
    assert reverse("pack-diff", args=[first.pack_id]) + "?from=1&to=2" in page


def test_pack_page_costs_the_same_queries_for_any_number_of_revisions(operator: Client) -> None:
    pack_id = make_pack("castles", text="one\n").pack_id
    submit(PackRevision.objects.get())
    url = reverse("pack", args=[pack_id])
    before = _queries(operator, url)
    for number in range(5):
        submit(make_pack("castles", text=f"row {number}\n" * (number + 1)))
    assert _queries(operator, url) == before
    assert Job.objects.count() == 6


def test_warning_leads_to_its_line_in_a_row_that_is_open(operator: Client) -> None:
    text = "\n\n".join(f"row {number}" for number in range(1, 60)) + "\nneg: blurry\nstray\n"
    url = reverse("pack", args=[make_pack("castles", text=text).pack_id])
    page = markup(operator.get(url))
    assert 'href="?row=59#row-59">line 119</a>' in page
    assert 'id="row-59"' not in page
    assert "rows 1 to 40 of 59" in page
    there = markup(operator.get(url, {"row": "59"}))
    assert '<details id="row-59" open>' in there
    assert '<details id="row-58">' in there
    assert 'id="line-119" data-status="WARNING"' in there
    assert "?row=1#rows-head" in there
