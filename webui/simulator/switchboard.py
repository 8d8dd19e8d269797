"""The switchboard of faults: the command line's rules and a file's, which may change while the server runs.

Whoever edits the file steers the next request and the next start. Replace it as a whole; a file that is not
there has no rules. Empty lines and those that begin with # say nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from webui.simulator import boot_faults, faults
from webui.simulator.arrival import Arrival
from webui.simulator.boot_faults import SimulatedBoot
from webui.simulator.fault_rules import Due, Rule, parse_rule
from webui.simulator.journal import Journal
from webui.simulator.log import complain


def parse(text: str) -> Rule:
    """Raises ValueError with a sentence."""
    rule = parse_rule(text, [*faults.KINDS, *boot_faults.KINDS])
    kind = faults.KINDS.get(rule.kind) or boot_faults.KINDS[rule.kind]
    if rule.seconds is not None and kind.seconds is None:
        raise ValueError(
            f"the fault {rule.kind} takes no seconds; write {text.replace('=', ' ').split()[0]}@N"
        )
    if rule.word is not None and rule.kind in boot_faults.KINDS:
        raise ValueError(f"the fault {rule.kind} strikes starts, which have no words; write {rule.kind}@N")
    return rule


class Switchboard:
    def __init__(self, rules: tuple[Rule, ...], path: Path | None, journal: Journal) -> None:
        self.rules = rules
        self.path = path
        self.journal = journal
        self._complained: set[str] = set()

    def set_for(self, arrival: Arrival, *, is_extras: bool) -> None:
        """Give a request the faults that are to strike it."""

        def fits(rule: Rule) -> bool:
            kind = faults.KINDS.get(rule.kind)
            if kind is None or (is_extras and not kind.strikes_extras):
                return False
            return rule.fits(arrival.number, arrival.prompt)

        arrival.dues = self._due(fits)

    def strike(self, boot: SimulatedBoot) -> None:
        """Let the faults act that are due at this start."""
        number = self.journal.boot
        for due in self._due(lambda rule: rule.kind in boot_faults.KINDS and rule.fits(number)):
            rule = due.rule
            kind = boot_faults.KINDS[rule.kind]
            if self.journal.strike(rule.kind, rule.text, None, at_most=due.at_most):
                kind.act(boot, rule.seconds if rule.seconds is not None else kind.seconds or 0.0)

    def _due(self, fits: Callable[[Rule], bool]) -> tuple[Due, ...]:
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
            if not has_once and self.journal.times_struck(rule.text) < copies[rule.text]:
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
                yield parse(line)
            except ValueError as error:
                self._complain(f"skipped a line of {self.path}: {error}")

    def _complain(self, sentence: str) -> None:
        """Once for each mistake, not at every request."""
        if sentence not in self._complained:
            self._complained.add(sentence)
            complain(sentence)
