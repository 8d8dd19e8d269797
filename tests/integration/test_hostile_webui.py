"""Whatever a hostile server answers, to any question of ours: an error that explains itself, and never one of ours."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from jobs.models import Job
from jobs.running.run import Run
from tests.factories import make_node, make_pack, make_runner, make_running_job
from tests.hostile_server import hostile_server
from tests.integration.scripted_webui import ScriptedKeeper, ScriptedWebUI
from webui.drivers.a1111.driver import DRIVER
from webui.errors import WebUIError
from webui.work.timeouts import Timeouts

BRIEF = Timeouts(connect_s=5, progress_s=5, small_s=5, queued_s=5, generation_s=5)
STAGES = (
    '{"preset_data": {"txt2img": {"steps": 2, "width": 64, "height": 64, "model": "tinyA"}, '
    '"pipeline": {"images_per_prompt": 1, "upscale_enabled": true}, '
    '"upscale": {"enabled": true, "upscaler": "Lanczos", "upscaling_resize": 2}}}'
)


@pytest.mark.parametrize("seed", range(60))
def test_every_question_ends_in_an_answer_or_an_error_of_the_tree(seed: int) -> None:
    with hostile_server(random.Random(seed)) as (url, said):
        server = DRIVER.connect(url, timeouts=BRIEF)
        questions: tuple[Callable[[], object], ...] = (
            server.ask,
            server.progress,
            server.catalog,
            lambda: server.loaded_checkpoint(even_if_busy=False),
            lambda: server.is_running("job-1", alone=True),
            lambda: server.end_leftover("job-1", alone=True),
            server.interrupt,
            lambda: server.memory().words(),
            server.restart,
            server.inspect,
        )
        never_raise = (server.ask, server.restart, server.inspect)
        for question in questions:
            try:
                question()
            except WebUIError as error:
                raised = error
            else:
                continue
            assert question not in never_raise, said
            assert str(raised)
            assert "\0" not in str(raised)
        with suppress(WebUIError, ValueError):
            server.preview()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(60))
def test_a_job_at_a_hostile_server_ends_in_words(
    seed: int, settings: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    settings.STABLENEW_QUIET_S = 0  # type: ignore[attr-defined]
    keeps = () if seed % 2 else ("/sdapi/v1/progress", "/internal/progress")
    with hostile_server(random.Random(seed), *keeps) as (url, said):
        job, claim = make_running_job(
            make_runner(make_node(base_url=url)), revision=make_pack(document=STAGES)
        )
        Run(claim, restart=ScriptedKeeper(ScriptedWebUI()), sleep=lambda seconds: None).execute()
    job = Job.objects.get(pk=job.pk)
    assert job.status in ("FAILED", "COMPLETED"), said
    assert job.error_code != "INTERNAL_ERROR", (job.error, said)
    if job.status == "FAILED":
        assert job.error_code.startswith("WEBUI_"), (job.error, said)
        assert job.error is not None
        assert job.error["remediation"]
    assert "Traceback" not in caplog.text
