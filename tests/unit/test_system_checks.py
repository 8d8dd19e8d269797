"""Wrong settings are found at start-up, each with an id and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as current
from django.contrib import admin
from django.core.checks import CheckMessage, run_checks

from jobs.checks import ENGINE, check_breaker, check_deadlines, check_engine, check_truth
from stablenew_site.checks import check_database, check_production


def ids(messages: list[CheckMessage]) -> list[str | None]:
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


def test_our_own_settings_pass() -> None:
    assert check_engine(None) == []
    assert check_deadlines(None) == []
    assert check_breaker(None) == []
    assert check_truth(None) == []
    assert check_database(None) == []


def test_django_finds_nothing_wrong_with_the_admin_which_only_the_pages_load() -> None:
    admin.autodiscover()
    assert run_checks(tags=["admin"]) == []


@pytest.mark.parametrize("name", ENGINE)
def test_every_engine_setting_is_compared(settings: Any, name: str) -> None:
    settings.Q_CLUSTER = {k: v for k, v in current.Q_CLUSTER.items() if k != name}
    assert ids(check_engine(None)) == [ENGINE[name][0]]


@pytest.mark.parametrize("poll", [0, 5, None])
def test_a_poll_that_delays_jobs_is_found(settings: Any, poll: object) -> None:
    settings.Q_CLUSTER = {**current.Q_CLUSTER, "poll": poll}
    assert ids(check_engine(None)) == ["jobs.E011"]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"STABLENEW_STAGE_DEADLINE_S": 3600}, "jobs.E013"),
        ({"STABLENEW_JOB_DEADLINE_S": 5400}, "jobs.E013"),
        ({"STABLENEW_HANG_STEP_S": 7200}, "jobs.E013"),
        ({"STABLENEW_HANG_PHASE_S": 7200}, "jobs.E013"),
        ({"STABLENEW_LEASE_S": 9}, "jobs.E015"),
        ({"STABLENEW_MAX_RECORDS": 0}, "jobs.E016"),
    ],
    ids=str,
)
def test_a_backstop_below_what_it_backs_is_found(
    settings: Any, changed: dict[str, float], found: str
) -> None:
    for name, value in changed.items():
        setattr(settings, name, value)
    assert ids(check_deadlines(None)) == [found]


@pytest.mark.parametrize(
    ("changed", "found"), [({"timeout": 1.5}, "jobs.E012"), ({"retry": 5401}, "jobs.E014")], ids=str
)
def test_the_engines_own_times_are_judged(settings: Any, changed: dict[str, float], found: str) -> None:
    settings.Q_CLUSTER = {**current.Q_CLUSTER, **changed}
    assert ids(check_deadlines(None)) == [found]


SQLITE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "OPTIONS": {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA journal_size_limit=67108864;",
    },
}
POSTGRES = {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {}}


@pytest.mark.parametrize(
    ("base", "changed", "found"),
    [
        (SQLITE, {}, []),
        (POSTGRES, {}, []),
        ({"ENGINE": "django.db.backends.mysql"}, {}, ["site.E001"]),
        (SQLITE | {"ATOMIC_REQUESTS": True}, {}, ["site.E002"]),
        (POSTGRES, {"pool": True}, ["site.E003"]),
        (SQLITE, {"transaction_mode": "DEFERRED"}, ["site.E004"]),
        (SQLITE, {"init_command": "PRAGMA journal_mode=DELETE;"}, ["site.E005"]),
        (SQLITE, {"timeout": 5}, ["site.E006"]),
    ],
)
def test_the_database_is_opened_as_the_queue_needs_it(
    monkeypatch: pytest.MonkeyPatch, base: dict[str, Any], changed: dict[str, Any], found: list[str]
) -> None:
    database = base | {"OPTIONS": base.get("OPTIONS", {}) | changed}
    monkeypatch.setattr("stablenew_site.checks.settings.DATABASES", {"default": database})
    assert ids(check_database(None)) == found


def test_production_wants_named_hosts_and_a_long_secret(settings: Any) -> None:
    settings.ALLOWED_HOSTS, settings.SECRET_KEY = ["*"], "short"
    assert ids(check_production(None)) == ["site.W001", "site.W002"]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"STABLENEW_BREAKER_FAILURES": 0}, "jobs.E021"),
        ({"STABLENEW_BREAKER_PAUSE_S": 0}, "jobs.E022"),
        ({"STABLENEW_BREAKER_PAUSE_S": 3601}, "jobs.E022"),
    ],
    ids=str,
)
def test_a_breaker_that_cannot_work_is_found(settings: Any, changed: dict[str, float], found: str) -> None:
    for name, value in changed.items():
        setattr(settings, name, value)
    assert ids(check_breaker(None)) == [found]


def test_unknown_policy_for_pictures_that_are_not_as_asked_is_found(settings: Any) -> None:
    settings.STABLENEW_TRUTH = "ignore"
    assert ids(check_truth(None)) == ["jobs.E023"]
