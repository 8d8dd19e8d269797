"""Each lie told once to the check, in each dialect: was it caught, and which field named it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.truth.outcomes import FieldVerdict
from tests.truth.installation import Installation
from tests.truth.judging import Judge, Verdict
from tests.truth.lies import PLAIN, Expected, Lie

BASE_SEED = 31


@dataclass(frozen=True)
class Told:
    """One lie on one server."""

    lie: Lie
    dialect: str
    verdict: Verdict

    @property
    def expected(self) -> Expected:
        return self.lie.expected_on(self.dialect)

    @property
    def named_by(self) -> list[str]:
        """The fields that drifted and are those of this lie."""
        return [name for name in self.verdict.fields(FieldVerdict.DRIFT) if name in self.lie.fields]

    @property
    def outcome(self) -> str:
        """drift, refused, not told or verified: of the fields of the lie."""
        if self.verdict.refused:
            return "refused"
        for outcome in (FieldVerdict.DRIFT, FieldVerdict.NOT_TOLD):
            if set(self.verdict.fields(outcome)) & set(self.lie.fields):
                return str(outcome)
        return "drift elsewhere" if self.verdict.is_caught else str(FieldVerdict.VERIFIED)

    @property
    def is_as_expected(self) -> bool:
        """At least what the lie's row promises."""
        enough = {
            Expected.DRIFT: {"drift"},
            Expected.REFUSED: {"refused", "drift"},
            Expected.NOT_TOLD: {"drift", "refused", "not told"},
        }
        return self.expected is Expected.NOBODY or self.outcome in enough[self.expected]


def tell(dialect: str, lies: Sequence[Lie], folder: Path) -> list[Told]:
    """One after the other; before each an honest picture, so that there is something to begin with and to repeat."""
    told = []
    with Installation(dialect, folder) as installation:
        for lie in lies:
            if dialect not in lie.dialects:
                continue
            judge = Judge(installation, installation.catalog())
            base = judge.ask(replace(PLAIN(b""), seed=BASE_SEED, prompt="an earlier picture", task_id="base"))
            if base.is_caught or not base.pictures:
                raise AssertionError(f"an honest picture was not accepted: {base.refused or base.sentences}")
            installation.lie(lie.rule)
            verdict = judge.ask(lie.order(base.pictures[0]))
            installation.lie("")
            told.append(Told(lie, dialect, verdict))
    return told


def table(told: Sequence[Told]) -> list[str]:
    """Markdown: a row for each lie, with what each dialect's answer came to."""
    dialects = list(dict.fromkeys(one.dialect for one in told))
    lines = [
        "| lie | what the server does | who can know | field | " + " | ".join(dialects) + " |",
        "| --- | --- | --- | --- |" + " --- |" * len(dialects),
    ]
    for lie in dict.fromkeys(one.lie.name for one in told):
        of_lie = {one.dialect: one for one in told if one.lie.name == lie}
        row = next(iter(of_lie.values())).lie
        cells = [_cell(of_lie.get(dialect)) for dialect in dialects]
        fields = ", ".join(row.fields)
        lines.append(f"| {row.name} | {row.does} | {row.witness} | {fields} | {' | '.join(cells)} |")
    return lines


def _cell(one: Told | None) -> str:
    if one is None:
        return "-"
    missed = "" if one.is_as_expected else f" (**missed**: {one.expected} expected)"
    nobody = " (nobody can tell)" if one.expected is Expected.NOBODY else ""
    return f"{one.outcome}{nobody}{missed}"


def summary(told: Sequence[Told]) -> str:
    caught = sum(one.outcome in ("drift", "refused") for one in told)
    not_told = sum(one.outcome == "not told" for one in told)
    nobody = sum(one.expected is Expected.NOBODY and one.outcome not in ("drift", "refused") for one in told)
    missed = [f"{one.lie.name} on {one.dialect}: {one.outcome}" for one in told if not one.is_as_expected]
    words = f"{len(told)} lies told: {caught} caught, {not_told} not told, {nobody} that nobody can tell"
    return "\n".join([f"{words}, {len(missed)} missed", *(f"  MISSED {one}" for one in missed)])
