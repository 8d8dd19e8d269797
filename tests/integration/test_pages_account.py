"""Where accounts are read: the fragment of a job's page, the page of its own, and `jobs explain`."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from diagnostics.explaining.explain import account_of
from diagnostics.explaining.job_facts import situation_version
from jobs.errors import NotFoundError
from jobs.models import Runner
from tests.factories import make_job, make_user
from tests.integration.console import Console
from tests.integration.finished_jobs import complete
from tests.integration.job_situations import next_one, paused
from tests.markup import markup

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


def test_unchanged_poll_is_one_query_and_no_content(client: Client) -> None:
    client.force_login(make_user())
    job = next_one()
    address = reverse("job-account", args=[job.pk])
    version = situation_version(job.pk)
    with CaptureQueriesContext(connection) as caught:
        answer = client.get(f"{address}?version={version}", headers={"HX-Request": "true"})
    assert answer.status_code == 204
    about_jobs = [query for query in caught if "jobs_job" in query["sql"]]
    assert len(about_jobs) == 1
    assert len(caught) <= 3  # session and user


def test_account_of_an_ended_job_polls_no_more(client: Client) -> None:
    client.force_login(make_user())
    headers = {"HX-Request": "true"}
    waiting = markup(client.get(reverse("job-account", args=[next_one().pk]), headers=headers))
    assert "every 2s" in waiting
    ended = complete(Runner.objects.get())
    assert "every 2s" not in markup(client.get(reverse("job-account", args=[ended.pk]), headers=headers))


def test_page_offers_remedies_to_operators_alone(client: Client) -> None:
    address = reverse("job-account", args=[paused().pk])
    client.force_login(make_user())
    assert reverse("queue-resume") not in markup(client.get(address))
    client.force_login(make_user(operator=True))
    assert reverse("queue-resume") in markup(client.get(address))


def test_unknown_job_has_no_account(client: Client, console: Console) -> None:
    with pytest.raises(NotFoundError):
        account_of(4711)
    client.force_login(make_user())
    assert client.get(reverse("job-account", args=[4711])).status_code == 404
    assert console.run("jobs", "explain", 4711) == 1


@pytest.mark.django_db(transaction=True)  # A command closes its connection.
def test_jobs_explain_tells_people_and_programs_the_same(console: Console) -> None:
    job = paused()
    document = console.json("jobs", "explain", job.pk)
    assert document["job_id"] == job.pk
    assert document["status"] == "QUEUED"
    assert document["reasons"][0]["code"] == "paused"
    assert document["actions"][0] == {
        "verb": "resume-queue",
        "label": "Resume the queue",
        "target_id": 0,
        "command": "python manage.py queue resume",
    }
    assert console.run("jobs", "explain", job.pk) == 0
    assert document["headline"] in console.out
    assert "Cancel: python manage.py jobs cancel" in console.out
    both = console.json("jobs", "explain", job.pk, make_job().pk)
    assert len(both["jobs"]) == 2
