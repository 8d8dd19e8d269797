"""A simulator that tells its log everything, and what of it reaches the evidence of a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.simulator_process import SimulatorProcess
from tests.integration.recovery_caller import Caller
from tests.wire_requests import request_of_payload
from webui.drivers.a1111 import schemas
from webui.evidence.failure_artifacts import FailureEvidence
from webui.models import Node, NodeState
from webui.nodes.adding import add_node
from webui.nodes.connecting import connect
from webui.recovery.recovery import RecoveryEnding, RecoveryOutcome, generate_images_with_recovery
from webui.work.unit import Request

pytestmark = pytest.mark.django_db

MARKER = "Zwiebelturm"
EARLIER = "Leuchtturm"


def full_request(marker: str) -> Request:
    """Every text that a person may give holds the marker."""
    text = f"a {marker} at dusk, (old {marker}:1.2), <lora:{marker}:0.7>"
    detailer = {"ad_model": "face_yolov8n.pt", "ad_prompt": text, "ad_negative_prompt": marker}
    payload = schemas.Txt2ImgRequest(
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
    return request_of_payload(payload)


class Stand:
    """One simulator, whose log is that of generation 1 of a node."""

    def __init__(self, folder: Path, simulator: SimulatorProcess) -> None:
        self.folder = folder
        self.simulator = simulator
        (folder / "stderr.log").symlink_to(simulator.log_path)
        node = add_node("gpu", simulator.url, start_command="./webui.sh")
        Node.objects.filter(pk=node.pk).update(state=NodeState.READY, generation=1, log_directory=str(folder))
        self.node = node

    def send(self, marker: str, run_dir: str) -> tuple[RecoveryOutcome[str], Caller]:
        evidence = FailureEvidence(full_request(marker), self.folder / run_dir, self.node.pk)
        caller = Caller(connect(self.node), evidence)
        outcome = generate_images_with_recovery(
            "txt2img",
            caller.send,
            caller,
            node_id=self.node.pk,
            generation=1,
            job_id=7,
            restart=lambda node_id, **given: 0,
        )
        return outcome, caller


@pytest.mark.parametrize("fault", ["500", "500-echo", "die"])
def test_words_of_the_request_reach_no_evidence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    caplog.set_level("DEBUG")
    with SimulatorProcess(tmp_path, "--adetailer", "--fault", f"{fault}@1") as simulator:
        outcome, caller = Stand(tmp_path, simulator).send(MARKER, "7")
        assert MARKER in simulator.log, "the simulator is not discreet enough for this test"
    assert outcome.ending is RecoveryEnding.RESTART_FAILED
    tail = caller.evidence.paths[1].read_text()
    assert "Error completing request" in tail
    assert "process_images" in tail
    told: list[object] = [*caller.told, *caller.calls, *caller.sendings, *caller.suspicions]
    for one in (*told, outcome, caplog.text, *(path.read_text() for path in caller.evidence.paths)):
        assert MARKER.lower() not in str(one).lower()
    assert caller.told


def test_words_of_earlier_failures_in_the_same_log_reach_it_neither(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--adetailer", "--fault", "500-echo@1", "--fault", "die@2") as simulator:
        stand = Stand(tmp_path, simulator)
        stand.send(EARLIER, "6")
        _, caller = stand.send(MARKER, "7")
        assert EARLIER in simulator.log
    tail = caller.evidence.paths[1].read_text()
    assert "fault 500-echo" in tail
    assert "fault die" in tail
    assert EARLIER.lower() not in tail.lower()
    assert MARKER.lower() not in tail.lower()
