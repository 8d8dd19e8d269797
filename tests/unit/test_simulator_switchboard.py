"""The simulator's switchboard and journal by themselves: rules, the file of rules, what is counted and struck."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from webui.simulator import boot_faults, faults
from webui.simulator.answers import EscapedError, InvalidFieldsError
from webui.simulator.arrival import Arrival
from webui.simulator.boot_faults import SimulatedBoot
from webui.simulator.faults import Point
from webui.simulator.journal import Journal
from webui.simulator.switchboard import Switchboard, parse


def arrival(board: Switchboard, number: int = 1, *, is_extras: bool = False, **fields: Any) -> Arrival:
    """A request that has come in, with its faults."""
    came = Arrival(number, "/sdapi/v1/txt2img", fields, board.journal, seconds_per_step=0.25)
    board.set_for(came, is_extras=is_extras)
    return came


def board(*rules: str, path: Path | None = None, journal: Path | None = None) -> Switchboard:
    return Switchboard(tuple(map(parse, rules)), path, Journal(journal))


def struck_kinds(switchboard: Switchboard, number: int = 1, **fields: Any) -> list[str]:
    """The kinds due at a request, without letting them act."""
    return [due.rule.kind for due in arrival(switchboard, number, **fields).dues]


def lines_of(path: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


# --- rules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fitting", "others"),
    [
        ("500@3", [3], [1, 2, 4]),
        ("500@*", [1, 99], []),
        ("503@2,3", [2, 3], [1, 4, 23]),
        ("503@2-6", [2, 6], [1, 7]),
        ("no-boot@2-", [2, 1000], [1]),
        ("die@1,4-5,9-", [1, 4, 5, 9, 10], [2, 3, 6, 8]),
        ("once drop@2", [2], [1]),
        ("once:first slow=0.5@*", [1], []),
    ],
)
def test_rule_names_numbers_ranges_or_all(text: str, fitting: list[int], others: list[int]) -> None:
    rule = parse(text)
    assert [rule.fits(number) for number in fitting] == [True] * len(fitting)
    assert [rule.fits(number) for number in others] == [False] * len(others)


def test_rule_with_a_word_strikes_prompts_that_contain_it() -> None:
    rule = parse("500~a@b~c, d")
    assert rule.fits(5, "x a@b~c, d!")
    assert not rule.fits(5, "a@b")
    assert not rule.fits(5, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *((text, "is not a fault") for text in ("", "500", "500@", "500@x", "@1", "500~", "once", "500 @1")),
        *(
            (text, "no number from 1 and no range")
            for text in ("500@0", "500@3-2", "500@1,,2", "500@-2", "500@1*")
        ),
        ("nope@1", "there is no fault 'nope'; there are 500, "),
        ("500=2@1", "the fault 500 takes no seconds"),
        ("slow=-1@1", "is not a fault"),
        ("no-boot~cat", "strikes starts, which have no words"),
    ],
)
def test_text_that_is_no_rule_is_refused_with_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"fault") as refused:
        parse(text)
    assert words in str(refused.value)


def test_every_kind_says_what_it_does() -> None:
    kinds = {name: kind.meaning for name, kind in faults.KINDS.items()}
    kinds |= {name: kind.meaning for name, kind in boot_faults.KINDS.items()}
    assert all(kinds.values())
    assert not set(faults.KINDS) & set(boot_faults.KINDS)


# --- striking -----------------------------------------------------------------------------------------


def test_fault_acts_at_its_own_point_only() -> None:
    came = arrival(board("422@1", "500@1"))
    faults.strike(Point.LOAD, came)
    faults.strike(Point.ANSWER, came)
    with pytest.raises(InvalidFieldsError):
        faults.strike(Point.ARRIVAL, came)
    with pytest.raises(EscapedError, match="fault 500"):
        faults.strike(Point.FIRST_STEP, came)


def test_seconds_are_those_of_the_rule_or_of_the_kind() -> None:
    for rule, seconds in (("slow=0.5@1", 0.5), ("slow=0@1", 0.0), ("slow@1", 1.0), ("slow@2", 0.25)):
        came = arrival(board(rule))
        faults.strike(Point.ARRIVAL, came)
        assert came.seconds_per_step == seconds


def test_kinds_that_mean_nothing_to_extras_spare_them() -> None:
    switchboard = board("interrupted@*", "wrong-checkpoint@*", "fewer-images@*", "drop@*")
    assert [due.rule.kind for due in arrival(switchboard, is_extras=True).dues] == ["drop"]
    assert len(arrival(switchboard).dues) == 4


def test_start_is_struck_by_its_own_number_and_kinds(tmp_path: Path) -> None:
    ups = []
    for _ in range(4):
        switchboard = board("no-boot@2-3", "slow-boot=9@3", "500@*", journal=tmp_path / "journal")
        switchboard.journal.start(7860)
        boot = SimulatedBoot(switchboard.journal, seconds=0.5)
        switchboard.strike(boot)
        ups.append((boot.comes_up, boot.seconds))
    assert ups == [(True, 0.5), (False, 0.5), (False, 9.0), (True, 0.5)]
    told = [(line["boot"], line["kind"], line["n"]) for line in lines_of(tmp_path / "journal", "fault")]
    assert told == [(2, "no-boot", None), (3, "no-boot", None), (3, "slow-boot", None)]


# --- the file -----------------------------------------------------------------------------------------


def test_file_is_read_anew_for_every_request(tmp_path: Path) -> None:
    path = tmp_path / "faults"
    switchboard = board("422@*", path=path)
    assert struck_kinds(switchboard) == ["422"]
    path.write_text("# nothing yet\n\n  503@*  \n")
    assert struck_kinds(switchboard) == ["422", "503"]
    path.write_text("drop~cat\n")
    assert struck_kinds(switchboard, prompt="a cat") == ["422", "drop"]
    path.unlink()
    assert struck_kinds(switchboard) == ["422"]


def test_line_that_is_no_rule_is_told_once_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "faults"
    path.write_text("fire@1\n503@1\n")
    switchboard = board(path=path)
    assert [struck_kinds(switchboard) for _ in range(2)] == [["503"], ["503"]]
    assert capsys.readouterr().err.count("there is no fault 'fire'") == 1


def test_file_that_cannot_be_read_is_told_and_has_no_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "faults"
    path.write_bytes(b"503@1 \xff\n")
    assert struck_kinds(board(path=path)) == []
    assert struck_kinds(board(path=tmp_path)) == []
    assert capsys.readouterr().err.count("cannot read the faults") == 2


# --- once ---------------------------------------------------------------------------------------------


def acted(switchboard: Switchboard, number: int) -> bool:
    came = arrival(switchboard, number)
    faults.strike(Point.ARRIVAL, came)
    return came.fault is not None


def test_once_strikes_once_in_the_life_of_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    first = board("once slow@*", journal=journal)
    assert [acted(first, number) for number in (1, 2)] == [True, False]
    assert not acted(board("once slow@*", journal=journal), 3), "nor after a restart"
    assert acted(board("once:again slow@*", journal=journal), 4), "another label is another rule"
    assert [line["rule"] for line in lines_of(journal, "fault")] == ["once slow@*", "once:again slow@*"]
    assert [line["once"] for line in lines_of(journal, "fault")] == [True, True]


def test_the_same_line_twice_strikes_twice(tmp_path: Path) -> None:
    path = tmp_path / "faults"
    path.write_text("once slow@*\nonce slow@*\n")
    switchboard = board(path=path, journal=tmp_path / "journal")
    assert [acted(switchboard, number) for number in range(1, 5)] == [True, True, False, False]


def test_request_takes_one_rule_with_once_and_every_other(tmp_path: Path) -> None:
    switchboard = board("once 503@*", "once drop@*", "slow@*", "500@*")
    assert struck_kinds(switchboard) == ["503", "slow", "500"]


def test_rule_with_once_is_not_used_up_before_it_acts(tmp_path: Path) -> None:
    switchboard = board("once slow@*", journal=tmp_path / "journal")
    waiting = arrival(switchboard, 1)
    assert acted(switchboard, 2)
    faults.strike(Point.ARRIVAL, waiting)
    assert waiting.fault is None, "another request was struck meanwhile"


# --- the journal --------------------------------------------------------------------------------------


def test_numbers_go_on_where_the_journal_ends(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    assert [Journal(path).post("/a", b"", None, None) for _ in range(3)] == [1, 2, 3]
    assert [Journal(path).start(7860) for _ in range(3)] == [1, 2, 3]
    assert Journal(None).post("/a", b"", None, None) == 1


def test_two_processes_may_write_to_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    left, right = Journal(path), Journal(path)
    assert [left.start(1), right.start(2)] == [1, 2]
    assert [journal.post("/a", b"", None, None) for journal in (left, right, right, left)] == [1, 2, 3, 4]
    assert [line["boot"] for line in lines_of(path, "post")] == [1, 2, 2, 1]
    assert [journal.strike("drop", "once drop@*", 1, at_most=1) for journal in (left, right)] == [True, False]


def test_line_after_a_torn_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"event": "post", "n": 1}\n{"event": "post", "n"')
    assert Journal(path).post("/a", b"", None, None) == 2
    assert json.loads(path.read_bytes().splitlines()[-1])["n"] == 2


def test_journal_tells_nothing_of_a_prompt_but_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path).post("/a", b'{"prompt": "a cat"}', "a cat", "job-1")
    assert "cat" not in path.read_text()
    [post] = lines_of(path, "post")
    assert (post["task_id"], post["pid"]) == ("job-1", os.getpid())
