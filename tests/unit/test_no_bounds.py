"""No test asserts that something was quick: how fast a machine is decides nothing; `tests.benchmark` measures."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path

TESTS = Path(__file__).parents[1]
CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time", "time", "elapsed", "elapsed_s"}


def is_timed(node: ast.AST, names: set[str]) -> bool:
    """Whether a clock, or a name that holds a reading of one, is in the expression."""
    return any(
        (isinstance(part, ast.Attribute) and part.attr in CLOCKS)
        or (isinstance(part, ast.Name) and part.id in names)
        for part in ast.walk(node)
    )


def bounds(source: str) -> list[int]:
    """The lines of asserts that hold a reading of a clock below something; the deadline of a `while` may."""
    tree = ast.parse(source)
    waits = {part for loop in ast.walk(tree) if isinstance(loop, ast.While) for part in ast.walk(loop)}
    found = set()
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        names: set[str] = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and is_timed(node.value, names):
                names |= {
                    name.id
                    for target in node.targets
                    for name in ast.walk(target)
                    if isinstance(name, ast.Name)
                }
        asserts = (node for node in ast.walk(function) if isinstance(node, ast.Assert) and node not in waits)
        for compare in (
            part for one in asserts for part in ast.walk(one.test) if isinstance(part, ast.Compare)
        ):
            for operator, sides in zip(
                compare.ops, pairwise([compare.left, *compare.comparators]), strict=True
            ):
                lesser = sides[isinstance(operator, ast.Gt | ast.GtE)]
                if isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE) and is_timed(lesser, names):
                    found.add(compare.lineno)
    return sorted(found)


def test_no_test_holds_a_clock_below_a_bound() -> None:
    found = {str(path.relative_to(TESTS)): bounds(path.read_text("utf-8")) for path in TESTS.rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_a_bound_is_found_however_it_is_written() -> None:
    planted = (
        "def test():\n"
        "    began = time.monotonic()\n"
        "    act()\n"
        "    took_s = time.monotonic() - began\n"
        "    assert took_s < 5\n"
        "    assert 5 * slowness() >= perf.perf_counter() - began, 'slow'\n"
        "    assert 0 < answer.elapsed.total_seconds() <= 2\n"
        "    assert took_s >= 1\n"
        "    while not there():\n"
        "        assert time.monotonic() < began + 60\n"
    )
    assert bounds(planted) == [5, 6, 7]
