"""How often somebody may try to log in; what the login page says stands in its view and template.

Counts are kept in the cache of the web server's process: a restart forgets them, and nothing is written for a
stranger's guess. Each attempt is counted before its password is looked at, so that attempts at the same moment
cannot slip through together.
"""

from __future__ import annotations

import hashlib
import time
import unicodedata
from dataclasses import dataclass

from django.core.cache import cache

#: Seconds from the first attempt that counts to the moment when counting begins anew.
WINDOW_S = 900
#: Attempts for one name from one address. One who mistypes is told at the sixth.
MAX_PER_PAIR = 5
#: Attempts from one address for any names: a household behind one address shares them.
MAX_PER_ADDRESS = 30
#: Attempts for one name from any addresses. High, because strangers could lock a person out with it.
MAX_PER_NAME = 50


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who tries: the name as it was typed, and the address that the request came from."""

    name: str
    address: str

    def _limits(self) -> tuple[tuple[str, int], ...]:
        # One address that is refused for a name counts no further: it alone cannot use up the name's attempts.
        # The form reads other spellings of the same letters as one name, and so does this.
        name = unicodedata.normalize("NFKC", self.name.strip()).casefold()
        return (
            (_key("pair", name, self.address), MAX_PER_PAIR),
            (_key("address", self.address), MAX_PER_ADDRESS),
            (_key("name", name), MAX_PER_NAME),
        )

    def count(self, now_s: float | None = None) -> float | None:
        """Count it. None when it may go on, else the time (seconds since 1970) from which one may."""
        now_s = time.time() if now_s is None else now_s
        for key, most in self._limits():
            until_s = _until(key, now_s)
            if _add(key, until_s, 1) > most:
                return until_s
        return None

    def succeeded(self, now_s: float | None = None) -> None:
        """Take the attempt back: who knows the password used up nothing, and has a clean slate from here."""
        now_s = time.time() if now_s is None else now_s
        (pair, _), *others = self._limits()
        cache.delete_many([pair, _counter(pair, _until(pair, now_s))])
        for key, _ in others:
            _add(key, _until(key, now_s), -1)


def _key(kind: str, *parts: str) -> str:
    """Names may be long and hold anything: a key is made of their digest."""
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()
    return f"sign-in-{kind}-{digest}"


def _counter(key: str, until_s: float) -> str:
    return f"{key}-{until_s}"


def _until(key: str, now_s: float) -> float:
    """When the window ends that this attempt falls into; a new one begins when there is none."""
    found = cache.get_or_set(key, now_s + WINDOW_S, WINDOW_S)
    if not isinstance(found, float) or found <= now_s:
        found = now_s + WINDOW_S
        cache.set(key, found, WINDOW_S)
    return found


def _add(key: str, until_s: float, change: int) -> int:
    """The attempts of the window that ends at `until_s`, after the change."""
    counter = _counter(key, until_s)
    cache.add(counter, 0, WINDOW_S)
    try:
        return cache.incr(counter, change)
    except ValueError:  # forgotten between the two lines
        return change
