"""The simulator against the recorded answers of real servers, in both dialects: status, headers, keys, errors."""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract.calls import Row, pictures
from tests.contract.recordings import ADDRESS, Exchange, Request, load_exchange, names
from tests.contract.rows import ROWS
from tests.contract.rows_forge import FORGE_ROWS
from tests.contract.simulator_process import SimulatorProcess
from tests.contract.situations import FORGE_SITUATIONS, SITUATIONS, Situation
from webui.drivers.a1111.client import WebUIClient

BROKEN_WEIGHTS = "its checkpoints have no weights that could be broken"
NO_ANSWER = "nothing was answered; how a process ends is in test_simulator_process"
NO_SCRIPTS = "it runs no selectable scripts, and says so with a 500"
NO_NOWEBUI = "it has no --nowebui"

A1111_NOT_MET = {
    "txt2img-500-nan": BROKEN_WEIGHTS,
    "txt2img-override-corrupt-checkpoint": BROKEN_WEIGHTS,
    "txt2img-after-corrupt-checkpoint": BROKEN_WEIGHTS,
    "txt2img-after-corrupt-override": BROKEN_WEIGHTS,
    "txt2img-recovered": BROKEN_WEIGHTS,
    "options-post-checkpoint-corrupt-file": BROKEN_WEIGHTS,
    "txt2img-script-prompt-matrix": NO_SCRIPTS,
    "txt2img-script-missing-args": NO_SCRIPTS,
    "nowebui-404-ping": NO_NOWEBUI,
    "nowebui-404-root": NO_NOWEBUI,
    "nowebui-server-stop": NO_NOWEBUI,
    "interrogate-404-model": "it describes no pictures",
    "server-kill": NO_ANSWER,
    "server-restart": NO_ANSWER,
    "nothing-listens": NO_ANSWER,
    "nothing-listens-post": NO_ANSWER,
    "clients-see-nothing-listens": NO_ANSWER,
    "clients-see-server-stop-mid-generation": NO_ANSWER,
    "clients-see-sigint-mid-generation": NO_ANSWER,
    "clients-see-sigkill-mid-generation": NO_ANSWER,
    "clients-see-sigterm-mid-generation": NO_ANSWER,
}


@dataclass(frozen=True)
class Server:
    """A recorded server: its exchanges, how the simulator is started in its place, and what that cannot meet."""

    dialect: str
    folder: str
    rows: dict[str, Row]
    checkpoints: tuple[str, ...]
    not_met: dict[str, str]
    situations: dict[str, Situation]

    def arguments(self, *more: str) -> tuple[str, ...]:
        named = [argument for name in self.checkpoints for argument in ("--checkpoint", name)]
        return ("--dialect", self.dialect, *named, *more)


SERVERS = (
    Server("a1111", "exchanges", ROWS, ("tinyA", "tinyB", "tinyNaN"), A1111_NOT_MET, SITUATIONS),
    Server("forge", "exchanges-forge", FORGE_ROWS, ("randA",), {}, FORGE_SITUATIONS),
)


@dataclass(frozen=True)
class Case:
    server: Server
    name: str

    def __str__(self) -> str:
        return f"{self.server.dialect}/{self.name}"

    @property
    def exchange(self) -> Exchange:
        return load_exchange(self.name, self.server.folder)

    @property
    def is_trimmed(self) -> bool:
        """Recorded with fewer keys than were sent: the simulator may have more."""
        return self.name.startswith(("options-get", "options-after", "fresh-options", "cmd-flags-with-auth"))

    @property
    def situation(self) -> Situation | None:
        return self.server.situations.get(self.name)

    @property
    def is_guarded(self) -> bool:
        return self.name.startswith(("401-", "auth-")) or self.name == "cmd-flags-with-auth"


CASES = [
    Case(server, name) for server in SERVERS for name in names(server.folder) if name not in server.not_met
]
OWN_POSITION = {"internal-progress-queued"}
"""Says how many tasks wait, leaked ones included: that depends on what was refused before."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Case], SimulatorProcess]]:
    """The simulator that a case may share with others: one of each dialect, one more with credentials."""
    started: dict[tuple[str, ...], SimulatorProcess] = {}

    def for_case(case: Case) -> SimulatorProcess:
        more = ("--api-auth", "alice:secret") if case.is_guarded else ("--api-server-stop",)
        arguments = case.server.arguments(*more)
        if arguments not in started:
            started[arguments] = SimulatorProcess(tmp_path_factory.mktemp("shared"), *arguments).__enter__()
        return started[arguments]

    yield for_case
    for process in started.values():
        process.__exit__(None, None, None)


@pytest.fixture
def simulator(
    case: Case, shared: Callable[[Case], SimulatorProcess], tmp_path: Path
) -> Iterator[SimulatorProcess]:
    if case.situation is None:
        yield shared(case)
        return
    arguments = case.server.arguments("--api-server-stop", "--seconds-per-step", "0.03")
    with SimulatorProcess(tmp_path, *arguments) as own:
        case.situation(own)
        yield own


def test_only_what_cannot_be_met_is_left_out() -> None:
    for server in SERVERS:
        assert set(server.not_met) <= set(names(server.folder))
        assert all(server.not_met.values())
    assert set(SITUATIONS) <= {case.name for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_simulator_answers_as_recorded(case: Case, simulator: SimulatorProcess) -> None:
    exchange = case.exchange
    recorded = exchange.response
    assert recorded is not None
    answer = _as_recorded(exchange).send(simulator.url)

    assert answer.status_code == recorded.status
    for header in ("content-type", "allow", "www-authenticate"):
        assert answer.headers.get(header) == recorded.headers.get(header), header
    assert ("x-process-time" in answer.headers) == ("x-process-time" in recorded.headers)
    if "location" in recorded.headers:
        assert answer.headers["location"] == recorded.headers["location"].replace(ADDRESS, simulator.url)
    if not recorded.is_json:
        assert answer.text == recorded.text
        return
    assert answer.headers.get("content-encoding") == recorded.headers.get("content-encoding")
    given = answer.json()
    if case.name in OWN_POSITION:
        given["textinfo"] = re.sub(r"\d+/\d+", "5/5", given["textinfo"])
    if recorded.status >= 400:
        assert _but_for_its_port(given) == _but_for_its_port(recorded.json)
    elif case.is_trimmed:
        assert recorded.json
        shape = _shape(given)
        assert {key: shape.get(key) for key in recorded.json} == _shape(recorded.json)
    else:
        _assert_same_shape(given, recorded.json)
    if recorded.status == 200 and "info" in (recorded.json or ()) and "images" in recorded.json:
        _assert_same_info(json.loads(given["info"]), json.loads(recorded.json["info"]))
        assert len(given["images"]) == len(recorded.json["images"])


def _but_for_its_port(answer: Any) -> str:
    """An error as text; one that repeats the command line names the port of that server."""
    return re.sub(r"(\"port\": |'input': )\d+", r"\1PORT", json.dumps(answer))


def _as_recorded(exchange: Exchange) -> Request:
    """Names of checkpoints carry the recorded hash in their titles; ours have hashes of their own."""
    sent = exchange.request
    if isinstance(sent.json, dict) and "tinyA.safetensors [" in str(sent.json.get("sd_model_checkpoint")):
        return dataclasses.replace(sent, json={"sd_model_checkpoint": "tinyA.safetensors"})
    return sent


def _assert_same_shape(given: Any, recorded: Any) -> None:
    assert _shape(given) == _shape(recorded)


def _shape(value: Any) -> Any:
    """Keys and types, of list items the distinct ones; 0 and 0.0 differ, as they do on the wire."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list):
        shapes = {json.dumps(_shape(item), sort_keys=True) for item in value}
        return sorted(shapes)
    return type(value).__name__


def _assert_same_info(given: dict[str, Any], recorded: dict[str, Any]) -> None:
    """Key by key in order, and infotexts equal but for hashes and seeds taken by chance."""
    assert list(given) == list(recorded)
    assert _shape(given["extra_generation_params"]) == _shape(recorded["extra_generation_params"])
    chance = str(recorded["seed"]) if recorded["seed"] != 42 else "none"
    for key in ("all_prompts", "width", "height", "sampler_name", "steps", "sd_model_name", "infotexts"):
        assert _constant(given[key], str(given["seed"])) == _constant(recorded[key], chance), key
    assert len(given["all_seeds"]) == len(recorded["all_seeds"])
    assert given["index_of_first_image"] == recorded["index_of_first_image"]


def _constant(value: Any, seed: str) -> str:
    text = re.sub(r"Model hash: \w{10}", "Model hash: H", json.dumps(value))
    return re.sub(r"Seed: \d+", "Seed: S", text) if seed not in ("42", "none") else text


def _is_compared(case: Case) -> bool:
    """Refusals, and pictures by count, size, seed and checkpoint: what needs no recorded hash or state."""
    request, row = case.exchange.request, case.server.rows[case.name]
    if case.situation or request.headers or request.raw_body:
        return False
    seeded = isinstance(request.json, dict) and request.json.get("seed", -1) not in (-1, None)
    return row.error is not None or (row.shows is pictures and seeded)


@pytest.mark.parametrize("case", [case for case in CASES if _is_compared(case)], ids=str)
def test_client_reads_the_simulator_as_it_reads_the_recording(
    case: Case, simulator: SimulatorProcess
) -> None:
    row, exchange = case.server.rows[case.name], case.exchange
    client = WebUIClient(simulator.url, auth=exchange.request.basic_auth)
    if row.error is None:
        assert row.shows(row.call(client, exchange)) == row.expected
        return
    with pytest.raises(row.error) as caught:
        row.call(client, exchange)
    assert row.words.replace(ADDRESS, simulator.url) in caught.value.words
    assert caught.value.error_class == row.error_class
