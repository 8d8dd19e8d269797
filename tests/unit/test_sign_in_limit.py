"""Logging in is limited per name and address, per address, and per name; time alone opens it again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import cache

from stablenew_site.sign_in_limit import MAX_PER_ADDRESS, MAX_PER_NAME, MAX_PER_PAIR, WINDOW_S, Attempt

NOW_S = 1_000_000.0


@pytest.fixture(autouse=True)
def nobody_tried() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def test_one_name_from_one_address_gets_five_attempts() -> None:
    ada = Attempt("ada", "10.0.0.1")
    assert [ada.count(NOW_S + n) for n in range(MAX_PER_PAIR)] == [None] * MAX_PER_PAIR
    assert ada.count(NOW_S + 60) == NOW_S + WINDOW_S
    assert Attempt("ada", "10.0.0.2").count(NOW_S + 60) is None
    assert Attempt("ben", "10.0.0.1").count(NOW_S + 60) is None


def test_trying_on_does_not_prolong_the_wait_and_then_counting_begins_anew() -> None:
    ada = Attempt("ada", "10.0.0.1")
    for second in range(WINDOW_S):
        ada.count(NOW_S + second)
    assert [ada.count(NOW_S + WINDOW_S + n) for n in range(MAX_PER_PAIR)] == [None] * MAX_PER_PAIR
    assert ada.count(NOW_S + WINDOW_S + 9) == NOW_S + 2 * WINDOW_S


def test_many_names_from_one_address_are_refused() -> None:
    tries = [Attempt(f"user{n}", "10.0.0.1").count(NOW_S) for n in range(MAX_PER_ADDRESS + 1)]
    assert tries == [None] * MAX_PER_ADDRESS + [NOW_S + WINDOW_S]


def test_one_name_from_many_addresses_is_refused() -> None:
    tries = [Attempt("ada", f"10.0.0.{n}").count(NOW_S) for n in range(MAX_PER_NAME + 1)]
    assert tries == [None] * MAX_PER_NAME + [NOW_S + WINDOW_S]


def test_one_address_alone_locks_a_name_for_itself_only() -> None:
    for _ in range(10 * MAX_PER_NAME):
        Attempt("ada", "10.0.0.1").count(NOW_S)
    assert Attempt("ada", "10.0.0.2").count(NOW_S) is None


def test_other_spellings_that_the_form_reads_as_one_name_are_one_name() -> None:
    names = ["ada", "Ada", " ada", "ADA ", "\uff41da"]
    for name in names:
        assert Attempt(name, "10.0.0.1").count(NOW_S) is None
    assert Attempt("adA", "10.0.0.1").count(NOW_S) is not None


def test_success_clears_the_pair_and_uses_up_nothing() -> None:
    ada = Attempt("ada", "10.0.0.1")
    for _ in range(2 * MAX_PER_NAME):
        assert ada.count(NOW_S) is None
        ada.succeeded(NOW_S)
    tries = [Attempt(f"user{n}", "10.0.0.1").count(NOW_S) for n in range(MAX_PER_ADDRESS + 1)]
    assert tries.count(None) == MAX_PER_ADDRESS


def test_a_success_of_ones_own_does_not_clear_the_address() -> None:
    for n in range(MAX_PER_ADDRESS):
        Attempt(f"user{n}", "10.0.0.1").count(NOW_S)
        own = Attempt("mallory", "10.0.0.1")
        if own.count(NOW_S) is None:
            own.succeeded(NOW_S)
    assert Attempt("ada", "10.0.0.1").count(NOW_S) is not None


def test_attempts_at_the_same_moment_do_not_slip_through() -> None:
    with ThreadPoolExecutor(8) as pool:
        tries = list(pool.map(lambda _: Attempt("ada", "10.0.0.1").count(NOW_S), range(200)))
    assert tries.count(None) == MAX_PER_PAIR


def test_any_text_is_a_name() -> None:
    for name in ("", "a" * 10_000, "ä\0\n 名前", "\ud800"):
        assert Attempt(name, "").count(NOW_S) is None
