"""The switchboard of a WebUI's faults: which of its kinds strike which requests and starts."""

from __future__ import annotations

from pathlib import Path

from webui.simulator import boot_faults, faults
from webui.simulator.arrival import Arrival
from webui.simulator.boot_faults import SimulatedBoot
from webui.simulator.fault_rules import Rule, parse_rule
from webui.simulator.journal import Journal
from webui.simulator.rule_book import RuleBook


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
        self.journal = journal
        self.book = RuleBook(rules, path, parse, journal)

    def set_for(self, arrival: Arrival, *, is_extras: bool) -> None:
        """Give a request the faults that are to strike it."""

        def fits(rule: Rule) -> bool:
            kind = faults.KINDS.get(rule.kind)
            if kind is None or (is_extras and not kind.strikes_extras):
                return False
            return rule.fits(arrival.number, arrival.prompt)

        arrival.dues = self.book.due(fits)

    def strike(self, boot: SimulatedBoot) -> None:
        """Let the faults act that are due at this start."""
        number = self.journal.boot
        for due in self.book.due(lambda rule: rule.kind in boot_faults.KINDS and rule.fits(number)):
            rule = due.rule
            kind = boot_faults.KINDS[rule.kind]
            if self.journal.strike(rule.kind, rule.text, None, at_most=due.at_most):
                kind.act(boot, rule.seconds if rule.seconds is not None else kind.seconds or 0.0)
