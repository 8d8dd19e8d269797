"""Packs in the browser: import by upload, rows and warnings, dry run, submit."""

from __future__ import annotations

import html
import re
from types import ModuleType
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from jobs.lifecycle import Priority
from jobs.models import Job, JobRecord, PackRevision, PromptPack, Submission
from jobs.packs import uploads
from jobs.packs.grammar import MAX_ROWS
from jobs.packs.sources import MAX_FILE_BYTES
from jobs.pages import packs as pages
from jobs.submitting import importing
from tests.factories import make_pack, make_user
from tests.markup import markup

pytestmark = pytest.mark.django_db

ROWS = MAX_ROWS + 40
HTMX = {"HX-Request": "true"}
MATRIX = "a [[place]] at [[hour]]\nneg: blurry\n\na second row\n"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


def text_of(answer: object) -> str:
    assert isinstance(answer, HttpResponse)
    return html.unescape(markup(answer))


def upload(client: Client, files: dict[str, bytes]) -> HttpResponse:
    sent = [SimpleUploadedFile(name, content) for name, content in files.items()]
    answer = client.post(reverse("pack-import"), {"pack_files": sent}, follow=True)
    assert isinstance(answer, HttpResponse)
    return answer


def dry_run(client: Client, revision: PackRevision, **options: str) -> str:
    data = {"revision": str(revision.pk), **options}
    answer = client.post(reverse("pack-dry-run"), data, headers=HTMX)
    assert answer.status_code == 200
    return text_of(answer)


def hidden_fields(fragment: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(?!csrf)(\w+)" value="([^"]*)">', fragment))


def press_submit(client: Client, revision: PackRevision, fields: dict[str, str]) -> HttpResponse:
    answer = client.post(reverse("pack-submit"), fields, follow=True)
    assert isinstance(answer, HttpResponse)
    return answer


def test_upload_makes_a_revision_and_shows_its_rows(operator: Client) -> None:
    shown = text_of(upload(operator, {"castles.txt": b"a castle\nneg: blurry\nmore\n"}))
    revision = PackRevision.objects.get()
    assert (revision.pack.name, revision.number, revision.imported_by) == ("castles", 1, make_otto())
    assert "castles is now revision 1: 1 row, with" in shown
    assert "line 3" in shown
    assert "a castle" in shown


def make_otto() -> object:
    return PackRevision.objects.get().imported_by


def test_text_and_json_of_one_name_are_one_pack(operator: Client) -> None:
    upload(operator, {"b.txt": b"a castle\n", "b.json": b'{"preset_data": {}}', "c.txt": b"a tower\n"})
    assert list(PromptPack.objects.values_list("name", flat=True)) == ["b", "c"]
    assert PackRevision.objects.get(pack__name="b").document == '{"preset_data": {}}'


def test_same_content_again_makes_no_revision(operator: Client) -> None:
    upload(operator, {"castles.txt": b"a castle\n"})
    shown = text_of(upload(operator, {"castles.txt": b"a castle\n"}))
    assert PackRevision.objects.count() == 1
    assert "had this content already" in shown


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bad.txt", b"a caf\xe9\n", "bad.txt is not UTF-8 (line 1)"),
        ("nul.txt", b"one\ntwo\0\n", "nul.txt holds a NUL character in line 2"),
        ("bad.json", b'{"pack_data": ', "bad.json is not valid JSON"),
        ("alone.json", b'{"preset_data": {}}', "alone.json holds settings but no rows"),
        ("picture.png", b"\x89PNG", "picture.png is no pack file"),
        ("big.txt", b"a" * (MAX_FILE_BYTES + 1), "big.txt is larger than 16 MiB"),
        ("n" * 201 + ".txt", b"a castle", "has a name of more than 200 characters"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_one_bad_file_and_nothing_is_imported(
    operator: Client, name: str, content: bytes, words: str
) -> None:
    answer = upload(operator, {"good.txt": b"a castle\n", name: content})
    assert answer.status_code == 400
    assert "Nothing was imported." in text_of(answer)
    assert words in text_of(answer)
    assert not PromptPack.objects.exists()


def test_more_than_is_imported_at_once_is_refused_unread(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_TOGETHER_BYTES", 1024**2)
    monkeypatch.setattr(pages, "read_uploads", lambda files: pytest.fail("they were read"))
    answer = upload(operator, {f"p{n}.txt": b"a" * 700_000 for n in range(3)})
    assert answer.status_code == 400
    assert "These files are 2 MiB together, and at most 1 MiB are imported at once" in text_of(answer)


def test_a_folder_of_hundreds_of_packs_is_imported_at_once(operator: Client) -> None:
    upload(operator, {f"p{n}.txt": b"a castle\n" for n in range(240)})
    assert PromptPack.objects.count() == 240


def test_upload_without_a_file_says_what_to_do(operator: Client) -> None:
    answer = operator.post(reverse("pack-import"))
    assert answer.status_code == 400
    assert "Choose at least one .txt or .json file." in text_of(answer)


def test_dry_run_counts_rows_matrix_and_repeats_and_stores_nothing(operator: Client) -> None:
    revision = make_pack(text=MATRIX)
    shown = dry_run(
        operator, revision, matrix="place=forest,castle\nhour=dawn,noon,dusk", repeat="2", seed="5"
    )
    assert "<strong>14</strong> records" in shown
    assert "<strong>14</strong> pictures" in shown
    assert "a forest at dawn" in shown
    assert "a second row" in shown
    assert "Submit 14 jobs" in shown
    assert not Submission.objects.exists()


def test_dry_run_names_every_problem_by_row_and_token_and_disables_submit(operator: Client) -> None:
    shown = dry_run(operator, make_pack(text=MATRIX))
    assert "This cannot be submitted yet." in shown
    assert "row 1" in shown
    assert "[[place]]" in shown
    assert "[[hour]]" in shown
    assert re.search(r"<button[^>]*disabled", shown)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rows": "3-1"}, "runs backwards"),
        ({"overrides": "txt2img.steps=4\nnonsense"}, "Line 2: 'nonsense' is no setting"),
        ({"matrix": "place"}, "Line 1: 'place' is no slot"),
        ({"repeat": "0"}, "greater than or equal to 1"),
        ({"seed": "-4"}, "greater than or equal to 0"),
        ({"rows": "a\0b"}, "Null characters"),
    ],
)
def test_options_that_cannot_be_read_are_named(operator: Client, options: dict[str, str], words: str) -> None:
    shown = dry_run(operator, make_pack(), **options)
    assert "These options cannot be read." in shown
    assert words in shown
    assert re.search(r"<button[^>]*disabled", shown)
    assert "Change the options that cannot be read first." in shown


def test_submit_queues_exactly_what_the_dry_run_showed(operator: Client) -> None:
    revision = make_pack(text="one\n\ntwo\n\nthree\n")
    shown = dry_run(
        operator, revision, rows="2-3", overrides="txt2img.steps=4", priority="10", limit="3", repeat="2"
    )
    make_pack(revision.pack.name, text="something newer\n")
    fields = hidden_fields(shown)
    answer = press_submit(operator, revision, fields)
    submission = Submission.objects.get()
    assert "3 jobs for 3 pictures were queued." in text_of(answer)
    assert submission.build_seed == int(fields["seed"])
    assert submission.submitted_by is not None
    assert {job.priority for job in Job.objects.all()} == {Priority.HIGH}
    assert set(JobRecord.objects.values_list("revision_id", flat=True)) == {revision.pk}
    assert [record.row_index for record in JobRecord.objects.order_by("id")] == [1, 1, 2]


def test_submit_pressed_twice_makes_one_submission(operator: Client) -> None:
    revision = make_pack()
    fields = hidden_fields(dry_run(operator, revision))
    first, second = (press_submit(operator, revision, fields) for _ in range(2))
    assert Submission.objects.count() == 1
    assert Job.objects.count() == 1
    assert first.request["PATH_INFO"] == second.request["PATH_INFO"]  # type: ignore[attr-defined]


def test_submit_of_a_pack_with_errors_queues_nothing(operator: Client) -> None:
    revision = make_pack(text=MATRIX)
    answer = press_submit(operator, revision, {"revision": str(revision.pk), "key": "k"})
    assert "Nothing was queued:" in text_of(answer)
    assert not Submission.objects.exists()


def test_key_of_another_request_is_refused(operator: Client) -> None:
    revision = make_pack()
    fields = hidden_fields(dry_run(operator, revision))
    press_submit(operator, revision, fields)
    answer = press_submit(operator, revision, {**fields, "repeat": "3"})
    assert "Nothing was queued: The key" in text_of(answer)
    assert Submission.objects.count() == 1


def test_dry_run_works_without_javascript(operator: Client) -> None:
    revision = make_pack()
    answer = operator.post(reverse("pack-dry-run"), {"revision": str(revision.pk), "repeat": "3"})
    shown = text_of(answer)
    assert "<h1>" in shown
    assert "Submit 3 jobs" in shown
    assert 'name="repeat" id="id_repeat" value="3"' in shown


def test_viewer_may_try_but_not_submit(client: Client) -> None:
    client.force_login(make_user())
    shown = dry_run(client, make_pack())
    assert "Submitting needs the permission" in shown
    assert "<button" not in shown


def test_earlier_revision_can_be_looked_at(operator: Client) -> None:
    first = make_pack("castles", text="one castle\n")
    make_pack("castles", text="two castles\n")
    url = reverse("pack", args=[first.pack_id])
    assert "two castles" in text_of(operator.get(url))
    earlier = text_of(operator.get(f"{url}?revision=1"))
    assert "one castle" in earlier
    assert "This is an earlier revision;" in earlier
    assert operator.get(f"{url}?revision=9").status_code == 404


def test_submission_page_says_how_its_jobs_stand(operator: Client) -> None:
    revision = make_pack()
    answer = press_submit(operator, revision, hidden_fields(dry_run(operator, revision, repeat="4")))
    shown = text_of(answer)
    assert "0 of 4 jobs ended" in shown
    assert re.search(r"Queued</span>\s*<strong>4</strong>", shown)


@pytest.mark.django_db(transaction=True)
def test_what_takes_as_long_as_a_pack_is_large_is_done_outside_the_transaction(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile others write: a transaction on SQLite holds the one write lock that there is."""
    within: list[tuple[str, bool]] = []

    def watched(module: ModuleType, name: str) -> None:
        real = getattr(module, name)

        def call(*arguments: Any, **named: Any) -> Any:
            within.append((name, connection.in_atomic_block))
            return real(*arguments, **named)

        monkeypatch.setattr(module, name, call)

    watched(pages, "parse_pack")
    watched(importing, "author_warnings")
    upload(operator, {"a.txt": b"a keep", "b.txt": b"a tower"})
    assert PackRevision.objects.count() == 2
    assert sorted(within) == [("author_warnings", False)] * 2 + [("parse_pack", False)] * 2


def test_a_pack_with_more_rows_than_are_read_says_so_wherever_it_is_met(operator: Client) -> None:
    text = "\n\n".join(f"row {number}\nneg: low" for number in range(ROWS))
    page = text_of(upload(operator, {"large.txt": text.encode()}))
    assert "has more than 10,000 rows; those after them are not read" in page
    revision = PackRevision.objects.get()
    assert revision.row_count == MAX_ROWS
    assert "has more than 10,000 rows, and those after them are not read" in dry_run(operator, revision)
    assert "3 records" in re.sub(r"\s+", " ", dry_run(operator, revision, rows="1-3"))
    assert "a pack has at most 10,000 rows" in dry_run(operator, revision, rows="1-999999," * 220)


def test_import_in_another_format_makes_rows_and_tells_what_is_left_out(operator: Client) -> None:
    files = SimpleUploadedFile(
        "lines.txt", b'--prompt "a pier" --steps 30\n--prompt "a mill" --tiling true\n'
    )
    page = text_of(operator.get(reverse("packs")))
    assert re.search('<option value="a1111" ?>', page)
    answer = operator.post(reverse("pack-import"), {"pack_files": files, "format": "a1111"}, follow=True)
    page = text_of(answer)
    assert "lines is now revision 1: 2 rows" in page
    assert "lines, line 2: --tiling is no setting of a row here; left out." in page
    files = SimpleUploadedFile("none.txt", b"# nothing\n")
    answer = operator.post(reverse("pack-import"), {"pack_files": files, "format": "lines"})
    assert answer.status_code == 400
    assert "no prompt in the format lines" in text_of(answer)
    assert re.search(r'value="lines"\s+selected', text_of(answer)), "the choice stays"
    files = SimpleUploadedFile("none.txt", b"x\n")
    assert operator.post(reverse("pack-import"), {"pack_files": files, "format": "what"}).status_code == 400
