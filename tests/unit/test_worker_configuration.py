"""The configuration file of a worker, and the files that it names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from webui.drivers.diffsynth.worker.configuration import (
    KEYS,
    ConfigurationError,
    WorkerConfiguration,
    read_configuration,
    told_kind,
)
from webui.drivers.diffsynth.worker.weights import problems_of

FILM: dict[str, Any] = {
    "kind": "i2v",
    "name": "wan-a14b",
    "files": {
        "dit": ["high-1.safetensors", "high-2.safetensors"],
        "dit2": "/models/low.safetensors",
        "text_encoder": "t5.pth",
        "vae": "vae.pth",
    },
    "tokenizer": "tokenizer",
    "loras": [{"path": "fast-low.safetensors", "target": "dit2", "strength": 0.8}],
    "python": "/opt/worker/bin/python",
    "card": "gpu0",
}
EDIT: dict[str, Any] = {
    "kind": "edit",
    "name": "qwen-edit",
    "files": {"dit": "dit.safetensors", "text_encoder": "text.safetensors", "vae": "vae.safetensors"},
    "processor": "processor",
    "zero_cond_t": True,
}


def read(folder: Path, document: Any, *, allow_modules: bool = False) -> WorkerConfiguration:
    path = folder / "worker.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read_configuration(path, allow_modules=allow_modules)


def problems(folder: Path, document: Any, *, allow_modules: bool = False) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, document, allow_modules=allow_modules)
    return caught.value.problems


def test_the_document_has_every_key_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs/worker.md").read_text(encoding="utf-8")
    table = text.split("| key | meaning |", 1)[1].split("\n\n")[0]
    keys = [key for row in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(keys) == sorted(KEYS)


def test_the_files_that_the_guide_shows_can_be_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/video.md").read_text(encoding="utf-8")
    shown = re.findall(r"```toml\n(.+?)```", text, re.DOTALL)
    path = tmp_path / "worker.toml"
    kinds = []
    for document in shown:
        path.write_text(document)
        kinds.append(read_configuration(path, allow_modules=False).kind)
    assert kinds == ["i2v", "edit"]


def test_a_file_for_films(tmp_path: Path) -> None:
    told = read(tmp_path, FILM)
    assert (told.kind, told.name, told.device, told.dtype) == ("i2v", "wan-a14b", "cuda", "bfloat16")
    assert list(told.files) == ["dit", "dit2", "text_encoder", "vae"]
    assert told.files["dit"] == (tmp_path / "high-1.safetensors", tmp_path / "high-2.safetensors")
    assert told.files["dit2"] == (Path("/models/low.safetensors"),)
    assert told.folder == tmp_path / "tokenizer"
    [lora] = told.loras
    assert (lora.name, lora.target, lora.strength) == ("fast-low", "dit2", 0.8)
    assert (told.card, told.registry, told.shim, told.zero_cond_t) == ("gpu0", "", "", False)


def test_a_toml_file_for_edits(tmp_path: Path) -> None:
    path = tmp_path / "worker.toml"
    path.write_text(
        'kind = "edit"\nname = "qwen"\nprocessor = "processor"\nvram_limit_gb = 20\n'
        '[files]\ndit = "a.safetensors"\ntext_encoder = "b.safetensors"\nvae = "c.safetensors"\n'
        '[offload]\noffload_dtype = "disk"\noffload_device = "disk"\nonload_device = "cpu"\n'
        'computation_dtype = "bfloat16"\ncomputation_device = "cuda:1"\n'
    )
    told = read_configuration(path, allow_modules=False)
    assert (told.kind, told.vram_limit_gb, told.offload["computation_device"]) == ("edit", 20.0, "cuda:1")
    assert told_kind(path) == "edit"


@pytest.mark.parametrize(
    "order", [("dit2", "dit", "vae", "text_encoder"), ("vae", "text_encoder", "dit", "dit2")]
)
def test_models_are_loaded_in_one_order_whatever_that_of_the_file(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    files = {name: FILM["files"][name] for name in order}
    assert list(read(tmp_path, {**FILM, "files": files}).files) == ["dit", "dit2", "text_encoder", "vae"]


def test_modules_are_refused_unless_the_command_line_allows_them(tmp_path: Path) -> None:
    document = {**EDIT, "registry": "some.module", "shim": "another"}
    assert [problem.split()[0] for problem in problems(tmp_path, document)] == ["registry", "shim"]
    told = read(tmp_path, document, allow_modules=True)
    assert (told.registry, told.shim) == ("some.module", "another")
    assert "registry" in problems(tmp_path, {**EDIT, "registry": "os; import sys"}, allow_modules=True)[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "image"}, "kind must be one of i2v, edit"),
        ({"name": " "}, "name must be a text that is not empty"),
        ({"device": "cuda:x"}, "device must be a device such as"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"modell": 1, "files": {**EDIT["files"], "dit2": "x"}}, "Unknown: modell."),
        ({"files": {**EDIT["files"], "dit2": "x"}}, "Unknown: files.dit2."),
        ({"files": {"dit": "a", "vae": "b"}}, "files.text_encoder must be a path"),
        ({"files": {**EDIT["files"], "vae": []}}, "files.vae must be a path"),
        ({"files": "all"}, "files must be an object"),
        ({"processor": ""}, "processor must be the path of a folder"),
        ({"processor": 7}, "processor must be"),
        ({"loras": {"path": "x"}}, "loras must be a list"),
        ({"loras": [{"path": "x", "target": "dit2"}]}, "LoRA 1: target must be one of dit"),
        ({"loras": [{"path": "x"}, {"path": "", "size": 1}]}, "Unknown: loras 2: size."),
        ({"loras": [{"path": "x", "strength": True}]}, "LoRA 1: strength must be a number"),
        ({"vram_limit_gb": -1}, "vram_limit_gb must be"),
        ({"offload": {"offload_dtype": "int4"}}, "offload.offload_dtype must be one of"),
        ({"offload": {"offload_device": 3}}, "offload.offload_device must be a device"),
        ({"offload": {"speed": "x"}}, "Unknown: offload.speed."),
        ({"device": "cpu", "vram_limit_gb": 4}, "need a GPU"),
        ({"zero_cond_t": "yes"}, "zero_cond_t must be true or false"),
        ({"card": 0}, "card must be a text"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    assert any(words in problem for problem in problems(tmp_path, {**EDIT, **change}))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, {"kind": "edit", "colour": "red", "dtype": "int8"})
    assert len(found) == 7


@pytest.mark.parametrize("text", ["", "{", "[]", "kind = 'edit'", '"text"'])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)
    assert told_kind(tmp_path / "worker.json") == ""


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_configuration(tmp_path / "none.json", allow_modules=False)


def safetensors(path: Path, size_bytes: int = 16) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size_bytes))


def whole(folder: Path) -> WorkerConfiguration:
    for name in ("dit", "text", "vae"):
        safetensors(folder / f"{name}.safetensors")
    (folder / "processor").mkdir(exist_ok=True)
    (folder / "processor/tokenizer.json").write_text("{}")
    return read(folder, EDIT)


def test_files_that_are_there_and_whole_are_no_problem(tmp_path: Path) -> None:
    assert problems_of(whole(tmp_path)) == []


def test_every_missing_empty_or_cut_off_file_is_named(tmp_path: Path) -> None:
    told = whole(tmp_path)
    (tmp_path / "dit.safetensors").unlink()
    safetensors(tmp_path / "text.safetensors", size_bytes=10)
    (tmp_path / "vae.safetensors").write_bytes(b"<html>not found</html>")
    (tmp_path / "processor/tokenizer.json").unlink()
    found = problems_of(told)
    places = ["files.dit", "files.text_encoder", "files.vae", "processor"]
    assert [problem.partition(":")[0] for problem in found] == places
    assert all(str(tmp_path) in problem for problem in found)
    for problem, words in zip(
        found, ("there is no file", "Download it again", "no safetensors", "is empty"), strict=True
    ):
        assert words in problem


def test_an_empty_file_of_another_format_and_a_lost_lora_are_named(tmp_path: Path) -> None:
    for name in ("high-1", "high-2"):
        safetensors(tmp_path / f"{name}.safetensors")
    safetensors(tmp_path / "low.safetensors")
    (tmp_path / "t5.pth").touch()
    (tmp_path / "vae.pth").write_bytes(b"weights")
    found = problems_of(read(tmp_path, {**FILM, "files": {**FILM["files"], "dit2": "low.safetensors"}}))
    assert [problem.partition(":")[0] for problem in found] == ["files.text_encoder", "LoRA 1", "tokenizer"]
