"""The names of one list, for many look-ups: exact, whatever the case, and by likeness; built once per list."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from heapq import nsmallest
from typing import Final

from webui.work.catalog import Entry

COMPARED: Final = 6
"""So many names with the most triples of characters in common are compared in earnest."""
MOST_COMPARED: Final = 60
WITHIN_S: Final = 10.0
"""So many searches by likeness within so long: a list that lacks more than that is quite another list."""
LEAST_LIKENESS: Final = 0.5
LONGEST_COMPARED: Final = 80


class NameIndex:
    """Names of entries: where two have the same name, the later one holds it, as in the servers' own tables."""

    def __init__(
        self, names: Iterable[tuple[str, Entry]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.exact = dict(names)
        self._clock = clock
        self._since = clock()
        self._folded: dict[str, str] | None = None
        self._triples: dict[str, list[int]] | None = None
        self._compared = 0
        self._shown: list[tuple[str, str, int]] = []

    def whatever_the_case(self, name: str) -> Entry | None:
        """By its words alone: neither case nor the number of spaces between them matters."""
        if self._folded is None:
            self._folded = {folded(known): known for known in self.exact}
        known = self._folded.get(folded(name))
        return None if known is None else self.exact[known]

    def nearest(self, name: str) -> str:
        """The name of the entry that is most alike, "" where none is: below a millisecond for 2,000 names.

        "" also after `MOST_COMPARED` searches in a short time.
        """
        same = self.whatever_the_case(name)
        if same is not None:
            return same.name
        now = self._clock()
        if now - self._since > WITHIN_S:
            self._since, self._compared = now, 0
        if self._compared >= MOST_COMPARED:
            return ""
        asked = folded(name)[:LONGEST_COMPARED]
        self._compared += 1
        places, shown = self._triples_of_all(), self._shown
        own, common = _triples(asked), Counter[int]()
        for triple in own:
            common.update(places.get(triple, ()))
        if not common:
            return ""
        # As many in common as there are in both: a long name has many in common with everything.
        likely = nsmallest(COMPARED, common, key=lambda at: -common[at] / (len(own) + shown[at][2]))
        matcher = SequenceMatcher(None, autojunk=False)
        matcher.set_seq2(asked)
        best, best_name = LEAST_LIKENESS, ""
        for at in likely:
            matcher.set_seq1(shown[at][0])
            likeness = matcher.ratio()
            if likeness > best:
                best, best_name = likeness, shown[at][1]
        return best_name

    def _triples_of_all(self) -> dict[str, list[int]]:
        if self._triples is None:
            # Not under its final name before it is whole: other threads may look at the same time.
            triples: dict[str, list[int]] = {}
            shown = []
            for at, (known, entry) in enumerate(self.exact.items()):
                text = folded(known)[:LONGEST_COMPARED]
                own = _triples(text)
                shown.append((text, entry.name, len(own)))
                for triple in own:
                    triples.setdefault(triple, []).append(at)
            self._shown, self._triples = shown, triples
        return self._triples


def folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _triples(text: str) -> set[str]:
    """Of its characters, with one space at each end."""
    spaced = f" {text} "
    return {spaced[at : at + 3] for at in range(len(spaced) - 2)}
