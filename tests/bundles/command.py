"""Makes bundles one after the other, searches each, and says what was found where."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from django.core.management import call_command

from tests.bundles.planting import Garden
from tests.bundles.searching import Found, search


def run(words: Sequence[str]) -> int:
    """Exit code 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.bundles", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of the first; the next have the next ones")
    given = parser.parse_args(words)
    call_command("migrate", verbosity=0)
    began = time.monotonic()
    found: list[Found] = []
    secrets = size_bytes = 0
    garden = Garden()
    for seed in range(given.seed, given.seed + given.count):
        planted = garden.plant(seed)
        content = garden.bundle(planted)
        found += search(content, planted.secrets, seed=seed)
        secrets += len(planted.secrets)
        size_bytes += len(content)
    for one in found[:50]:
        print(one)
    took_s = time.monotonic() - began
    print(
        f"{given.count:,} bundles ({size_bytes / given.count / 1024:.0f} KB each) with {secrets:,} secrets planted, "
        f"each searched in six forms: {len(found)} found. {took_s:.0f} s."
    )
    return 1 if found else 0
