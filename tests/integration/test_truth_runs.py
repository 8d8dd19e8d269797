"""The truth check within runs: what is kept, what is marked, what costs the retry or the job."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image
from pytest_django import Settings

from jobs.lifecycle import EventType, TruthPolicy, TruthVerdict
from jobs.models import Job, NodeLack, OutputImage, Runner, TruthCheck
from jobs.queue.claims import claim_next
from jobs.queue.filters import JobFilter
from jobs.queue.identity import ProcessIdentity
from jobs.reading.lists import history
from jobs.running.outputs import output_root, run_directory
from jobs.running.recheck import recheck
from jobs.submitting.preflight import OnMissing
from jobs.submitting.reruns import rerun
from jobs.truth import seen
from jobs.truth.checks import outcomes_of
from jobs.truth.outcomes import FieldVerdict
from tests.factories import make_node, make_pack, make_runner, make_running_job, make_user, submit
from tests.integration.console import Console
from tests.integration.scripted_runs import claim_again, events, execute, outcomes, started
from tests.integration.scripted_webui import Act, Post, ScriptedKeeper, ScriptedWebUI, answered, drawn
from tests.markup import markup
from tests.sketches import sketch
from webui.http.answer import HttpAnswer
from webui.models import Node, NodeCatalog
from webui.nodes.catalogs import as_document
from webui.work.catalog import Catalog, Entry, Thing

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    seen._lately.clear()


def encoded(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def honest(**told: Any) -> Act:
    """What a good WebUI answers, `told` said otherwise."""

    def act(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        document = json.loads(drawn(webui, post).body)
        body = post.body
        info = {
            "all_seeds": [body["seed"] + number for number in range(body.get("n_iter", 1))],
            "prompt": body["prompt"],
            "negative_prompt": body["negative_prompt"],
            "sampler_name": body["sampler_name"],
            "steps": body["steps"],
            "cfg_scale": body["cfg_scale"],
            "extra_generation_params": {"Schedule type": body.get("scheduler")},
            "sd_model_name": "any",
        }
        document["info"] = json.dumps({**info, **told})
        return answered(document)

    return act


def with_pictures(make: Callable[[int], Image.Image]) -> Act:
    def act(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        document = json.loads(honest()(webui, post).body)
        document["images"] = [encoded(make(number)) for number in range(len(document["images"]))]
        return answered(document)

    return act


def with_policy(policy: TruthPolicy, *script: Act) -> Job:
    claim, webui, keeper = started(*script)
    claim.job.truth_policy = policy
    return execute(claim, webui, keeper)


def drift_of(job: Job) -> set[str]:
    checks = TruthCheck.objects.filter(output__job=job)
    return {row.field for check in checks for row in outcomes_of(check) if row.outcome is FieldVerdict.DRIFT}


def test_job_as_asked_is_verified_picture_by_picture() -> None:
    job = execute(*started(honest()))
    assert (job.status, job.truth) == ("COMPLETED", TruthVerdict.VERIFIED)
    assert [row.verdict for row in TruthCheck.objects.all()] == ["verified", "verified"]
    manifest = json.loads((run_directory(job) / "manifest.json").read_text())
    assert {output["truth"]["verdict"] for output in manifest["outputs"]} == {"verified"}


def test_answer_that_tells_nothing_leaves_a_job_unproven() -> None:
    job = execute(*started(drawn))
    assert (job.status, job.truth) == ("COMPLETED", TruthVerdict.UNPROVEN)


def test_drift_that_changes_little_is_marked_and_told_by_the_last_event() -> None:
    job = execute(*started(honest(sampler_name="DDIM")))
    assert (job.status, job.truth, job.retry_count) == ("COMPLETED", TruthVerdict.DRIFTED, 0)
    told = job.events.get(event_type=EventType.COMPLETED).data
    assert told["truth"] == "drifted"
    assert (
        told["drifts"][0].items() >= {"field": "Sampler", "used": "DDIM", "by": "the answer's info"}.items()
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda number: Image.new("RGB", (512, 512)), "the picture is black"),
        (lambda number: Image.new("RGB", (512, 512), (90, 90, 90)), "the picture is of one colour"),
    ],
)
def test_picture_of_no_use_costs_the_retry_whatever_the_policy(
    make: Callable[[int], Image.Image], words: str
) -> None:
    job = execute(*started(with_pictures(make), honest()))
    assert (job.status, job.retry_count, job.truth) == ("COMPLETED", 1, "verified")
    assert outcomes(job) == ["bad_answer", "completed"]
    again = execute(*started(with_pictures(make), with_pictures(make)))
    assert (again.status, again.error_code, again.truth) == ("FAILED", "TRUTH_DRIFT", "")
    assert again.error is not None
    assert words in again.error["message"]
    assert not OutputImage.objects.filter(job=again).exists()


def test_policy_to_fail_fails_at_once_and_says_what_was_used_and_who_says_so() -> None:
    job = with_policy(TruthPolicy.FAIL, honest(sampler_name="DDIM"))
    assert (job.status, job.error_code, job.retry_count) == ("FAILED", "TRUTH_DRIFT", 0)
    assert job.error is not None
    assert "Sampler: asked for" in job.error["message"]
    assert "got DDIM, by the answer's info" in job.error["message"]
    assert job.error["remediation"]


def test_policy_to_retry_spends_the_retry_and_takes_what_comes_right() -> None:
    job = with_policy(TruthPolicy.RETRY, honest(sampler_name="DDIM"), honest())
    assert (job.status, job.retry_count, job.truth) == ("COMPLETED", 1, "verified")
    assert EventType.CRASH_SUSPECTED in events(job)


def test_installation_decides_where_the_submission_does_not(settings: Settings) -> None:
    settings.STABLENEW_TRUTH = "fail"
    assert execute(*started(honest(sampler_name="DDIM"))).status == "FAILED"
    job = with_policy(TruthPolicy.MARK, honest(sampler_name="DDIM"))
    assert (job.status, job.truth) == ("COMPLETED", "drifted")


def test_policy_of_a_submission_goes_to_its_jobs_and_to_those_that_repeat_them() -> None:
    submitted = submit(make_pack(), truth=TruthPolicy.FAIL)
    job = Job.objects.get(pk=submitted.job_ids[0])
    assert (submitted.submission.truth_policy, job.truth_policy) == ("fail", "fail")
    Job.objects.filter(pk=job.pk).update(status="CANCELLED", finished_at=timezone.now())
    assert Job.objects.get(pk=rerun([job.pk], by="anna")[0]).truth_policy == "fail"


def test_picture_of_the_job_before_is_named() -> None:
    claim, webui, keeper = started(with_pictures(lambda number: sketch((512, 512), number)))
    first = execute(claim, webui, keeper)
    runner = claim.runner
    _, second = make_running_job(runner, revision=make_pack("other", "another prompt\n", document=DOCUMENT))
    stale = ScriptedWebUI(with_pictures(lambda number: sketch((512, 512), number)))
    job = execute(second, stale, ScriptedKeeper(stale))
    assert drift_of(first) == set()
    assert drift_of(job) == {"Distinct"}


DOCUMENT = '{"preset_data": {"pipeline": {"images_per_prompt": 2}}}'


def lists_of(node: Node, **lists: tuple[Entry, ...]) -> NodeCatalog:
    catalog = Catalog(lists={Thing[name]: entries for name, entries in lists.items()})
    return NodeCatalog.objects.create(
        node=node, document=as_document(catalog), read_at=timezone.now(), generation=node.generation
    )


def test_lists_that_a_result_contradicts_are_wanted_anew() -> None:
    node = make_node()
    kept = lists_of(node, SAMPLER=(Entry("Heun"),))
    pack = make_pack(document=DOCUMENT)
    _, claim = make_running_job(make_runner(node), revision=pack, on_missing=OnMissing.ANYWAY)
    webui = ScriptedWebUI(honest())
    job = execute(claim, webui, ScriptedKeeper(webui))
    assert job.status == "COMPLETED"
    kept.refresh_from_db()
    assert kept.wanted_at is not None
    assert f"job {job.pk}" in kept.wanted_because


def noise(number: int) -> Image.Image:
    return Image.effect_noise((64, 64), 200).convert("RGB")


def only_resized(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
    """What a WebUI without the weights of the upscaler gives."""
    with Image.open(io.BytesIO(base64.b64decode(post.body["image"]))) as given:
        large = given.resize((given.width * 2, given.height * 2), Image.Resampling.LANCZOS)
    return answered({"image": encoded(large), "html_info": ""})


def test_a_result_that_was_only_resized_holds_the_other_jobs_with_that_upscaler_there() -> None:
    node = make_node()
    lists_of(node, UPSCALER=(Entry("Big", note="whether its weights are there is not told"),))
    document = (
        '{"preset_data": {"pipeline": {"upscale_enabled": true}, "txt2img": {"width": 64, "height": 64}, '
        '"upscale": {"upscaler": "Big", "upscaling_resize": 2}}}'
    )
    pack = make_pack(document=document)
    runner = make_runner(node)
    _, claim = make_running_job(runner, revision=pack, repeat=2)
    webui = ScriptedWebUI(with_pictures(noise), only_resized)
    job = execute(claim, webui, ScriptedKeeper(webui))
    assert (job.status, drift_of(job)) == ("COMPLETED", {"Upscaler"})
    assert claim_next(runner.pk, ProcessIdentity.of_self()) is None
    [lack] = NodeLack.objects.get().missing
    assert lack["why"] == f"job {job.pk} was only resized there: its weights are missing"


def test_lists_of_another_boot_decide_nothing() -> None:
    node = make_node()
    lists_of(node, SCHEDULER=(Entry("Exponential"),))
    NodeCatalog.objects.update(generation=node.generation + 7)
    _, claim = make_running_job(make_runner(node), revision=make_pack(document=DOCUMENT))
    webui = ScriptedWebUI(honest(extra_generation_params=None))
    assert drift_of(execute(claim, webui, ScriptedKeeper(webui))) == set()


# --- counted and judged again ----------------------------------------------------------------------


def test_drifted_jobs_are_found_in_the_history_and_by_command(client: Client, console: Console) -> None:
    drifted = execute(*started(honest(sampler_name="DDIM")))
    execute(*started(honest()))
    found = history(JobFilter(truth="drifted"))
    assert [line.id for line in found.lines] == [drifted.pk]
    client.force_login(make_user())
    page = markup(client.get(reverse("history"), {"truth": "drifted"}))
    assert f"Job {drifted.pk}" in page
    assert "Drifted</span>" in page
    listed = console.json("jobs", "list", "--truth", "drift")
    assert [job["id"] for job in listed["jobs"]] == [drifted.pk]


def test_page_of_a_job_shows_each_setting_with_who_says_so(client: Client) -> None:
    job = execute(*started(honest(sampler_name="DDIM")))
    client.force_login(make_user())
    page = markup(client.get(reverse("job", args=[job.pk])))
    assert "Compared with the request" in page
    assert "by the answer&#x27;s info" in page
    assert "Differs" in page


def test_recheck_keeps_what_the_answer_said_and_finds_what_became_of_the_files() -> None:
    job = execute(*started(honest()))
    before = recheck(job.pk)
    assert before is not None
    assert (before.before, before.after, before.judged) == ("verified", "verified", 2)
    assert TruthCheck.objects.count() == 4
    (output_root() / job.outputs.get(image_index=0).path).unlink()
    after = recheck(job.pk)
    assert after is not None
    assert after.after == "unproven"
    assert Job.objects.get(pk=job.pk).truth == "unproven"


def test_recheck_judges_jobs_that_were_never_judged(console: Console) -> None:
    job = execute(*started(honest()))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobs_truthcheck")
    Job.objects.update(truth="")
    assert console.run("jobs", "recheck", "--since", "2020-01-01") == 0
    assert "1 judged: 1 unproven; 1 changed." in console.out
    assert Job.objects.get(pk=job.pk).truth == "unproven"
    assert recheck(job.pk + 99) is None


def test_resumed_run_counts_the_judgements_of_the_run_before() -> None:
    document = '{"preset_data": {"pipeline": {"upscale_enabled": true}, "upscale": {"upscaler": "Lanczos"}}}'
    _, claim = make_running_job(make_runner(make_node()), revision=make_pack(document=document))

    def lost(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        raise OSError(28, "No space left on device")

    webui = ScriptedWebUI(honest(sampler_name="DDIM"), lost)
    job = execute(claim, webui, ScriptedKeeper(webui))
    assert job.status == "QUEUED"
    Runner.objects.update(storage_reason="", storage_since=None)
    again = claim_again(claim)
    webui = ScriptedWebUI()
    done = execute(again, webui, ScriptedKeeper(webui))
    assert (done.status, done.truth) == ("COMPLETED", "drifted")
