"""The page of a job tells the prompts of its stages."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.urls import reverse

from jobs.models import Job
from tests.factories import make_pack, make_runner, make_user, submit
from tests.markup import markup

pytestmark = pytest.mark.django_db(transaction=True)


def test_page_shows_the_words_that_a_stage_has_of_its_own(client: Client) -> None:
    document = {"adetailer": {"prompt": "a calm face"}, "pipeline": {"adetailer_enabled": True}}
    submit(make_pack(text="a castle\nneg: fog\n", document=json.dumps(document)))
    make_runner()
    client.force_login(make_user())
    page = markup(client.get(reverse("job", args=[Job.objects.get().pk])))
    assert "a calm face" in page
    assert "only in face" in page
    assert "adetailer" in page
