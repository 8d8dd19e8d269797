"""Films and edits in the fault campaign: what the checker says of their results and cards, and a short campaign."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.drawn_films import SIZE, film
from tests.fault.campaign.campaign import run
from tests.fault.campaign.checker import judge
from tests.fault.campaign.lineups import LINEUPS, MIXED
from tests.fault.campaign.plan import deck
from tests.fault.campaign.report import lines_of
from tests.fault.made_up import Campaign, at
from tests.sketches import sketch
from webui.simulator.films.fault_kinds import JOB_FAULTS
from webui.simulator.films.start_faults import START_FAULTS

SERVER = os.environ.get("DATABASE_URL", "")
FRAMES, FPS = 9, 16
CARD = "gpu-0"
Change = Callable[["FilmCampaign"], None]


def jpeg(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    sketch(size, 1).save(buffer, "JPEG")
    return buffer.getvalue()


class FilmCampaign(Campaign):
    """Job 1 makes a film, job 2 an edit that fails; both nodes share a card, and one input picture is kept."""

    def __init__(self, root: Path) -> None:
        results = root / "outputs"
        results.mkdir()
        super().__init__(results)
        nodes = [{"id": 1, "name": "webui", "card": CARD}, {"id": 2, "name": "edits", "card": CARD}]
        self.tables["nodes"] = nodes
        parameters = {"width": SIZE[0], "height": SIZE[1], "num_frames": FRAMES, "fps": FPS}
        chain = [{"stage": "txt2img", "enabled": True, "parameters": parameters}]
        self.tables["records"].append({"id": 2, "canonical_json": json.dumps({"stage_chain": chain})})
        self.row("jobs", id=1).update(kind="i2v", record_id=2)
        self.row("outputs", id=1).update(path="1/1.mp4", poster_path="1/1-poster.jpg")
        self.row("history", job_id=1)["output_paths"] = ["1/1.mp4"]
        (self.root / "1/1.png").unlink()
        (self.root / "1/1-poster.jpg").write_bytes(jpeg(SIZE))
        self.put_film(film())
        for post in [line for line in self.journal if line["event"] == "post"]:
            at_s = (post["time"] - self.journal[0]["time"]).total_seconds()
            self.line(at_s, "begin", n=post["n"], task_id=post["task_id"])
        self.input_root = root / "inputs"
        content = jpeg((32, 32))
        sha256 = hashlib.sha256(content).hexdigest()
        (self.input_root / sha256[:2]).mkdir(parents=True)
        self.input_path = self.input_root / sha256[:2] / sha256
        self.input_path.write_bytes(content)
        self.tables["inputs"] = [{"id": 1, "sha256": sha256, "from_output_id": None}]

    def put_film(self, content: bytes, **row: Any) -> None:
        """These bytes are the accepted result of job 1."""
        (self.root / "1/1.mp4").write_bytes(content)
        facts = {"width_px": SIZE[0], "height_px": SIZE[1], "frames": FRAMES, "fps": float(FPS)}
        sha256 = hashlib.sha256(content).hexdigest()
        self.row("outputs", id=1).update(facts | {"sha256": sha256} | row)


@pytest.fixture
def campaign(tmp_path: Path) -> FilmCampaign:
    return FilmCampaign(tmp_path)


def test_films_of_a_campaign_that_kept_every_promise_are_found_without_fault(campaign: FilmCampaign) -> None:
    assert judge(campaign.evidence()) == []


def other_frames(campaign: FilmCampaign) -> None:
    campaign.put_film(film(frames=13))


def frames_as_told_but_not_as_asked(campaign: FilmCampaign) -> None:
    campaign.put_film(film(frames=13), frames=13)


def torn(campaign: FilmCampaign) -> None:
    content = film()
    campaign.put_film(content[: len(content) // 3])


def no_poster(campaign: FilmCampaign) -> None:
    (campaign.root / "1/1-poster.jpg").unlink()


def poster_of_another_size(campaign: FilmCampaign) -> None:
    (campaign.root / "1/1-poster.jpg").write_bytes(jpeg((32, 32)))


def edit_instead(campaign: FilmCampaign) -> None:
    """The result of an edit, of another size than asked."""
    campaign.row("jobs", id=1)["kind"] = "edit"
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "PNG")
    campaign.put_film(buffer.getvalue(), width_px=32, height_px=32, frames=None, fps=None)


def input_gone(campaign: FilmCampaign) -> None:
    campaign.input_path.unlink()


def input_changed(campaign: FilmCampaign) -> None:
    campaign.input_path.write_bytes(b"another")


def input_draft(campaign: FilmCampaign) -> None:
    campaign.input_path.with_name(".draft.1.2").write_bytes(b"half")


def result_draft(campaign: FilmCampaign) -> None:
    (campaign.root / "1/.1.mp4.5.6").write_bytes(b"half")


def temporary(campaign: FilmCampaign) -> None:
    campaign.temporary.append("pymp-1")


def neighbour(outcome: str, *, until_s: float | None) -> Change:
    """The other node of the card works at a job while job 1 runs (10.1 to 10.8 s)."""

    def change(campaign: FilmCampaign) -> None:
        own, campaign.journal = campaign.journal, []
        campaign.line(0, "start", pid=88, port=7861)
        campaign.line(9.0, "begin", pid=88, n=1, task_id="stablenew-3-0-0-00000001")
        campaign.line(9.5, "answer", pid=88, n=1, path="/jobs", status=200, outcome=outcome)
        if until_s is not None:
            campaign.line(until_s, "request", pid=88, path="/health", status=200)
        campaign.other_journals["edits"], campaign.journal = campaign.journal, own

    return change


BROKEN: dict[str, tuple[Change, str]] = {
    "other frames": (other_frames, "its row says"),
    "not as asked": (frames_as_told_but_not_as_asked, "its record says"),
    "torn": (torn, "Job 1: 1/1.mp4 does not decode"),
    "no poster": (no_poster, "Job 1: 1/1.mp4 has no poster"),
    "another poster": (poster_of_another_size, "its poster is 32 x 32"),
    "edit of another size": (edit_instead, "its record says"),
    "input gone": (input_gone, "has a row and no file"),
    "input changed": (input_changed, "has been changed"),
    "input without a row": (input_draft, "which has no row"),
    "draft": (result_draft, "A draft was left among the results: 1/.1.mp4.5.6"),
    "temporary file": (temporary, "A temporary file was left: pymp-1"),
    "hangs on the card": (
        neighbour("hung", until_s=10.5),
        "Card gpu-0 had jobs 3 (job 1 of edits's worker) and 1",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_each_broken_promise_of_films_is_said(campaign: FilmCampaign, broken: str) -> None:
    change, sentence = BROKEN[broken]
    change(campaign)
    told = judge(campaign.evidence())
    assert any(sentence in one for one in told), told


@pytest.mark.parametrize(("outcome", "until_s"), [("answered", 10.5), ("hung", 9.9)])
def test_a_card_is_free_when_its_worker_has_answered_or_is_gone(
    campaign: FilmCampaign, outcome: str, until_s: float
) -> None:
    neighbour(outcome, until_s=until_s)(campaign)
    assert judge(campaign.evidence()) == []


def test_one_node_may_be_used_by_a_neighbour_of_another_card(campaign: FilmCampaign) -> None:
    neighbour("hung", until_s=10.5)(campaign)
    campaign.row("nodes", id=2)["card"] = "gpu-1"
    assert judge(campaign.evidence()) == []


def test_what_a_worker_refused_was_not_executed(campaign: FilmCampaign) -> None:
    for second in (21.2, 21.6, 21.9):
        campaign.post("stablenew-2-0-0-00000001", at_s=second, until_s=second + 0.1, status=409)
        campaign.journal[-1]["outcome"] = "refused"
    assert judge(campaign.evidence()) == []


@pytest.mark.parametrize("own_name", [True, False])
def test_another_execution_belongs_to_an_attempt(campaign: FilmCampaign, own_name: bool) -> None:
    """A retry has an id of its own, or the driver has marked it."""
    (retried,) = (line for line in campaign.journal if line["event"] == "post" and line["n"] == 3)
    attempt = campaign.row("attempts", task_id=retried["task_id"])
    retried["task_id"] += ".2"
    attempt["task_id"] += ".2" * own_name
    assert judge(campaign.evidence()) == []


def went_on(campaign: FilmCampaign) -> None:
    """The process that ran job 1 was lost, and the next one asked for the same request."""
    first = campaign.row("attempts", job_id=1)
    campaign.tables["attempts"].append(first | {"id": 901, "started_at": at(10.95), "ended_at": at(10.99)})
    first["outcome"] = "lost"
    campaign.row("outputs", id=1)["attempt_id"] = 901


def test_a_request_that_outlived_our_process_is_no_failure(campaign: FilmCampaign) -> None:
    went_on(campaign)
    assert judge(campaign.evidence()) == []


def test_a_request_that_was_lost_and_sent_anew_is_one(campaign: FilmCampaign) -> None:
    went_on(campaign)
    campaign.row("attempts", id=901)["task_id"] = "stablenew-1-0-0-00000009"
    assert "Job 1 is COMPLETED after 1 failures, but 0 was charged." in judge(campaign.evidence())


# --- what strikes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", [work for work, lineup in LINEUPS.items() if not lineup.makes_pictures])
def test_every_fault_of_workers_is_drawn_equally_often(work: str) -> None:
    possible = LINEUPS[work].possible
    counts = Counter(card.kind.name for card in deck(3 * len(possible), seed=1, possible=possible))
    assert counts == {kind.name: 3 for kind in possible}


def test_every_rule_is_one_of_the_simulated_worker_and_every_fault_of_it_strikes() -> None:
    known = {**JOB_FAULTS, **START_FAULTS}
    rules = [
        rule
        for kind in LINEUPS[MIXED].possible
        for variant in kind.variants
        for rule in variant.split(";")
        if "@" in rule
    ]
    struck = {rule.partition("@")[0].partition("=")[0] for rule in rules} | {"no-boot"}
    # Without a phase they strike after the first step, as with that of denoise.
    assert struck <= known.keys()
    assert known.keys() - struck == {"oom", "die", "hang"}


@pytest.mark.parametrize("work", LINEUPS)
def test_a_fault_strikes_nodes_that_can_have_it(work: str) -> None:
    lineup = LINEUPS[work]
    for kind in lineup.possible:
        assert lineup.targets(kind), kind.name
        assert all(kind.only in ("", lineup.member(name).kind) for name in lineup.targets(kind))


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_six_faults_on_films_and_edits_of_one_card_break_no_promise(tmp_path: Path) -> None:
    only = ("die", "hang", "truncated", "kill-worker-busy", "webui-killed-mid-job", "cancel-running")
    document = run(
        tmp_path,
        faults=6,
        seed=6,
        work=MIXED,
        pictures=16,
        only=only,
        server=SERVER if SERVER.startswith("postgres") else "",
    )
    assert not document["violations"], "\n".join(lines_of(document))
    assert document["faults"] >= 5, document["missed"]
    assert document["jobs"]["completed"] >= 10
