"""The switchboard of a worker's faults: which of its kinds strike which jobs and starts."""

from __future__ import annotations

from pathlib import Path

from webui.simulator.fault_rules import Due, Rule, parse_rule
from webui.simulator.films.asked import AskedJob
from webui.simulator.films.fault_kinds import job_faults_of
from webui.simulator.films.start_faults import START_FAULTS, SimulatedWorkerBoot
from webui.simulator.journal import Journal
from webui.simulator.rule_book import RuleBook


def parse(kind: str, text: str) -> Rule:
    """Of a worker of this kind. Raises ValueError with a sentence."""
    job_faults = job_faults_of(kind)
    rule = parse_rule(text, [*job_faults, *START_FAULTS])
    fault = job_faults.get(rule.kind) or START_FAULTS[rule.kind]
    if rule.seconds is not None and fault.seconds is None:
        raise ValueError(
            f"the fault {rule.kind} takes no seconds; write {text.replace('=', ' ').split()[0]}@N"
        )
    if rule.word is not None and rule.kind in START_FAULTS:
        raise ValueError(f"the fault {rule.kind} strikes starts, which have no words; write {rule.kind}@N")
    return rule


class WorkerSwitchboard:
    def __init__(self, kind: str, rules: tuple[Rule, ...], path: Path | None, journal: Journal) -> None:
        self._job_faults = job_faults_of(kind)
        self._journal = journal
        self._book = RuleBook(rules, path, lambda text: parse(kind, text), journal)

    def dues_of(self, number: int, asked: AskedJob) -> tuple[Due, ...]:
        """The faults that are to strike a job."""
        return self._book.due(lambda rule: rule.kind in self._job_faults and rule.fits(number, asked.prompt))

    def strike(self, boot: SimulatedWorkerBoot) -> None:
        """Let the faults act that are due at this start."""
        number = self._journal.boot
        for due in self._book.due(lambda rule: rule.kind in START_FAULTS and rule.fits(number)):
            rule, fault = due.rule, START_FAULTS[due.rule.kind]
            if self._journal.strike(rule.kind, rule.text, None, at_most=due.at_most):
                fault.act(boot, rule.seconds if rule.seconds is not None else fault.seconds or 0.0)
