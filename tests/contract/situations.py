"""How a server is brought into the state in which an exchange was recorded."""

from collections.abc import Callable

import pytest
import requests

from tests.contract.simulator_process import Pending, SimulatorProcess, wait_until


def _untouched(simulator: SimulatorProcess) -> None:
    """Nothing has happened to it, and what happens now stays with it."""


def _generating(simulator: SimulatorProcess) -> None:
    simulator.in_background(steps=40, width=256, height=256, force_task_id="my-task-1")
    simulator.wait_for_step(12)


def _just_begun(simulator: SimulatorProcess) -> None:
    simulator.in_background(steps=100)
    simulator.wait_for_step(2)


def _generating_and_queued(simulator: SimulatorProcess) -> None:
    _generating(simulator)
    simulator.in_background(force_task_id="my-task-2")
    wait_until(lambda: simulator.task("my-task-2")["queued"])


def _interrupted(simulator: SimulatorProcess) -> None:
    pending = simulator.in_background(steps=100)
    simulator.wait_for_step(1)
    simulator.post("interrupt")
    pending.answer()


def _interrupting(simulator: SimulatorProcess) -> None:
    _generating(simulator)
    simulator.post("interrupt")


def _leaked(simulator: SimulatorProcess) -> None:
    assert simulator.post("img2img", init_images=["not base64!"]).status_code == 500


def _done(simulator: SimulatorProcess) -> None:
    simulator.post(force_task_id="my-task-1")


def _failed(simulator: SimulatorProcess) -> None:
    assert simulator.post(steps=0, force_task_id="fail-1").status_code == 500


def _abandoned(simulator: SimulatorProcess) -> None:
    _generating(simulator)
    with pytest.raises(requests.ReadTimeout):
        simulator.post(steps=40, force_task_id="abandoned", timeout_s=0.2)
    wait_until(lambda: simulator.task("abandoned")["active"])
    simulator.wait_for_step(4)


def _wrong_types(simulator: SimulatorProcess) -> None:
    simulator.post("options", samples_save="banana", CLIP_stop_at_last_layers="two")


def _interrupted_idle(simulator: SimulatorProcess) -> None:
    simulator.post("interrupt")
    simulator.post("skip")


def _interrupt_soon(simulator: SimulatorProcess) -> None:
    _control_at_step(simulator, "interrupt")


def _skip_soon(simulator: SimulatorProcess) -> None:
    _control_at_step(simulator, "skip")


def _control_at_step(simulator: SimulatorProcess, verb: str) -> None:
    """In the background: wait for the generation that is sent next, and stop it."""

    def control() -> requests.Response:
        simulator.wait_for_step(3)
        return simulator.post(verb)

    Pending(control)


Situation = Callable[[SimulatorProcess], None]

SITUATIONS: dict[str, Situation] = {
    "progress-mid": _generating,
    "progress-mid-skip-current-image": _generating,
    "progress-after-client-disconnect": _generating,
    "progress-queued": _generating_and_queued,
    "progress-after-errors": _failed,
    "progress-after-idle-interrupt": _interrupted_idle,
    "progress-after-interrupt-idle": _interrupted,
    "progress-after-interrupt": _interrupting,
    "interrupt-mid": _generating,
    "skip-mid": _generating,
    "refresh-checkpoints-while-generating": _generating,
    "options-post-while-generating": _generating,
    "server-stop-mid-generation": _generating,
    "internal-progress-mid": _generating,
    "internal-progress-queued": _generating_and_queued,
    "internal-progress-done": _done,
    "internal-progress-failed-task": _failed,
    "internal-progress-abandoned-queued": _abandoned,
    "internal-pending-tasks-mid": _leaked,
    "internal-pending-tasks-after-errors": _leaked,
    "internal-pending-tasks-queued": _generating_and_queued,
    "options-after-wrong-type": _wrong_types,
    "txt2img-after-wrong-type-option": _wrong_types,
    "txt2img-interrupted": _interrupt_soon,
    "txt2img-interrupted-n_iter-3": _interrupt_soon,
    "txt2img-skipped-n_iter-3": _skip_soon,
    "internal-pending-tasks-idle": _untouched,
    "server-stop": _untouched,
    "options-post-wrong-type": _untouched,
    "options-post-checkpoint": _untouched,
    "txt2img-override-checkpoint-norestore": _untouched,
}
"""By the name of the recording; these need a simulator of their own, with slow steps."""

FORGE_SITUATIONS = SITUATIONS | {
    "progress-mid": _just_begun,  # too early for a preview
    "sd-models": _done,  # hashes show once a checkpoint was loaded, which is left to the first job
}
