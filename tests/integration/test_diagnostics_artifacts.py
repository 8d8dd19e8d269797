"""Downloads of evidence: only files that a row names, only inside the output folder, only for who may see failures."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.http import FileResponse
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from diagnostics.evidence.artifacts import artifacts_of
from jobs.models import Job, StageAttempt
from jobs.running.outputs import output_root
from tests.factories import make_job, make_runner, make_user
from tests.integration.failed_jobs import fail_in_retry, write_evidence
from tests.integration.finished_jobs import complete
from tests.markup import markup

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


@pytest.fixture
def admin(client: Client) -> Client:
    user = make_user("ada")
    user.user_permissions.add(Permission.objects.get(codename="view_failedjob"))
    client.force_login(user)
    return client


@pytest.fixture
def failed() -> Job:
    make_job()
    return fail_in_retry(make_runner())


def name_in_rows(job: Job, path: str) -> None:
    """A row of the job names this path, whatever it is."""
    attempt = StageAttempt.objects.filter(job=job).latest("id")
    StageAttempt.objects.filter(pk=attempt.pk).update(artifact_paths=[path])


def test_every_path_of_envelope_and_attempts_is_offered_once(failed: Job) -> None:
    names = [artifact.name for artifact in artifacts_of(failed.pk)]
    assert names == [
        "stage_failure_payload.json",
        "webui_tail.log",
        "attempt-1/stage_failure_payload.json",
        "attempt-1/webui_tail.log",
    ]


def test_a_file_is_handed_out_as_a_download_of_its_kind(admin: Client, failed: Job) -> None:
    kinds: dict[str, str] = {}
    for artifact in artifacts_of(failed.pk):
        answer = admin.get(reverse("failure-artifact", args=[failed.pk, artifact.path]))
        assert isinstance(answer, FileResponse)
        content = b"".join(answer.streaming_content)
        assert content == (output_root() / artifact.path).read_bytes()
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert "no-store" in answer["Cache-Control"]
        kinds[answer["Content-Disposition"]] = answer["Content-Type"]
    assert kinds == {
        f'attachment; filename="job-{failed.pk}-stage_failure_payload.json"': "application/json",
        f'attachment; filename="job-{failed.pk}-webui_tail.log"': "text/plain; charset=utf-8",
        f'attachment; filename="job-{failed.pk}-attempt-1-stage_failure_payload.json"': "application/json",
        f'attachment; filename="job-{failed.pk}-attempt-1-webui_tail.log"': "text/plain; charset=utf-8",
    }


def test_without_the_permission_nothing_is_handed_out(client: Client, failed: Job) -> None:
    client.force_login(make_user(operator=True))
    path = artifacts_of(failed.pk)[0].path
    answer = client.get(reverse("failure-artifact", args=[failed.pk, path]))
    assert answer.status_code == 403
    assert "permission to view failures (diagnostics.view_failedjob)" in markup(answer)
    shown = markup(client.get(reverse("failure-artifacts", args=[failed.pk])))
    assert "stage_failure_payload.json" in shown
    assert "download>" not in shown
    assert "needs the permission to view failures" in shown


@pytest.mark.parametrize(
    "path",
    [
        "../secret.log",
        "2026-01-31/../../secret.log",
        "%2e%2e/secret.log",
        "..%2fsecret.log",
        "/etc/passwd",
        "//etc/passwd",
        "2026-01-31/neighbour.log",
        "2026-01-31",
        "webui_tail.log",
        "\x00",
    ],
)
def test_a_path_that_no_row_names_leads_to_no_file(admin: Client, failed: Job, path: str) -> None:
    root = output_root()
    (root.parent / "secret.log").write_text("secret")
    (root / "2026-01-31" / "neighbour.log").write_text("secret")
    answer = admin.get(f"/failures/{failed.pk}/artifacts/{path}")
    assert answer.status_code == 404
    assert b"secret" not in answer.content


def test_evidence_of_another_job_has_no_address_here(admin: Client, failed: Job) -> None:
    make_job()
    other = complete(make_runner())
    path = artifacts_of(failed.pk)[0].path
    answer = admin.get(reverse("failure-artifact", args=[other.pk, path]))
    assert answer.status_code == 404
    assert f"Job {other.pk} has no file of evidence with this name." in markup(answer)


@pytest.mark.parametrize(
    "kind", ["outside", "absolute", "linked file", "linked folder", "folder", "the root"]
)
def test_even_a_path_in_a_row_never_leaves_the_output_folder(admin: Client, failed: Job, kind: str) -> None:
    root = output_root()
    secret = root.parent / "elsewhere" / "secret.log"
    secret.parent.mkdir()
    secret.write_text("secret")
    (root / "link.log").symlink_to(secret)
    (root / "away").symlink_to(secret.parent, target_is_directory=True)
    path = {
        "outside": "../elsewhere/secret.log",
        "absolute": str(secret),
        "linked file": "link.log",
        "linked folder": "away/secret.log",
        "folder": "2026-01-31",
        "the root": ".",
    }[kind]
    name_in_rows(failed, path)
    assert path in [artifact.path for artifact in artifacts_of(failed.pk)]
    answer = admin.get(f"/failures/{failed.pk}/artifacts/{path}")
    assert answer.status_code == 404
    assert not isinstance(answer, FileResponse)


def test_file_that_is_gone_says_so(admin: Client, failed: Job) -> None:
    artifact = artifacts_of(failed.pk)[0]
    artifact.file().unlink()
    answer = admin.get(reverse("failure-artifact", args=[failed.pk, artifact.path]))
    assert answer.status_code == 404
    said = f"The file {artifact.name} of job {failed.pk} is gone: it was moved or deleted on disk."
    assert said in html.unescape(markup(answer))
    shown = markup(admin.get(reverse("failure-artifacts", args=[failed.pk])))
    assert "gone: it was moved or deleted on disk" in shown


def test_list_is_a_page_or_the_fragment_of_the_jobs_page(admin: Client, failed: Job) -> None:
    address = reverse("failure-artifacts", args=[failed.pk])
    assert "<html" in markup(admin.get(address))
    part = markup(admin.get(address, headers={"HX-Request": "true"}))
    assert "<html" not in part
    assert part.count("download>") == 4
    assert admin.get(reverse("failure-artifacts", args=[4711])).status_code == 404


def test_job_without_evidence_says_so(admin: Client) -> None:
    make_job()
    done = complete(make_runner())
    shown = markup(admin.get(reverse("failure-artifacts", args=[done.pk])))
    assert "has left no files of evidence" in shown


def test_addresses_survive_odd_names(admin: Client, failed: Job) -> None:
    [path] = write_evidence(failed.pk, "a b&c#1?.log")
    name_in_rows(failed, path)
    shown = html.unescape(markup(admin.get(reverse("failure-artifacts", args=[failed.pk]))))
    address = reverse("failure-artifact", args=[failed.pk, path])
    assert address in shown
    assert admin.get(address).status_code == 200
