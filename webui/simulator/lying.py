"""Answers drawn from another request than the one that was asked: what was used, and what is told of it.

A lie changes the request, or what the server has, and the pictures are drawn from that. Which texts go with them is
the second half of the lie. The lies themselves are in `lies`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from webui.simulator.generation import Inputs, Product, Studio, generate, settled_seeds
from webui.simulator.sampling import Sampler
from webui.simulator.state import State

Change = Callable[[Inputs, Studio], tuple[Inputs, Studio]]
"""From what was asked and what the server has to what it truly uses; the arguments stay as they are."""


class Tells(Enum):
    """What the answer says."""

    USED = "what was used"
    ASKED = "what was asked for"
    ASKED_IN_INFO = "what was asked for; the picture's own text says what was used"


@dataclass(frozen=True)
class Lie:
    change: Change
    meaning: str
    tells: Tells = Tells.USED
    strikes_extras: bool = False


def changed(lies: Sequence[Lie], inputs: Inputs, studio: Studio) -> tuple[Inputs, Studio]:
    """What is used under all of these lies."""
    for lie in lies:
        inputs, studio = lie.change(inputs, studio)
    return inputs, studio


def drawn(lies: Sequence[Lie], inputs: Inputs, studio: Studio, sampler: Sampler) -> Product:
    """The pictures of what is used, with the texts that the lies give them. Raises as `generate` does."""
    if not lies:
        return generate(inputs, studio, sampler)
    inputs = settled_seeds(inputs)
    product = generate(*changed(lies, inputs, studio), sampler)
    tells = {lie.tells for lie in lies}
    if tells == {Tells.USED}:
        return product
    state = State(job_timestamp=studio.state.job_timestamp)
    told = generate(inputs, replace(studio, state=state), Sampler(state, 0.0, lambda: None))
    if Tells.ASKED in tells:
        texts = [text for _, text in told.pictures]
        pictures = [(picture, text) for (picture, _), text in zip(product.pictures, texts, strict=False)]
        product = replace(product, pictures=pictures)
    return replace(product, info=told.info)
