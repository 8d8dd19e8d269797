"""Faults that the simulator commits by rule: wrong answers, no answers, deaths, and starts that fail."""

from __future__ import annotations

from tests.fault.campaign.engine import kill
from tests.fault.campaign.plan import Card
from tests.fault.campaign.scene import STRIKE_S, Scene

#: Further strikes of the same rule follow each other by the policy's waits.
REPEAT_S = 8.0


def by_rule(scene: Scene, node: str, card: Card) -> str | None:
    rules = card.variant.split(";")
    scene.arm(node, card, rules)
    if not scene.wait(lambda: scene.struck(node, card), STRIKE_S):
        scene.arm(node, card, [])
        return None
    if len(rules) > 1:
        scene.wait(lambda: scene.struck(node, card) == len(rules), REPEAT_S)
        scene.arm(node, card, [])
    return f"{scene.struck(node, card)} x {rules[0]}"


def no_boot(scene: Scene, node: str, card: Card) -> str | None:
    times = int(card.variant)
    scene.arm(node, card, ["no-boot@*"] * times)
    if not kill([scene.processes.webui(node)]):
        scene.arm(node, card, [])
        return None
    if not scene.wait(lambda: scene.struck(node, card)):
        return None
    return f"the WebUI ended and could not start {times} times"


def at_start(scene: Scene, node: str, card: Card) -> str | None:
    """The worker ends, and the next start of it meets the rule."""
    scene.arm(node, card, [card.variant])
    if not kill([scene.processes.webui(node)]) or not scene.wait(lambda: scene.struck(node, card), STRIKE_S):
        scene.arm(node, card, [])
        return None
    return f"the worker ended, and its next start met {card.variant}"


def poison(scene: Scene, node: str, card: Card) -> str | None:
    return f"poisoned prompt in job {scene.workload.poison()}"
