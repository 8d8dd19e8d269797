"""The page of a film or edit pack: its pictures and what they are made with, no JSON lines and nothing of pictures."""

from __future__ import annotations

import html

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from jobs.models import PackRevision
from jobs.reading.pack_rows import row_page
from jobs.submitting.submission import source_of
from tests.factories import make_pack, make_user
from tests.film_packs import film_text, picture
from tests.markup import markup

pytestmark = pytest.mark.django_db

DOCUMENTS = {"i2v": '{"i2v": {"steps": 6, "num_frames": 50}}', "edit": '{"edit": {"steps": 6}}'}
OF_PICTURES = ("txt2img", "Checkpoint", "the WebUI", "Sampler", "preset", "&lt;lora&gt;")


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


def film_pack(kind: str) -> PackRevision:
    return make_pack("films", text=film_text("it waves", "it runs"), kind=kind, document=DOCUMENTS[kind])


def text_of(answer: object) -> str:
    assert isinstance(answer, HttpResponse)
    return html.unescape(markup(answer))


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_a_row_tells_its_picture_and_the_values_that_take_effect(kind: str) -> None:
    page = row_page(source_of(film_pack(kind)))
    first = page.rows[0]
    settings = dict(first.settings)
    assert first.images == (picture(1),)
    assert (first.written, first.lines, page.trailing) == ((), "", ())
    assert (settings["Steps"], settings["CFG scale"]) == ("6", "1")
    assert settings["Size"] == ("848 × 480" if kind == "i2v" else "1360 × 768")
    assert settings["Model"] == "the worker's own"
    if kind == "i2v":
        assert settings["Frames"] == "49 at 16 per second, 3.1 s"


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_page_and_preview_say_nothing_of_pictures(operator: Client, kind: str) -> None:
    revision = film_pack(kind)
    page = text_of(operator.get(reverse("pack", args=[revision.pack_id])))
    main = page[page.index("<main") :]
    assert [word for word in OF_PICTURES if word in main] == []
    assert reverse("input-thumb", args=[picture(1).sha256]) in main
    assert f'placeholder="{kind}.steps=' in main
    assert '"prompt"' not in main
    made = text_of(operator.post(reverse("pack-dry-run"), {"revision": revision.pk}))
    assert [word for word in OF_PICTURES if word in made] == []
    assert "the worker's own" in made
    assert "Made from cat1.png" in made
    assert "Negative:" not in made
