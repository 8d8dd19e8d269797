"""What a worker says that cannot start or load, and that nothing is ever downloaded."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.contract.raw_server import reset, serving
from tests.diffsynth.environment import interpreter
from tests.diffsynth.worker_process import (
    TOKEN,
    WorkerProcess,
    environment_of,
    tiny_configuration,
    write_configuration,
)
from tests.diffsynth.works import edit_body, picture, sha256_of

pytestmark = pytest.mark.diffsynth


def reason(kind: str, folder: Path, weights: Path, *, allow_modules: bool = True, **changes: Any) -> str:
    """Why a worker with these changes failed to load."""
    config = write_configuration(folder, tiny_configuration(kind, weights, **changes))
    with WorkerProcess(config, weights, allow_modules=allow_modules) as worker:
        told = worker.client.wait_until_loaded()
        assert told["state"] == "failed", told
        # It stays, so that everybody can read why.
        assert worker.process.poll() is None
        assert worker.client.ask("POST", "/jobs", edit_body("a", b"")).status == 503
        return str(told["reason"])


def files(kind: str, weights: Path, **places: str) -> dict[str, str]:
    named = {place: str(weights / f"{name}.safetensors") for place, name in places.items()}
    return {**tiny_configuration(kind, weights)["files"], **named}


def test_missing_and_cut_off_files_are_all_named(tmp_path: Path, weights: Path) -> None:
    whole = (weights / "wan_vae.safetensors").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    given = files("i2v", weights, dit2="not_there") | {"vae": str(tmp_path / "half.safetensors")}
    words = reason("i2v", tmp_path, weights, files=given, tokenizer=str(tmp_path / "nowhere"))
    for part in (
        "Files.dit2: there is no file",
        "Files.vae: the file",
        "Download it again",
        "Tokenizer: there is no",
    ):
        assert part in words


def test_a_lora_that_fits_no_layer_is_a_failure(tmp_path: Path, weights: Path) -> None:
    loras = [{"path": str(weights / "other_lora.safetensors"), "target": "dit2"}]
    assert "other_lora.safetensors fits no layer of dit2." in reason("i2v", tmp_path, weights, loras=loras)


def test_a_lora_of_another_width_is_a_failure(tmp_path: Path, weights: Path) -> None:
    loras = [{"path": str(weights / "wide_lora.safetensors"), "target": "dit"}]
    assert "wide_lora.safetensors does not fit dit:" in reason("i2v", tmp_path, weights, loras=loras)


def test_a_model_in_the_place_of_another_is_named(tmp_path: Path, weights: Path) -> None:
    words = reason("edit", tmp_path, weights, files=files("edit", weights, vae="qwen_text_encoder"))
    assert "files.vae:" in words
    assert "is qwen_image_text_encoder, not qwen_image_vae." in words


def test_a_model_that_the_library_does_not_know_is_named(tmp_path: Path, weights: Path) -> None:
    words = reason("edit", tmp_path, weights, files=files("edit", weights, dit="qwen_lora"))
    assert "files.dit: DiffSynth does not know the model in" in words
    words = reason("edit", tmp_path, weights, files=files("edit", weights, dit="qwen_dit-1-of-2"))
    assert "Give all shards of one model" in words


def test_a_model_of_several_shards_is_loaded(tmp_path: Path, weights: Path) -> None:
    shards = [str(weights / f"qwen_dit-{number}-of-2.safetensors") for number in (1, 2)]
    changed = {**tiny_configuration("edit", weights)["files"], "dit": shards}
    config = write_configuration(tmp_path, tiny_configuration("edit", weights, files=changed))
    with WorkerProcess(config, weights) as worker:
        assert worker.client.wait_until_loaded()["state"] == "ready"


def test_a_folder_without_a_tokenizer_is_a_failure(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/readme.txt").write_text("nothing here")
    words = reason("i2v", tmp_path, weights, tokenizer=str(tmp_path / "empty"))
    assert f"tokenizer: {tmp_path / 'empty'} holds no tokenizer that can be loaded (" in words
    assert "Download the whole folder again." in words


def test_nothing_is_downloaded_whatever_the_environment_says(tmp_path: Path, weights: Path) -> None:
    """Where models come from stands a server that counts who asks."""
    changes = {"registry": "tests.diffsynth.wants_downloads"}
    config = write_configuration(tmp_path, tiny_configuration("edit", weights, **changes))
    with serving(reset) as models:
        places = {"HF_ENDPOINT": models.url, "MODELSCOPE_DOMAIN": models.url.removeprefix("http://")}
        kept = dict.fromkeys(("HF_HOME", "MODELSCOPE_CACHE", "DIFFSYNTH_MODEL_BASE_PATH"), str(tmp_path))
        allowed = {"DIFFSYNTH_SKIP_DOWNLOAD": "False", "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}
        environment = {**places, **kept, **allowed, "NO_PROXY": "127.0.0.1"}
        with WorkerProcess(config, weights, environment=environment) as worker:
            told = worker.client.wait_until_loaded()
    assert "every library was asked" in told["reason"]
    assert models.connections == 0


def test_a_folder_without_a_processor_is_a_failure(tmp_path: Path, weights: Path) -> None:
    words = reason("edit", tmp_path, weights, processor=str(weights / "tokenizer"))
    assert "holds no processor that can be loaded (" in words


def test_a_device_that_is_not_there_is_a_failure(tmp_path: Path, weights: Path) -> None:
    assert "PyTorch finds no GPU here" in reason("edit", tmp_path, weights, device="cuda")


def test_modules_of_the_file_run_only_where_the_command_line_allows_them(
    tmp_path: Path, weights: Path
) -> None:
    words = reason("edit", tmp_path, weights, allow_modules=False)
    assert "registry names a Python module to run" in words
    assert "shim names a Python module to run" in words


def test_what_the_file_says_wrongly_is_told_all_at_once(tmp_path: Path, weights: Path) -> None:
    words = reason("edit", tmp_path, weights, colour="red", dtype="int3")
    assert "Unknown: colour." in words
    assert "dtype must be one of" in words


def run(folder: Path, weights: Path, *arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    config = write_configuration(folder, tiny_configuration("edit", weights))
    command = [
        str(interpreter()),
        "-P",
        "-m",
        "webui.drivers.diffsynth.worker",
        "--config",
        str(config),
        *arguments,
    ]
    environment = {**environment_of(weights), "STABLENEW_WORKER_TOKEN": token}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_worker_without_a_token_does_not_start(tmp_path: Path, weights: Path) -> None:
    done = run(tmp_path, weights, "--port", "0", token="")
    assert done.returncode == 2
    assert "Set STABLENEW_WORKER_TOKEN" in done.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path, weights: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run(tmp_path, weights, "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "cannot start on 127.0.0.1:" in done.stderr


def test_the_worker_listens_before_it_has_loaded_and_wants_its_token(tmp_path: Path, weights: Path) -> None:
    config = write_configuration(tmp_path, tiny_configuration("edit", weights))
    with WorkerProcess(config, weights) as worker:
        first = worker.client.health()
        assert (first.status, first.json["state"], first.json["kind"]) == (503, "loading", "edit")
        assert first.json["phase"] in {"files", "import", "weights", "loras"}
        assert worker.client.ask("GET", "/health", headers={"Authorization": "Bearer wrong"}).status == 401
        # Inputs are taken before it is ready: they need no pipeline.
        content = picture()
        assert worker.client.put(sha256_of(content), content).status == 201
        environment = Path(f"/proc/{worker.process.pid}/cmdline").read_bytes()
        assert TOKEN.encode() not in environment
        assert json.loads(config.read_text())["kind"] == "edit"
