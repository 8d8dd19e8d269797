"""Films on pages, in commands and in bundles: shown by their posters, told with their facts."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image
from pytest_django import Settings

from diagnostics.bundle.building import build_bundle
from diagnostics.explaining.exchanges import exchanges_of
from jobs.models import Job, OutputImage
from jobs.queue.filters import JobFilter
from jobs.reading.detail import job_detail
from jobs.reading.document import job_document
from jobs.reading.pictures import picture_detail
from jobs.running.outputs import output_root
from tests.factories import make_user
from tests.integration import scripted_worker as acts
from tests.integration.film_runs import run_film

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, settings: Settings) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_INPUT_DIR = tmp_path / "inputs"
    settings.STABLENEW_THUMBNAIL_DIR = tmp_path / "thumbnails"


@pytest.fixture
def job() -> Job:
    job, _, _ = run_film()
    return job


@pytest.fixture
def film(job: Job) -> OutputImage:
    return OutputImage.objects.get(job=job)


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera", operator=True))
    return client


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_its_thumbnail_and_poster_are_its_first_frame(viewer: Client, film: OutputImage) -> None:
    thumb = viewer.get(reverse("thumb", args=[film.pk]))
    poster = viewer.get(reverse("poster", args=[film.pk]), {"v": film.sha256[:12]})

    assert (thumb["Content-Type"], opened(thumb.content).size) == ("image/webp", (64, 64))
    assert (poster["Content-Type"], opened(poster.content).size) == ("image/jpeg", (64, 64))
    assert "immutable" in poster["Cache-Control"]


def test_a_picture_has_no_poster_and_a_lost_one_is_told(viewer: Client, film: OutputImage) -> None:
    edit, _, _ = run_film(kind="edit")
    (picture,) = edit.results
    (output_root() / film.poster_path).unlink()
    answers = [viewer.get(reverse("poster", args=[pk])) for pk in (picture.pk, film.pk, 999)]

    assert [answer.status_code for answer in answers] == [404] * 3
    assert "moved or deleted" in answers[1].content.decode()


def test_its_very_file_is_handed_out(viewer: Client, film: OutputImage) -> None:
    answer = viewer.get(reverse("output", args=[film.pk]), {"download": "1"})

    assert body_of(answer) == (output_root() / film.path).read_bytes()


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_pages_of_a_film_or_an_edit_open(viewer: Client, kind: str) -> None:
    job, _, _ = run_film(acts.flat, kind=kind)
    (row,) = job.results
    addresses = [
        reverse("job", args=[job.pk]),
        reverse("picture", args=[row.pk]),
        reverse("history"),
        reverse("jobs"),
        reverse("submission", args=[job.record.submission_id]),
        reverse("job-account", args=[job.pk]),
        reverse("job-exchanges", args=[job.pk]),
    ]
    for address in addresses:
        assert viewer.get(address).status_code == 200, address


def test_its_facts_are_those_of_a_film(job: Job, film: OutputImage) -> None:
    detail, shown = job_detail(job.pk), picture_detail(film.pk, JobFilter())

    assert detail is not None
    assert shown is not None
    ((told,),) = [stage.pictures for stage in detail.stages]
    expected = (True, "video/mp4", 9, 16.0, 0.562)
    for one in (told, shown):
        assert (one.is_film, one.media_type, one.frames, one.fps, one.duration_s) == expected
    assert dict(detail.facts)["Frames"] == "9 at 16 per second, 0.6 s"
    assert dict(shown.facts)["Input pictures"] == "1.png"
    assert shown.description == "Film 1 of i2v: the lamp turns"
    assert [one.is_film for one in shown.strip] == [True]


def test_its_document_has_its_facts(job: Job) -> None:
    (told,) = job_document(job)["outputs"]

    assert (told["frames"], told["fps"], told["duration_s"], told["poster"]) == (
        9,
        16.0,
        0.562,
        "1-i2v-000-run1-poster.jpg",
    )


def test_what_was_sent_for_it_is_made_again(job: Job) -> None:
    (exchange,) = exchanges_of(job.pk)

    assert (exchange.endpoint, exchange.missing) == ("/jobs", "")
    assert {field.name for field in exchange.fields} > {"inputs", "num_frames", "prompt"}


def test_its_bundle_tells_its_frames(job: Job) -> None:
    bundle = build_bundle(job.pk)
    with bundle.file as content, zipfile.ZipFile(content) as file:
        names = file.namelist()
        name = next(name for name in names if name.endswith("pictures.json"))
        (told,) = json.loads(file.read(name))

    assert (told["frames"], told["fps"]) == (9, 16.0)
