"""The bundle of a job: what is in, what is left out and why, who may take it out, and what an event tells of it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.http import FileResponse, HttpResponseBase
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from diagnostics.bundle import building
from diagnostics.bundle.building import build_bundle
from jobs.errors import NotFoundError
from jobs.lifecycle import EventType, TruthVerdict
from jobs.models import Job, OutputImage, TruthCheck
from jobs.running.outputs import output_root
from tests.factories import make_job, make_pack, make_runner, make_user
from tests.integration.console import Console
from tests.integration.failed_jobs import complete_in_retry, fail_in_retry
from tests.markup import markup
from webui.nodes.catalogs import store
from webui.work.catalog import Catalog, Entry, Thing

pytestmark = pytest.mark.django_db(transaction=True)

PROMPT = "xylophone quartz meadow"
ALWAYS = {
    "README.txt",
    "explanation.txt",
    "explanation.json",
    "envelope.json",
    "attempts.json",
    "events.jsonl",
    "record.json",
    "evidence/stage_failure_payload.json",
    "evidence/webui_tail.log",
    "evidence/attempt-1/stage_failure_payload.json",
    "evidence/attempt-1/webui_tail.log",
    "pictures.json",
    "versions.json",
    "settings.json",
    "machine.json",
    "catalog.json",
}


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


@pytest.fixture
def failed() -> Job:
    make_job(revision=make_pack(text=f"{PROMPT}\nneg: bassoon\n"))
    return fail_in_retry(make_runner())


def files_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def built(job_id: int, *, prompts_for: str = "") -> dict[str, bytes]:
    bundle = build_bundle(job_id, prompts_for=prompts_for)
    with bundle.file as file:
        return files_of(file.read())


def content_of(answer: HttpResponseBase) -> bytes:
    assert isinstance(answer, FileResponse)
    return b"".join(answer.streaming_content)  # type: ignore[arg-type]


def allowed(client: Client, *names: str) -> Client:
    user = make_user("beatrix")
    user.user_permissions.add(*Permission.objects.filter(codename__in=names))
    client.force_login(user)
    return client


def test_a_bundle_holds_everything_about_a_failure_under_fixed_names(failed: Job) -> None:
    files = built(failed.pk)
    assert set(files) == ALWAYS
    envelope = json.loads(files["envelope.json"])
    assert envelope["code"] == "WEBUI_CONNECTION_LOST"
    events = [json.loads(line) for line in files["events.jsonl"].splitlines()]
    assert [event["event_type"] for event in events][-1] == "FAILED"
    assert [attempt["outcome"] for attempt in json.loads(files["attempts.json"])["attempts"]] == [
        "server_error",
        "unavailable",
    ]
    assert b"last words" in files["evidence/webui_tail.log"]
    versions = json.loads(files["versions.json"])
    assert versions["packages"]["Django"]
    assert versions["servers"][0]["driver"] == "a1111"


def test_its_readme_tells_a_person_what_happened_where_to_look_and_what_is_missing(failed: Job) -> None:
    text = built(failed.pk)["README.txt"].decode()
    assert f"Job {failed.pk}: FAILED. It failed in txt2img" in text
    for title in ("What happened", "In order", "Where to look", "What is not in, and why"):
        assert f"\n{title}\n---" in text
    assert "Retry exhausted: txt2img failed again with WEBUI_CONNECTION_LOST" in text
    assert "replay.json" in text.split("What is not in")[1]
    assert "Pictures are not in. They lie in the output folder" in text


def test_words_of_prompts_are_told_by_length_and_hash_only(failed: Job) -> None:
    files = built(failed.pk)
    record = json.loads(files["record.json"])["record"]
    assert record["positive_prompt"].keys() == {"length", "sha256"}
    assert (record["sampler"], record["steps"]) == (
        json.loads(failed.record.canonical_json)["sampler"],
        json.loads(failed.record.canonical_json)["steps"],
    )
    for name, content in files.items():
        for word in (*PROMPT.split(), "bassoon"):
            assert word.encode() not in content.lower(), name


def test_a_bundle_of_any_job_can_be_had_also_of_one_that_waits() -> None:
    job = make_job()
    files = built(job.pk)
    assert b"QUEUED" in files["explanation.txt"]
    assert "it never ran" in files["README.txt"].decode()
    with pytest.raises(NotFoundError):
        build_bundle(4711)


def test_what_the_servers_have_and_how_pictures_were_judged_is_in() -> None:
    make_job()
    job = complete_in_retry(make_runner())
    assert job.node is not None
    loras = tuple(
        Entry(f"lora_{n}", ("/home/ann/x",), usable=n > 0, note="its file is cut off") for n in range(700)
    )
    options = {"CLIP_stop_at_last_layers": 1}
    store(job.node, Catalog("forge", "f2.0.1", {Thing.LORA: loras}, options))
    output = OutputImage.objects.get(job=job)
    fields = {"seed": {"outcome": "drift", "asked": 1, "used": 2, "by": "info"}}
    TruthCheck.objects.create(output=output, verdict=TruthVerdict.DRIFTED, fields=fields, rules=1)
    files = built(job.pk)
    [catalog] = json.loads(files["catalog.json"])
    assert catalog["lists"]["LoRA"]["count"] == 700
    assert catalog["lists"]["LoRA"]["names"][:2] == ["lora_0 (not usable: its file is cut off)", "lora_1"]
    assert catalog["options"] == options
    assert len(catalog["lists"]["LoRA"]["names"]) < 700
    assert b"/home/ann" not in files["catalog.json"]
    assert json.loads(files["versions.json"])["servers"][0]["version"] == "f2.0.1"
    truth = json.loads(files["truth.json"])
    assert truth["checks"][0]["verdict"] == "drifted"
    assert truth["checks"][0]["fields"][0]["field"] == "seed"
    assert json.loads(files["pictures.json"])[0]["path"] == output.path


def test_settings_show_numbers_and_switches_and_of_others_only_whether_they_are_set(
    failed: Job, settings: Settings
) -> None:
    settings.STABLENEW_WEBUI_AUTH = "render:octopus-12"
    told = json.loads(built(failed.pk)["settings.json"])
    assert told["STABLENEW_HANG_BUSY_S"] == settings.STABLENEW_HANG_BUSY_S
    assert told["STABLENEW_WEBUI_AUTH"] == "set"
    assert told["STABLENEW_WEBUI_COMMAND"] == "not set"


def test_what_does_not_fit_is_left_out_and_named(failed: Job, settings: Settings) -> None:
    tail = output_root() / f"2026-01-31/{failed.pk}/webui_tail.log"
    tail.write_text("".join(f"line {number} of a long log\n" for number in range(9_000)))
    settings.STABLENEW_BUNDLE_MAX_BYTES = building.FOR_README_BYTES + 60_000
    files = built(failed.pk)
    assert "evidence/webui_tail.log" not in files
    assert "envelope.json" in files
    said = next(line for line in files["README.txt"].decode().splitlines() if "did not fit" in line)
    assert said.startswith("evidence/webui_tail.log")
    assert "STABLENEW_BUNDLE_MAX_BYTES" in said
    assert sum(map(len, files.values())) <= settings.STABLENEW_BUNDLE_MAX_BYTES


def test_a_file_that_is_gone_or_not_ours_is_named_and_never_read(failed: Job) -> None:
    folder = output_root() / f"2026-01-31/{failed.pk}"
    (folder / "webui_tail.log").unlink()
    (folder / "notes.txt").write_text("private")
    error: dict[str, Any] = failed.error or {}
    path = f"2026-01-31/{failed.pk}/notes.txt"
    Job.objects.filter(pk=failed.pk).update(
        error={**error, "artifact_paths": [path, *error["artifact_paths"]]}
    )
    files = built(failed.pk)
    text = files["README.txt"].decode()
    assert "it was moved or deleted on disk" in text
    assert "it is no file that StableNew writes" in text
    assert not any(b"private" in content for content in files.values())


def test_few_bundles_are_made_at_once(failed: Job, client: Client) -> None:
    allowed(client, "view_failedjob")
    for _ in range(building.AT_ONCE):
        building._places.acquire()
    try:
        answer = client.get(reverse("bundle", args=[failed.pk]))
    finally:
        for _ in range(building.AT_ONCE):
            building._places.release()
    assert answer.status_code == 503
    assert "Try again in a moment" in markup(answer)
    assert client.get(reverse("bundle", args=[failed.pk])).status_code == 200


def test_a_bundle_without_prompts_is_a_download_and_changes_nothing(failed: Job, client: Client) -> None:
    answer = allowed(client, "view_failedjob").get(reverse("bundle", args=[failed.pk]))
    assert answer["Content-Disposition"] == f'attachment; filename="job-{failed.pk}.zip"'
    content = content_of(answer)
    assert len(content) == int(answer["Content-Length"])
    assert set(files_of(content)) == ALWAYS
    assert not failed.events.filter(event_type=EventType.BUNDLED_WITH_PROMPTS).exists()


def test_prompts_leave_by_a_permission_of_their_own_and_an_event_says_who_took_them(
    failed: Job, client: Client
) -> None:
    address = reverse("bundle-with-prompts", args=[failed.pk])
    assert allowed(client, "view_failedjob").post(address).status_code == 403
    user = make_user("cornelia")
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_failedjob", "bundle_prompts"]))
    client.force_login(user)
    files = files_of(content_of(client.post(address)))
    assert PROMPT.encode() in files["record.json"]
    [request] = json.loads(files["replay.json"])["requests"]
    assert PROMPT in request["body"]["prompt"]
    assert "THIS BUNDLE HOLDS THE PROMPTS" in files["README.txt"].decode()
    event = failed.events.get(event_type=EventType.BUNDLED_WITH_PROMPTS)
    assert event.data["by"] == "cornelia"
    assert b"cornelia" not in b"".join(built(failed.pk).values())


def test_job_page_and_admin_offer_it_to_those_who_may(failed: Job, client: Client) -> None:
    client.force_login(make_user())
    plain, prompts = (reverse(name, args=[failed.pk]) for name in ("bundle", "bundle-with-prompts"))
    page = markup(client.get(reverse("job", args=[failed.pk])))
    assert plain not in page
    assert prompts not in page
    allowed(client, "view_failedjob")
    page = markup(client.get(reverse("job", args=[failed.pk])))
    assert f'href="{plain}"' in page
    assert prompts not in page
    client.force_login(make_user(is_superuser=True, is_staff=True))
    admin = reverse("admin:diagnostics_failedjob_change", args=[failed.pk])
    for address in (reverse("job", args=[failed.pk]), admin):
        page = markup(client.get(address))
        assert f'href="{plain}"' in page
        assert f'action="{prompts}"' in page


def test_the_command_writes_the_same_file_and_never_over_another(
    failed: Job, console: Console, tmp_path: Path
) -> None:
    path = tmp_path / "out.zip"
    answer = console.json("jobs", "bundle", failed.pk, "--output", path)
    assert answer["file"] == str(path)
    assert {one["name"] for one in answer["left_out"]} == {"truth.json", "replay.json"}
    assert set(files_of(path.read_bytes())) == ALWAYS
    assert path.stat().st_mode & 0o077 == 0
    assert console.run("jobs", "bundle", failed.pk, "--output", path) == 1
    assert "File exists" in console.err
    assert console.run("jobs", "bundle", 4711, "--output", tmp_path / "none.zip") == 1
    assert console.run("jobs", "bundle", failed.pk, "--with-prompts", "--output", tmp_path / "with.zip") == 0
    assert failed.events.filter(event_type=EventType.BUNDLED_WITH_PROMPTS).count() == 1
