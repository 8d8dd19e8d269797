"""The rules of a switchboard: the command line's and a file's, which may change while the server runs.

Whoever edits the file steers the next request and the next start. Replace it as a whole; a file that is not
there has no rules. Empty lines and those that begin with # say nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from webui.simulator.fault_rules import Due, Rule
from webui.simulator.journal import Journal
from webui.simulator.log import complain


class RuleBook:
    def __init__(
        self, rules: tuple[Rule, ...], path: Path | None, parse: Callable[[str], Rule], journal: Journal
    ) -> None:
        """`parse` reads a line of the file; it raises ValueError with a sentence."""
        self.rules = rules
        self.path = path
        self._parse = parse
        self._journal = journal
        self._complained: set[str] = set()

    def due(self, fits: Callable[[Rule], bool]) -> tuple[Due, ...]:
        """Every rule that fits; of those with `once` the first that has not acted yet, and no more."""
        copies: Counter[str] = Counter()
        dues: list[Due] = []
        has_once = False
        for rule in [*self.rules, *self._rules_in_file()]:
            if not fits(rule):
                continue
            if not rule.once:
                dues.append(Due(rule))
                continue
            copies[rule.text] += 1
            if not has_once and self._journal.times_struck(rule.text) < copies[rule.text]:
                dues.append(Due(rule, copies[rule.text]))
                has_once = True
        return tuple(dues)

    def _rules_in_file(self) -> Iterator[Rule]:
        if self.path is None:
            return
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            self._complain(f"cannot read the faults in {self.path}: {error}")
            return
        for line in map(str.strip, lines):
            if not line or line.startswith("#"):
                continue
            try:
                yield self._parse(line)
            except ValueError as error:
                self._complain(f"skipped a line of {self.path}: {error}")

    def _complain(self, sentence: str) -> None:
        """Once for each mistake, not at every request."""
        if sentence not in self._complained:
            self._complained.add(sentence)
            complain(sentence)
