"""What reading a pack tells its author without refusing it. Refusals are `RecordProblem`s of a build."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.errors import RecordProblem
from jobs.records.stage_config import FrozenValue


class PackWarning(FrozenValue):
    """`line` counts from 1 in the text, None for a warning about the JSON; `row` counts from 1."""

    code: str
    message: str
    line: int | None = None
    row: int | None = None
    field: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line is not None else self.message


@dataclass(slots=True)
class Report:
    """What reading found so far. `pack` names the pack in every problem."""

    pack: str
    warnings: list[PackWarning] = field(default_factory=list)
    problems: list[RecordProblem] = field(default_factory=list)

    def warn(self, code: str, words: str, setting: str = "") -> None:
        self.warnings.append(PackWarning(code=code, message=words, field=setting))

    def refuse(self, code: str, words: str, setting: str = "", row: int | None = None) -> None:
        where = f"Pack {self.pack}" if row is None else f"Pack {self.pack}, row {row}"
        self.problems.append(
            RecordProblem(code=code, message=f"{where}: {words}", pack=self.pack, row=row, field=setting)
        )
