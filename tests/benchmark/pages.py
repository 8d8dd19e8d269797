"""How long every page takes on the server, at the size of a seeded database: time, and number of queries.

Measured is what happens between the parsed request and the finished answer: middleware, session, permission, view,
queries, template. The HTTP server and the network are not in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.utils import timezone

from jobs.lifecycle import EventType, JobStatus
from jobs.models import Job, QueueControl, Runner
from jobs.queue.claims import Claim, claim_next
from jobs.queue.identity import ProcessIdentity
from jobs.queue.moves import move_job
from jobs.supervising.gc_tuning import calm_collector
from stablenew_site.roles import Role
from tests.benchmark.measures import percentile
from tests.benchmark.page_list import Page, all_pages
from tests.seed.scene import PREFIX
from webui.models import Node, NodeState, Wish


def pages(requests: int) -> dict[str, Any]:
    """Ask for every page `requests` times; per page p50, p95 and longest in ms, and the queries of one answer.

    `own_queries` leaves out those that say who is asking. Two jobs run meanwhile, as on a busy day.
    """
    calm_collector()  # as `serve` does
    people = {False: client_of(Role.OPERATOR), True: client_of(Role.ADMIN)}
    with _running_jobs():
        found = [_measure(people[page.in_admin], page, requests) for page in all_pages()]
    return {
        "requests": requests,
        "jobs": Job.objects.count(),
        "queued": QueueControl.objects.get().queued,
        "pages": found,
    }


def _measure(client: Client, page: Page, requests: int) -> dict[str, Any]:
    queries: list[str] = []
    for number, address in enumerate(page.addresses[:requests]):
        # Each once beforehand: rows that nobody has asked for since the machine started come from the disk.
        status, queries = listened(client, page, number)
        if status not in (200, 204):
            raise RuntimeError(f"{page.name}: {address} answered {status}")
    times_ms, cpu_ms = [], []
    for number in range(requests):
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        answer = page.ask(client, number)
        if answer.streaming:
            b"".join(answer.streaming_content)
        times_ms.append((time.perf_counter() - began_s) * 1000)
        cpu_ms.append((time.process_time() - began_cpu_s) * 1000)
        answer.close()
    return {
        "page": page.name,
        "p50_ms": percentile(times_ms, 0.5),
        "p95_ms": percentile(times_ms, 0.95),
        "max_ms": max(times_ms),
        "cpu_p50_ms": percentile(cpu_ms, 0.5),
        "cpu_p95_ms": percentile(cpu_ms, 0.95),
        "budget_ms": page.budget_ms,
        "queries": len(queries),
        "own_queries": len(own(queries)),
    }


def listened(client: Client, page: Page, number: int = 0) -> tuple[int, list[str]]:
    """Status and queries of one answer."""
    queries: list[str] = []

    def note(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        queries.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        status: int = page.ask(client, number).status_code
    return status, queries


def own(queries: list[str]) -> list[str]:
    """Without those that say who is asking."""
    return [sql for sql in queries if "django_session" not in sql and "auth_" not in sql]


def client_of(role: Role) -> Client:
    """Logged in; an admin sees Django's admin too."""
    user, _ = User.objects.get_or_create(
        username=f"benchmark-{role}",
        defaults={"is_staff": role is Role.ADMIN, "is_superuser": role is Role.ADMIN},
    )
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    return client


@contextmanager
def _running_jobs() -> Iterator[None]:
    """Two nodes with living workers, each with a job under way; afterwards the jobs are cancelled."""
    owner = ProcessIdentity.of_self()
    claims: list[Claim] = []
    nodes = Node.objects.filter(name__startswith=PREFIX)
    runners = Runner.objects.filter(node__name__startswith=PREFIX)
    nodes.update(state=NodeState.READY, wish="")
    for runner in runners.order_by("node__name")[:2]:
        claim = claim_next(runner.pk, owner)
        if claim is None:
            raise RuntimeError("nothing could be claimed")
        claims.append(claim)
        told = {
            "job_id": claim.job_id,
            "stage": "txt2img",
            "stage_index": 0,
            "stage_total": 1,
            "image_index": None,
            "step": 12,
            "steps": 30,
            "progress": 0.4,
            "elapsed_s": 4.0,
            "eta_s": 6.0,
        }
        # Beyond the end of the measurement, so that time alone changes nothing.
        alive_at = timezone.now() + timedelta(hours=1)
        Runner.objects.filter(pk=runner.pk).update(heartbeat_at=alive_at, progress=told)
    try:
        yield
    finally:
        for claim in claims:
            move_job(claim.job_id, JobStatus.CANCELLED, event=EventType.CANCELLED, run_token=claim.run_token)
        runners.update(heartbeat_at=None, progress=None)
        nodes.update(state=NodeState.STOPPED, wish=Wish.STOP)
