"""This checkout and another one, measured in turns, so that both meet the same machine at the same time of day."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from rich.progress import Progress

from jobs.cli import CommandAnswer, CommandRefused

#: Names of measured numbers end so; others are what was asked for.
MEASURED = ("_ms", "_s", "seconds", "queries", "ratio")
ASKED_FOR = ("budget_ms", "settle_s")
#: Where a checkout has its benchmark, the newest place first, and what starts it there.
PROGRAMS = {
    "tests/benchmark/__main__.py": ("-m", "tests.benchmark"),
    "stablenew_site/management/commands/benchmark.py": ("manage.py", "benchmark"),
}

Numbers = dict[str, list[float]]


def compare(
    other: Path,
    groups: Sequence[Sequence[str]],
    words: Mapping[str, str],
    rounds: int,
    cache: Path | None,
    bar: Progress,
) -> CommandAnswer:
    """Each group of parts `rounds` times in either checkout; medians, and this one's by the other's.

    `words` are the options of both, by name; in `cache` each has a seeded database of its own.
    """
    sides = {
        "this": [sys.executable, *PROGRAMS["tests/benchmark/__main__.py"]],
        "other": _program(other),
    }
    folders = {"this": settings.BASE_DIR, "other": other}
    found: dict[str, Numbers] = {side: defaultdict(list) for side in sides}
    known = _parts_of(sides["other"], other)
    left_out = [part for group in groups for part in group if part not in known]
    groups = [kept for group in groups if (kept := [part for part in group if part in known])]
    task = bar.add_task("measuring", total=rounds * len(groups) * len(sides))
    for number in range(rounds):
        for group in groups:
            # Who comes first changes, so that nobody always finds the disk warm.
            for side in sorted(sides, reverse=bool(number % 2)):
                options = _options(sides[side], group, words, cache and cache / side)
                document = json.loads(_output([*sides[side], *options], folders[side]))
                for name, value in _numbers(document):
                    found[side][name].append(value)
                bar.advance(task)
    answer = _answer(other, rounds, found)
    return answer.line(f"Not measured there: {', '.join(left_out)}.") if left_out else answer


def _program(checkout: Path) -> list[str]:
    python = checkout / ".venv" / "bin" / "python"
    if not python.exists():
        raise CommandRefused.saying(
            f"{checkout} has no .venv/bin/python. Run `sh .ci/setup` there.", "against"
        )
    for place, words in PROGRAMS.items():
        if (checkout / place).exists():
            # Not resolved: a link leads out of the environment.
            return [os.path.abspath(python), *words]
    raise CommandRefused.saying(
        f"{checkout} has no benchmark. Name another checkout of StableNew.", "against"
    )


def _parts_of(program: Sequence[str], checkout: Path) -> list[str]:
    """What it can measure; an older one has fewer parts."""
    said = _output([*program, "--help"], checkout)
    choices = re.search(r"--only \{([^}]*)\}", said)
    return choices[1].replace("\n", "").replace(" ", "").split(",") if choices else []


def _options(
    program: Sequence[str], parts: Sequence[str], words: Mapping[str, str], cache: Path | None
) -> Iterator[str]:
    yield "--json"
    for part in parts:
        yield f"--only={part}"
    for name, value in words.items():
        # The older command calls so what `--rounds` does not mean any more.
        yield f"--{'rounds' if name == 'requests' and 'manage.py' in program else name}={value}"
    if cache is not None:
        yield f"--cache={os.path.abspath(cache)}"


def _output(command: Sequence[str], folder: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise CommandRefused.saying(f"The benchmark in {folder} failed; see the lines above.", "against")
    return done.stdout


def _numbers(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """Everything measured, by part and name; of pages and acts by theirs."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{before}{name} ")
        elif isinstance(value, list):
            for item in value:
                yield from _numbers(item, f"{before}{item.get('page') or item.get('act')} ")
        elif isinstance(value, int | float) and name.endswith(MEASURED) and name not in ASKED_FOR:
            yield f"{before}{name}", value


def _answer(other: Path, rounds: int, found: Mapping[str, Numbers]) -> CommandAnswer:
    rows = []
    for name in dict.fromkeys([*found["this"], *found["other"]]):
        this, that = (statistics.median(found[side][name]) if name in found[side] else None for side in found)
        ratio = this / that if this is not None and that else None
        rows.append({"name": name, "this": this, "other": that, "ratio": ratio})
    answer = CommandAnswer({"against": str(other), "rounds": rounds, "numbers": rows})
    answer.table(
        f"Medians of {rounds} rounds, here and in {other}",
        ("what", "here", "there", "ratio"),
        (
            (
                row["name"],
                *("" if row[key] is None else f"{row[key]:.4g}" for key in ("this", "other", "ratio")),
            )
            for row in rows
        ),
    )
    return answer
