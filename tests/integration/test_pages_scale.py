"""Pages cost the same number of queries whatever the number of rows, and an unchanged poll costs one of its own."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.db.models import F

from jobs.lifecycle import JobStatus
from jobs.models import Job, QueueControl, Runner
from stablenew_site.roles import Role
from tests.benchmark.page_list import POLL, all_pages
from tests.benchmark.pages import client_of, listened, own
from tests.factories import make_node, make_pack, make_runner, running_columns
from tests.seed.plan import Sizes
from tests.seed.seeder import seed

pytestmark = pytest.mark.django_db

FEW, MANY = Sizes(queued=8, finished=14, failed=8, cancelled=1), Sizes.of(queued=75, finished=150, failed=60)
FURTHER = 12
#: A list that goes on behind its page costs a look behind it, and each cause of failures that there is one look-up.
SLACK = 5
MOST = 24
#: Finds where a time begins by halving: as many look-ups as the logarithm of the number of events.
HALVING = "events of a day"


def queries_of_all_pages(sizes: Sizes, *, further: int = 0) -> dict[str, list[str]]:
    """On a database that is as it was afterwards; `further` packs and nodes come on top."""
    with transaction.atomic():
        seed(sizes, pictures=3)
        for number in range(further):
            make_pack(f"further{number}")
            make_runner(make_node())
        run_a_job_on_every_node()
        people = {False: client_of(Role.OPERATOR), True: client_of(Role.ADMIN)}
        found = {}
        for page in all_pages():
            status, found[page.name] = listened(people[page.in_admin], page)
            assert status in (200, 204), page
        transaction.set_rollback(True)
    return found


def run_a_job_on_every_node() -> None:
    runners = list(Runner.objects.select_related("node"))
    waiting = Job.objects.filter(status=JobStatus.QUEUED).order_by("-id").values_list("pk", flat=True)
    for runner, job_id in zip(runners, list(waiting[: len(runners)]), strict=True):
        Job.objects.filter(pk=job_id).update(**running_columns(runner.node))
    QueueControl.objects.update(queued=F("queued") - len(runners), running=len(runners))


def test_the_queries_of_a_page_do_not_grow_with_the_rows() -> None:
    queries_of_all_pages(FEW)  # templates and content types are read once per process
    few, many = queries_of_all_pages(FEW), queries_of_all_pages(MANY, further=FURTHER)
    assert few.keys() == many.keys()
    more = {
        name: "\n".join([f"{len(few[name])} -> {len(many[name])}", *many[name]])
        for name in few
        if len(many[name]) > len(few[name]) + SLACK and name != HALVING
    }
    assert not more, "\n\n".join(f"{name}: {words}" for name, words in more.items())
    assert max(len(queries) for name, queries in many.items() if name != HALVING) <= MOST
    assert len(own(few[POLL])) == len(own(many[POLL])) == 1
