"""One submission reads each pack once and plans it once, however it is asked for."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from jobs.building.builder import BuildOptions, build
from jobs.building.plan import plan_build
from jobs.models import Job, PackRevision
from jobs.packs.document import parse_document
from jobs.packs.grammar import parse_text
from jobs.packs.pack import parse_pack
from jobs.reading.pack_rows import read_small
from jobs.submitting.submission import source_of, submit_jobs
from tests.factories import make_pack, make_user
from tests.integration.console import Console

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = """{"pack_data": {"matrix": {"enabled": true, "slots": [{"name": "x", "values": ["a", "b"]}]},
"sweeps": {"txt2img.steps": [4, 8]}}}"""
TEXT = "a [[x]]\n\nb\n"
JOBS = 6


@contextmanager
def calls() -> Iterator[Counter[str]]:
    """How often the parsers and the planner are called in this thread, whoever imported them under what name."""
    watched: dict[CodeType, str] = {
        function.__code__: function.__name__
        for function in (parse_pack, parse_text, parse_document, plan_build)
    }
    counted: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and (name := watched.get(frame.f_code)) is not None:
            counted[name] += 1

    before: Callable[..., Any] | None = sys.getprofile()
    sys.setprofile(note)
    try:
        yield counted
    finally:
        sys.setprofile(before)


def once_for(packs: int) -> dict[str, int]:
    """One read of its text, one of its JSON and one plan for each pack."""
    return dict.fromkeys(("parse_pack", "parse_text", "parse_document", "plan_build"), packs)


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


def stored(count: int) -> list[PackRevision]:
    return [make_pack(text=TEXT, document=DOCUMENT) for _ in range(count)]


@pytest.mark.parametrize("flags", [("--dry-run",), ()], ids=["dry run", "submit"])
@pytest.mark.parametrize("packs", [1, 3])
def test_command_reads_and_plans_each_pack_once(console: Console, packs: int, flags: tuple[str, ...]) -> None:
    names = [revision.pack.name for revision in stored(packs)]
    with calls() as counted:
        assert console.json("submit_pack", *names, *flags)["jobs"] == packs * JOBS
    assert counted == once_for(packs)
    assert Job.objects.count() == (0 if flags else packs * JOBS)


def test_packs_that_are_files_are_imported_from_the_same_read(console: Console, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.txt").write_text(TEXT)
        (tmp_path / f"{name}.json").write_text(DOCUMENT)
    with calls() as counted:
        assert console.json("submit_pack", tmp_path, "--limit", 14)["jobs"] == 14
    assert counted == once_for(3)


def test_order_that_is_refused_is_not_planned_again(console: Console) -> None:
    names = [revision.pack.name for revision in stored(3)]
    with calls() as counted:
        assert console.run("submit_pack", *names, "--repeat", 2_000) == 1
    assert counted == once_for(3)


@pytest.mark.parametrize("packs", [1, 3])
def test_preview_and_submit_of_the_pages_each_read_and_plan_once(operator: Client, packs: int) -> None:
    data = {"revision": [str(revision.pk) for revision in stored(packs)], "seed": "4", "key": "k"}
    with calls() as previewed:
        shown = operator.post(reverse("pack-dry-run"), data, headers={"HX-Request": "true"})
    with calls() as submitted:
        assert operator.post(reverse("pack-submit"), data).status_code == 302
    assert f"Submit {packs * JOBS} jobs".encode() in shown.content
    assert previewed == submitted == once_for(packs)
    assert Job.objects.count() == packs * JOBS


def test_page_of_a_pack_reads_it_once(operator: Client) -> None:
    [revision] = stored(1)
    read_small.cache_clear()
    with calls() as counted:
        assert operator.get(reverse("pack", args=[revision.pack_id])).status_code == 200
        assert operator.get(reverse("pack-order"), {"pack": revision.pack_id}).status_code == 200
    assert counted == once_for(1)


def test_records_of_another_hand_are_proved_by_one_build_for_each_pack() -> None:
    revisions = stored(2)
    options = BuildOptions(build_seed=7)
    records = [r for revision in revisions for r in build(source_of(revision), options).records]
    with calls() as counted:
        assert len(submit_jobs(records, options=options).job_ids) == 2 * JOBS
    assert counted == once_for(2)
