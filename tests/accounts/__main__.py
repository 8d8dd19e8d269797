"""`python -m tests.accounts`: runs them on installations of its own and writes `docs/failures.md` anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.accounts.document import written
from tests.accounts.scenes import all_told
from tests.e2e.stack import ROOT

DOCUMENT = ROOT / "docs" / "failures.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.accounts", description=__doc__)
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="default: docs/failures.md")
    given = parser.parse_args()
    given.output.write_text(written(all_told()), encoding="utf-8")
    print(f"{given.output} is written.")


if __name__ == "__main__":
    main()
