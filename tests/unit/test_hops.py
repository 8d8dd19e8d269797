"""What `tests.hops` counts, on a small product of two files."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.hops import Trace, compared

FILES = {
    "jobs/hopper.py": """
import threading
import hopped

def alone():
    return own()

def own():
    return 1

def through_a_library():
    return sorted([2, 1], key=hopped.key)

def again():
    for n in range(3):
        hopped.key(n)

def back():
    return hopped.call(own)

def in_a_thread():
    thread = threading.Thread(target=hopped.key, args=(1,))
    thread.start()
    thread.join()
""",
    "webui/hopped.py": """
import threading
import time

def key(number):
    return -number

def call(what):
    return what()

def look():
    began = time.monotonic()
    done = threading.Event()
    threading.Thread(target=lambda: (time.sleep(0.05), done.set())).start()
    return done.wait(0.001), time.monotonic() - began
""",
}


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The first of its files; which app a file belongs to is known by its folder alone."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(path.parent)
    yield importlib.import_module("hopper")
    for name in ("hopper", "hopped"):
        del sys.modules[name]


def hops(tmp_path: Path, product: ModuleType, function: str) -> list[str]:
    trace = Trace(tmp_path)
    with trace.listening():
        getattr(product, function)()
    return [f"{caller} -> {callee}" for caller, callee, *_ in trace.hops[1:]]


def test_calls_within_a_file_are_no_hops(tmp_path: Path, product: ModuleType) -> None:
    assert hops(tmp_path, product, "alone") == []


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("through_a_library", ["jobs/hopper.py:through_a_library -> webui/hopped.py:key"] * 2),
        ("again", ["jobs/hopper.py:again -> webui/hopped.py:key"] * 3),
        (
            "back",
            ["jobs/hopper.py:back -> webui/hopped.py:call", "webui/hopped.py:call -> jobs/hopper.py:own"],
        ),
        ("in_a_thread", ["jobs/hopper.py:in_a_thread -> webui/hopped.py:key"]),
    ],
)
def test_a_hop_is_a_call_from_the_nearest_product_frame_into_another_file(
    tmp_path: Path, product: ModuleType, function: str, expected: list[str]
) -> None:
    assert hops(tmp_path, product, function) == expected


def test_who_looks_again_and_again_waits_and_no_time_passes(tmp_path: Path, product: ModuleType) -> None:
    with Trace(tmp_path).listening():
        came, took_s = product.hopped.look()
    assert came
    assert took_s == 0


def test_pairs_are_compared_one_by_one() -> None:
    """Whatever happens to both of a pair, as in the third, does not count."""
    told = compared([11.0, 13.0, 31.0], [10.0, 11.0, 30.0])
    assert told == {
        "pairs": 3,
        "here_ms": 13.0,
        "there_ms": 11.0,
        "ratio": pytest.approx(13 / 11),
        "more_median_ms": 1.0,
        "more_mean_ms": pytest.approx(4 / 3),
        "error_of_mean_ms": pytest.approx(1 / 3),
    }
