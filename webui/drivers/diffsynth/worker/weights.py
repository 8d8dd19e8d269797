"""Whether every file of a configuration is there, readable and whole; before anything is loaded.

The library's own errors do not say which file is missing, and a download that stopped half-way is found only after
minutes of loading.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from webui.drivers.diffsynth.worker.configuration import REQUIRED_FOLDER, WorkerConfiguration

_MAX_HEADER_BYTES: Final = 100_000_000
"""Of a safetensors file; its own library takes no longer one."""


def problems_of(configuration: WorkerConfiguration) -> list[str]:
    """One sentence for each file that cannot be used."""
    found = [
        f"{place}: {problem}"
        for place, path in _named_files(configuration)
        for problem in [_problem_of_file(path)]
        if problem
    ]
    folder_problem = _problem_of_folder(configuration.folder)
    if folder_problem:
        found.append(f"{REQUIRED_FOLDER[configuration.kind]}: {folder_problem}")
    return found


def _named_files(configuration: WorkerConfiguration) -> Iterator[tuple[str, Path]]:
    for name, shards in configuration.files.items():
        for shard in shards:
            yield f"files.{name}", shard
    for number, lora in enumerate(configuration.loras, start=1):
        yield f"LoRA {number}", lora.path


def _problem_of_file(path: Path) -> str:
    try:
        if not path.is_file():
            return f"there is no file {path}."
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
            if path.suffix != ".safetensors":
                return f"the file {path} is empty." if not size else ""
            length = int.from_bytes(head, "little")
            if len(head) < 8 or not 0 < length <= min(size, _MAX_HEADER_BYTES):
                return f"the file {path} is no safetensors file, or cut off at its beginning."
            expected = 8 + length + _data_bytes(file.read(length))
    except OSError as exc:
        return f"the file {path} cannot be read: {exc.strerror}."
    except (ValueError, TypeError, KeyError, LookupError, AttributeError, RecursionError):
        return f"the file {path} is no safetensors file, or broken at its beginning."
    if size != expected:
        return f"the file {path} has {size:,} bytes and should have {expected:,}. Download it again."
    return ""


def _data_bytes(header: bytes) -> int:
    """Bytes behind the header of a safetensors file. Raises what broken JSON raises."""
    tensors = json.loads(header)
    return max(
        (int(t["data_offsets"][1]) for name, t in tensors.items() if name != "__metadata__"), default=0
    )


def _problem_of_folder(path: Path) -> str:
    try:
        if not path.is_dir():
            return f"there is no folder {path}."
        if not any(path.iterdir()):
            return f"the folder {path} is empty."
    except OSError as exc:
        return f"the folder {path} cannot be read: {exc.strerror}."
    return ""
