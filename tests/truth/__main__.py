"""The command line: lies told to the check of results, or honest results judged by it.

Ends with 1 where a lie was missed or an honest result gave an alarm.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.truth import honest, telling
from tests.truth.installation import DIALECTS
from tests.truth.lies import LIES


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.truth", description=__doc__)
    parser.add_argument(
        "--honest", type=int, metavar="N", help="judge N varied honest answers, over all dialects"
    )
    parser.add_argument("--lies", action="store_true", help="tell each lie once, and print the table")
    parser.add_argument("--dialect", choices=DIALECTS, action="append", help="only this one; repeatable")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="S", help="the same seed asks for the same (1)"
    )
    given = parser.parse_args(arguments)
    if not given.lies and not given.honest:
        parser.error("say --lies or --honest N")
    dialects = given.dialect or list(DIALECTS)
    with tempfile.TemporaryDirectory(prefix="truth-") as folder:
        fine = True
        if given.lies:
            fine = _tell(dialects, Path(folder)) and fine
        if given.honest:
            fine = _judge(dialects, given.honest, given.seed, Path(folder)) and fine
    return 0 if fine else 1


def _tell(dialects: list[str], folder: Path) -> bool:
    told = [one for dialect in dialects for one in telling.tell(dialect, LIES, folder / f"lies-{dialect}")]
    print("\n".join(telling.table(told)))
    print(telling.summary(told))
    return all(one.is_as_expected for one in told)


def _judge(dialects: list[str], count: int, seed: int, folder: Path) -> bool:
    shares = [count // len(dialects) + (place < count % len(dialects)) for place in range(len(dialects))]
    with ThreadPoolExecutor(len(dialects)) as pool:
        runs = [
            pool.submit(honest.run, dialect, share, seed, folder / dialect, print)
            for dialect, share in zip(dialects, shares, strict=True)
        ]
        tallies = [run.result() for run in runs]
    for tally in tallies:
        print("\n".join(tally.lines()))
    pictures = sum(tally.pictures for tally in tallies)
    alarms = sum(len(tally.false_alarms) for tally in tallies)
    print(f"{pictures} honest pictures judged, {alarms} false alarms")
    return alarms == 0


if __name__ == "__main__":
    sys.exit(main())
