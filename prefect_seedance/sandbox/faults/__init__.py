"""Faults of the sandbox, scripted by rules."""

from collections.abc import Sequence

from prefect_seedance.sandbox.faults.fault import Call, Fault
from prefect_seedance.sandbox.faults.plan import PlanError, load_plan, read_plan
from prefect_seedance.sandbox.faults.rules import Rule, Subject

__all__ = ["Call", "Fault", "Faults", "PlanError", "Rule", "Subject", "load_plan", "read_plan"]

_NO_FAULT = Fault()


class Faults:
    """The active rules; the first one that triggers decides."""

    def __init__(self, rules: Sequence[Rule] = (), *, seed: int) -> None:
        self.rules = rules
        self._seed = seed

    def draw(self, subject: Subject) -> Fault:
        """Return the fault for a subject; by default, one that changes nothing."""
        for number, rule in enumerate(self.rules):
            if rule.triggers(subject, seed=f"{self._seed} {number}"):
                return rule.fault
        return _NO_FAULT

    def report(self) -> dict[str, object]:
        """Return the rules, and how often each has triggered."""
        return {"rules": [rule.report() for rule in self.rules]}

    def restart(self) -> None:
        """Restart the counters of all rules."""
        for rule in self.rules:
            rule.restart()
