"""A simulator that tells its log everything, and what of it reaches the evidence of a failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.simulator_process import SimulatorProcess
from webui.drivers.a1111 import schemas
from webui.drivers.a1111.client import Answer, WebUIClient
from webui.errors import WebUIError
from webui.models import Node, NodeState
from webui.nodes.adding import add_node
from webui.recovery.recovery import (
    Evidence,
    RecoveryEnding,
    RecoveryOutcome,
    Sending,
    generate_images_with_recovery,
)

pytestmark = pytest.mark.django_db

MARKER = "Zwiebelturm"
EARLIER = "Leuchtturm"


def full_request(marker: str) -> schemas.Txt2ImgRequest:
    """Every text that a person may give holds the marker."""
    text = f"a {marker} at dusk, (old {marker}:1.2), <lora:{marker}:0.7>"
    detailer = {"ad_model": "face_yolov8n.pt", "ad_prompt": text, "ad_negative_prompt": marker}
    return schemas.Txt2ImgRequest(
        prompt=text,
        negative_prompt=f"no {marker}",
        styles=[marker],
        enable_hr=True,
        hr_scale=1.0,
        denoising_strength=0.3,
        hr_prompt=text,
        hr_negative_prompt=marker,
        script_args=[marker, {"text": text}],
        alwayson_scripts={"ADetailer": schemas.AlwaysOnScript(args=[True, False, detailer])},
        override_settings=schemas.OverrideSettings(),
        steps=2,
        width=64,
        height=64,
        force_task_id="job-7",
    )


class Caller:
    """Has one retry, and keeps everything that it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def before_send(self, sending: Sending) -> None:
        self.told.append(sending)

    def perform(self, post: Callable[[], Answer]) -> Answer:
        return post()

    def failed(self, error: WebUIError, artifact_paths: tuple[Path, ...], *, again: bool) -> None:
        self.told += [str(error), repr(error), error.facts(), repr(error.__cause__), repr(error.__context__)]

    def crash_suspected(self, evidence: Evidence) -> bool:
        self.told.append(evidence)
        return True

    def waiting(self) -> bool:
        return True

    def restarted(self, generation: int) -> None:
        self.told.append(generation)

    def retry_started(self) -> None:
        pass


class Stand:
    """One simulator, whose log is that of generation 1 of a node."""

    def __init__(self, folder: Path, simulator: SimulatorProcess) -> None:
        self.folder = folder
        self.simulator = simulator
        (folder / "stderr.log").symlink_to(simulator.log_path)
        node = add_node("gpu", simulator.url, start_command="./webui.sh")
        Node.objects.filter(pk=node.pk).update(state=NodeState.READY, generation=1, log_directory=str(folder))
        self.node = node

    def send(self, caller: Caller, marker: str, run_dir: str) -> RecoveryOutcome[Answer]:
        return generate_images_with_recovery(
            "txt2img",
            full_request(marker),
            self.folder / run_dir,
            7,
            caller,
            node_id=self.node.pk,
            client=WebUIClient(self.simulator.url),
            generation=1,
            restart=lambda node_id, **given: 0,
        )


@pytest.mark.parametrize("fault", ["500", "500-echo", "die"])
def test_words_of_the_request_reach_no_evidence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    caplog.set_level("DEBUG")
    caller = Caller()
    with SimulatorProcess(tmp_path, "--adetailer", "--fault", f"{fault}@1") as simulator:
        outcome = Stand(tmp_path, simulator).send(caller, MARKER, "7")
        assert MARKER in simulator.log, "the simulator is not discreet enough for this test"
    assert outcome.ending is RecoveryEnding.RESTART_FAILED
    tail = outcome.artifact_paths[1].read_text()
    assert "Error completing request" in tail
    assert "process_images" in tail
    for told in (*caller.told, outcome, caplog.text, *(path.read_text() for path in outcome.artifact_paths)):
        assert MARKER.lower() not in str(told).lower()


def test_words_of_earlier_failures_in_the_same_log_reach_it_neither(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--adetailer", "--fault", "500-echo@1", "--fault", "die@2") as simulator:
        stand = Stand(tmp_path, simulator)
        stand.send(Caller(), EARLIER, "6")
        outcome = stand.send(Caller(), MARKER, "7")
        assert EARLIER in simulator.log
    tail = outcome.artifact_paths[1].read_text()
    assert "fault 500-echo" in tail
    assert "fault die" in tail
    assert EARLIER.lower() not in tail.lower()
    assert MARKER.lower() not in tail.lower()
