"""`docs/failures.md`: what a stranger reads in each bundle, and what is understood from that alone."""

from __future__ import annotations

from collections.abc import Sequence

from tests.accounts.scenes import Told

HEAD = """# Ten failures, as their bundles tell them

Each was brought about on a real installation (worker and WebUI) by `python -m tests.accounts`, which writes this file
anew. What stands in the boxes is all that its bundle says at the top of `README.txt`, which is what the job's page
and `jobs explain` say, too. The line below says what somebody understood who knew nothing else.
"""
#: The sections of a README that tell of the failure.
LAST_SECTION = "\n\nWhere to look\n"


def written(told: Sequence[Told]) -> str:
    return HEAD + "".join(_account(number, one) for number, one in enumerate(told, 1))


def _account(number: int, told: Told) -> str:
    said, _, rest = told.readme.partition(LAST_SECTION)
    said = said.partition("\n\n")[2]
    files = [
        line.split()[0] for line in rest.partition("\n\n")[0].splitlines() if line.startswith("evidence/")
    ]
    kept = f"Evidence in the bundle: {', '.join(f'`{name}`' for name in files)}.\n\n" if files else ""
    return (
        f"\n## {number}. {told.title}\n\n"
        f"How: {told.how}.\n\n"
        f"```text\n{said.strip()}\n```\n\n"
        f"{kept}"
        f"Understood from this alone: {told.understood}\n"
    )
