"""Databases of older versions come up to date with what stands in them."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from jobs.models import Job
from tests.factories import make_pack, make_runner, submit
from tests.integration.finished_jobs import complete, fail

pytestmark = pytest.mark.django_db(transaction=True)


def test_older_jobs_get_what_lists_filter_on_and_old_failures_wait_for_attention() -> None:
    runner = make_runner()
    submit(make_pack("older"), repeat=3, overrides={"txt2img.model": "dream"})
    failed = fail(runner).pk
    complete(runner)
    try:
        call_command("migrate", "jobs", "0002", verbosity=0)
    finally:
        call_command("migrate", verbosity=0)
    jobs = Job.objects.order_by("id")
    assert {(job.pack_name, job.checkpoint) for job in jobs} == {("older", "dream")}
    assert [job.pk for job in jobs if job.needs_attention] == [failed]
