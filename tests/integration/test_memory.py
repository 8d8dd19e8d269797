"""How much memory a server uses: measured beside the keeper's looks, shown in words."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.contract.simulator_process import SimulatorProcess
from tests.factories import make_node
from tests.keepers import KeeperStand
from webui.driver import driver_of
from webui.drivers.a1111.listings import Memory
from webui.drivers.a1111.server import memory_told
from webui.keeper import memory
from webui.keeper.memory import MemoryGauge
from webui.models import Node, NodeState
from webui.work.told import GIB, MIB, MemoryUse

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tmp_path: Path, settings: Settings) -> Iterator[KeeperStand]:
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


def known(node: Node) -> bool:
    return node.ram_bytes is not None


def test_memory_of_a_managed_webui_is_that_of_its_processes(stand: KeeperStand) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    stand.wait(node, NodeState.READY, where=known)
    assert 5 * MIB < (node.ram_bytes or 0) < GIB
    assert node.vram_total_bytes is None, "the simulator says that it has no graphics card"


def test_memory_of_an_attached_server_is_what_it_tells(stand: KeeperStand, tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path) as server:
        node = stand.node(port=server.port)
        stand.start_until_ready(node)
        stand.wait(node, NodeState.READY, where=known)
        assert node.ram_bytes == int(server.get("memory")["ram"]["used"])


def test_a_look_never_waits_for_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    node, answer = make_node("slow"), threading.Event()

    def measure(*arguments: object) -> MemoryUse:
        answer.wait(60)
        return MemoryUse(3 * GIB, 6 * GIB, 8 * GIB)

    monkeypatch.setattr(memory, "measure", measure)
    gauge = MemoryGauge()
    gauge.begin()
    for _ in range(3):
        assert gauge.look(node) is None
    answer.set()
    use = None
    while use is None:
        use = gauge.look(node)
        time.sleep(0.01)
    assert use.words() == "RAM 3 GB, VRAM 6 of 8 GB"


def test_a_measurement_of_an_earlier_generation_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "measure", lambda *arguments: MemoryUse(3 * GIB))
    node, gauge = make_node("new"), MemoryGauge()
    assert gauge.look(node) is None
    node.generation += 1
    while gauge._reading is not None:
        assert gauge.look(node) is None


def test_a_server_that_tells_nothing_has_no_memory(tmp_path: Path) -> None:
    assert memory.measure(driver_of("a1111").connect("http://127.0.0.1:9"), None) == MemoryUse()
    assert MemoryUse().words() == ""


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (MemoryUse(61 * MIB), "RAM 60 MB"),
        (MemoryUse(int(3.14 * GIB), int(6.2 * GIB), 8 * GIB), "RAM 3.1 GB, VRAM 6.2 of 8 GB"),
        (MemoryUse(None, 0, 24 * GIB), "VRAM 0 of 24 GB"),
        (MemoryUse(None, 5, None), ""),
    ],
)
def test_memory_is_told_in_words(use: MemoryUse, words: str) -> None:
    assert use.words() == words


@pytest.mark.parametrize("told", [-1.0, float("inf"), float("nan"), 1e30])
def test_what_no_machine_has_is_no_number(told: float) -> None:
    system = {"used": told, "total": told}
    answer = Memory.model_validate({"ram": {"used": told}, "cuda": {"system": system}})
    assert memory_told(answer) == MemoryUse(None, None, None)


def test_a_machine_without_descriptors_is_no_end_of_measuring(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node = make_node("full")
    answers: list[MemoryUse] = []

    def measure(*arguments: object) -> MemoryUse:
        if not answers:
            raise OSError(errno.EMFILE, "Too many open files")
        return answers[0]

    monkeypatch.setattr(memory, "measure", measure)
    now_s = 0.0
    gauge = MemoryGauge(clock=lambda: now_s)

    def look() -> MemoryUse | None:
        assert gauge.look(node) is None
        assert gauge._reading is not None
        gauge._reading.thread.join()
        return gauge.look(node)

    assert look() is None
    assert "Too many open files" in caplog.text
    answers.append(MemoryUse(3 * GIB, 6 * GIB, 8 * GIB))
    now_s += memory.AFTER_NOTHING_S
    assert look() == answers[0]
