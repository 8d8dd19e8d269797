"""A node that must be quiet: one look after the other, until the request whose answer was lost is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from jobs.models import Runner
from jobs.supervising import leftover_request
from jobs.supervising.leftover_request import settle
from tests.factories import make_node, make_runner
from webui.models import Node, Wish
from webui.work.told import Progress

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Server:
    """A request that failed stays "active" in a WebUI until the next one begins."""

    idle: bool

    def end_leftover(self, task_id: str, *, alone: bool) -> bool:
        return False

    def progress(self) -> Progress:
        return Progress(idle=self.idle)


def must_be_quiet(*, since_s: float, **node: Any) -> Runner:
    since = timezone.now() - timedelta(seconds=since_s)
    return make_runner(
        make_node(**node), must_quiet=True, quiet_since=since, suspect_task_id="stablenew-1-0-0-00000001"
    )


def is_quiet(runner: Runner) -> bool:
    settle(runner)
    return not Runner.objects.get(pk=runner.pk).must_quiet


def test_a_driver_that_is_not_here_any_more_stops_no_supervisor() -> None:
    runner = must_be_quiet(since_s=1, driver="forgotten")
    assert not is_quiet(runner)


@pytest.mark.parametrize(
    ("managed", "idle", "since_s", "quiet"),
    [
        (False, True, 3_600, True),
        (False, False, 3_600, False),
        (False, True, 1, False),
        (True, True, 3_600, False),
    ],
)
def test_an_attached_webui_is_waited_for_until_it_is_idle(
    monkeypatch: pytest.MonkeyPatch, managed: bool, idle: bool, since_s: float, quiet: bool
) -> None:
    monkeypatch.setattr(leftover_request, "connect", lambda node: Server(idle))
    runner = must_be_quiet(since_s=since_s, start_command=["webui"] if managed else [])
    assert is_quiet(runner) is quiet
    assert (Node.objects.get(pk=runner.node_id).wish == Wish.RESTART) is (managed and not quiet)
