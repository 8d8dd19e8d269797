"""The ways between a result and what was made from it, and the input pictures that pages show."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from PIL import Image
from pytest_django import Settings

from jobs.building.builder import PackSource
from jobs.inputs.facts import read_input
from jobs.inputs.store import finished_pictures, keep, keep_result, open_input, path_of
from jobs.models import InputPicture, InputUse, Job, OutputImage
from jobs.packs.json_lines import line_of, text_of
from jobs.packs.pack import parse_pack
from jobs.packs.rows import RowImage
from jobs.reading.detail import job_detail
from jobs.reading.lineage import MOST, lineage_of
from jobs.running.outputs import file_of
from jobs.submitting.importing import import_pack
from tests.factories import make_runner, make_user, submit
from tests.film_jobs import make_film_pack
from tests.integration.finished_jobs import complete

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, settings: Settings) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_INPUT_DIR = tmp_path / "inputs"
    settings.STABLENEW_THUMBNAIL_DIR = tmp_path / "thumbnails"


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


def words_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", page).split())


def source_job() -> Job:
    """A finished job of pictures whose second one becomes an input."""
    submit()
    return complete(make_runner(), pictures=2)


def films_of(output: OutputImage, count: int = 1, prompt: str = "it moves") -> tuple[int, ...]:
    row = keep_result(output)
    image = RowImage(row.sha256, row.name, row.width_px, row.height_px)
    lines = [line_of([image], f"{prompt} {number}") for number in range(count)]
    source = PackSource(pack_id="animated", text=text_of(lines), document="{}", kind="i2v")
    return submit(import_pack(parse_pack(source)).revision).job_ids


def test_a_job_knows_what_it_was_made_from_and_what_it_became() -> None:
    job = source_job()
    output = OutputImage.objects.filter(job=job).order_by("image_index")[1]
    [film] = films_of(output)
    made = job_detail(film)
    assert made is not None
    [line] = made.lineage.inputs
    assert (line.from_job, line.from_output, line.from_number) == (job.pk, output.pk, 2)
    assert (line.width_px, line.height_px, line.size_bytes) == (64, 48, output.size_bytes)
    source = job_detail(job.pk)
    assert source is not None
    assert [(one.job_id, one.noun) for one in source.lineage.became] == [(film, "film")]
    assert not source.lineage.inputs


def test_both_ways_are_links_on_the_pages(viewer: Client) -> None:
    job = source_job()
    output = OutputImage.objects.filter(job=job).order_by("image_index")[0]
    [film] = films_of(output)
    before = viewer.get(reverse("job", args=[job.pk])).content.decode()
    after = viewer.get(reverse("job", args=[film])).content.decode()
    assert f'href="{reverse("job", args=[film])}"' in before
    assert f"became job {film} (film)" in words_of(before)
    assert f"made by job {job.pk}, picture 1" in words_of(after)
    assert f'src="{reverse("input-thumb", args=[output.sha256])}"' in after


def made_of(content: bytes, name: str) -> int:
    """A film of a picture that somebody gave."""
    facts = read_input(content, "given.png")
    row = keep(content, facts, name="given.png", by="ann")
    line = line_of([RowImage(row.sha256, row.name, row.width_px, row.height_px)], "it moves")
    pack = parse_pack(PackSource(pack_id=name, text=text_of([line]), document="{}", kind="i2v"))
    return submit(import_pack(pack).revision).job_ids[0]


def test_a_picture_that_is_given_is_the_first_result_with_its_bytes(viewer: Client) -> None:
    job, again = source_job(), source_job()
    given = file_of(OutputImage.objects.filter(job=job).order_by("image_index")[0].path)
    assert given is not None
    content = given.read_bytes()
    # A later job made the same bytes.
    digest = hashlib.sha256(content).hexdigest()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_outputimage SET sha256 = %s WHERE job_id = %s", [digest, again.pk])
    film = made_of(content, "given")
    row = InputPicture.objects.get(sha256=digest)
    assert row.from_output is not None
    assert (row.name, row.by, row.from_output.job_id, row.from_output.image_index) == (
        "given.png",
        "ann",
        job.pk,
        0,
    )
    assert not path_of(digest).exists()
    assert open_input(digest) == content
    before = viewer.get(reverse("job", args=[job.pk])).content.decode()
    after = viewer.get(reverse("job", args=[film])).content.decode()
    assert f"became job {film} (film)" in words_of(before)
    assert f"made by job {job.pk}, picture 1" in words_of(after)


def test_only_the_same_bytes_of_a_result_that_counts_are_it() -> None:
    job = source_job()
    outputs = OutputImage.objects.filter(job=job).order_by("image_index")
    contents = [path.read_bytes() for one in outputs if (path := file_of(one.path)) is not None]
    saved_anew = io.BytesIO()
    Image.open(io.BytesIO(contents[0])).save(saved_anew, "PNG", compress_level=1)
    made_of(saved_anew.getvalue(), "anew")
    Job.objects.filter(pk=job.pk).update(take=2)
    made_of(contents[1], "superseded")
    assert InputPicture.objects.filter(from_output=None).count() == 2
    assert all(path_of(one.sha256).is_file() for one in InputPicture.objects.all())


def test_a_given_picture_whose_result_went_away_is_kept_again() -> None:
    job = source_job()
    path = file_of(OutputImage.objects.filter(job=job)[0].path)
    assert path is not None
    content = path.read_bytes()
    path.unlink()
    made_of(content, "given")
    assert open_input(hashlib.sha256(content).hexdigest()) == content


def test_the_look_for_a_result_reads_no_other_pictures() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("the plan of SQLite")
    plan = finished_pictures().filter(sha256="0" * 64).order_by("id").explain()
    assert "INDEX output_by_hash (sha256=?)" in plan


def test_what_became_of_many_is_cut_and_costs_the_same() -> None:
    job = source_job()
    output = OutputImage.objects.filter(job=job)[0]
    films_of(output)
    with CaptureQueriesContext(connection) as few:
        lineage_of(job, {})
    films_of(output, MOST + 5, prompt="again")
    with CaptureQueriesContext(connection) as many:
        found = lineage_of(job, {})
    assert (len(found.became), found.more) == (MOST, True)
    assert len(few) == len(many) == 1


def test_a_picture_that_is_named_twice_is_linked_once_and_a_lost_row_is_told() -> None:
    [job_id] = submit(make_film_pack("one")).job_ids
    assert InputUse.objects.count() == 1
    job = Job.objects.select_related("record").get(pk=job_id)
    lineage = lineage_of(job, {"inputs": [{"sha256": "f" * 64, "name": ""}]})
    [line] = lineage.inputs
    assert (line.name, line.width_px, line.from_job) == ("f" * 12, None, None)


def test_input_pictures_are_shown_whole_and_small(viewer: Client) -> None:
    make_film_pack("one")
    row = InputPicture.objects.get()
    whole = viewer.get(reverse("input", args=[row.sha256]))
    small = viewer.get(reverse("input-thumb", args=[row.sha256]))
    assert (whole["Content-Type"], whole.content) == ("image/png", path_of(row.sha256).read_bytes())
    assert (small["Content-Type"], Image.open(io.BytesIO(small.content)).size) == ("image/webp", (64, 48))
    for answer, address in ((whole, "input"), (small, "input-thumb")):
        assert "immutable" in answer["Cache-Control"]
        asked = {"If-None-Match": answer["ETag"]}
        assert viewer.get(reverse(address, args=[row.sha256]), headers=asked).status_code == 304


def test_an_input_picture_that_is_gone_or_unknown_is_told(viewer: Client) -> None:
    make_film_pack("one")
    row = InputPicture.objects.get()
    path_of(row.sha256).unlink()
    for sha256 in (row.sha256, "0" * 64):
        for address in ("input", "input-thumb"):
            answer = viewer.get(reverse(address, args=[sha256]))
            assert answer.status_code == 404
            assert "no-store" in answer["Cache-Control"]
