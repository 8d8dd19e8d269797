"""The configuration file of a worker, JSON or TOML: parsed once, every problem told at once.

Relative paths are those of the file's folder. What the files themselves hold is checked in `weights`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

Kind = Literal["i2v", "edit"]

REQUIRED_FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "i2v": ("dit", "dit2", "text_encoder", "vae"),
    "edit": ("dit", "text_encoder", "vae"),
}
"""By kind, in the order in which they are loaded: of two models of one kind the first becomes `dit`."""
REQUIRED_FOLDER: Final[Mapping[str, str]] = {"i2v": "tokenizer", "edit": "processor"}

KEYS: Final = (
    "kind", "name", "device", "dtype", "files", "tokenizer", "processor", "loras", "vram_limit_gb", "offload",
    "zero_cond_t", "python", "card", "registry", "shim",
)  # fmt: skip
MODULE_KEYS: Final = ("registry", "shim")
"""They name Python modules, which the worker would run: only its own command line may allow that."""
DTYPES: Final = ("bfloat16", "float16", "float32")
OFFLOAD_DTYPES: Final = (*DTYPES, "float8_e4m3fn", "disk")
_STAGES = ("offload", "onload", "preparing", "computation")
OFFLOAD_KEYS: Final = tuple(f"{stage}_{what}" for stage in _STAGES for what in ("device", "dtype"))

_DEVICE = re.compile(r"[a-z]+(:\d{1,3})?")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class ConfigurationError(ValueError):
    """The configuration cannot be used; the message has one sentence for each problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class LoraFile:
    """`strength` multiplies it; `target` is the model that it changes."""

    path: Path
    target: str
    strength: float

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True, slots=True)
class WorkerConfiguration:
    """`files` are the shards of each model in loading order. `folder` is the tokenizer (films) or processor (edits).

    `offload` has values of `OFFLOAD_KEYS`; `registry` and `shim` are "" but in tests. `python` and `card` are for
    whoever starts the worker.
    """

    kind: Kind
    name: str
    device: str
    dtype: str
    files: Mapping[str, tuple[Path, ...]]
    folder: Path
    loras: tuple[LoraFile, ...]
    vram_limit_gb: float | None
    offload: Mapping[str, str]
    zero_cond_t: bool
    python: str
    card: str
    registry: str
    shim: str


def read_configuration(path: Path, *, allow_modules: bool) -> WorkerConfiguration:
    """Raises ConfigurationError. No file that it names is opened."""
    return _Parser(path, _document(path), allow_modules=allow_modules).parsed()


def told_kind(path: Path) -> str:
    """The kind that the file names, or "" where it names none; for the answers of a worker that cannot use it."""
    try:
        kind = _document(path).get("kind")
    except ConfigurationError:
        return ""
    return kind if isinstance(kind, str) and kind in REQUIRED_FILES else ""


def _document(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as exc:
        raise ConfigurationError([f"The configuration {path} cannot be read: {exc.strerror}."]) from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigurationError([f"The configuration {path} is not valid: {exc}."]) from exc
    if not isinstance(document, dict):
        raise ConfigurationError([f"The configuration {path} must be an object with keys."])
    return document


class _Parser:
    def __init__(self, path: Path, document: dict[str, Any], *, allow_modules: bool) -> None:
        self.base = path.absolute().parent
        self.document = document
        self.allow_modules = allow_modules
        self.problems: list[str] = []

    def parsed(self) -> WorkerConfiguration:
        self._refuse_unknown(self.document, KEYS, "")
        kind = self._choice("kind", tuple(REQUIRED_FILES), None)
        configuration = WorkerConfiguration(
            kind="i2v" if kind == "i2v" else "edit",
            name=self._text("name", required=True),
            device=self._matching("device", "cuda", _DEVICE, "a device such as cuda, cuda:1 or cpu"),
            dtype=self._choice("dtype", DTYPES, DTYPES[0]),
            files=self._files(kind),
            folder=self._folder(kind),
            loras=self._loras(kind),
            vram_limit_gb=self._vram_limit(),
            offload=self._offload(),
            zero_cond_t=self._flag("zero_cond_t"),
            python=self._text("python"),
            card=self._text("card"),
            registry=self._module("registry"),
            shim=self._module("shim"),
        )
        if configuration.device == "cpu" and (
            configuration.offload or configuration.vram_limit_gb is not None
        ):
            self.problems.append("offload and vram_limit_gb need a GPU; device is cpu.")
        if self.problems:
            raise ConfigurationError(self.problems)
        return configuration

    def _refuse_unknown(self, table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
        unknown = [f"{where}{key}" for key in table if key not in known]
        if unknown:
            self.problems.append(f"Unknown: {', '.join(unknown)}. Known are {', '.join(known)}.")

    def _text(self, key: str, *, required: bool = False) -> str:
        value = self.document.get(key, "")
        if not isinstance(value, str) or (required and not value.strip()):
            self.problems.append(f"{key} must be a text{' that is not empty' * required}.")
            return ""
        return value

    def _choice(self, key: str, values: tuple[str, ...], default: str | None) -> str:
        value = self.document.get(key, default)
        if value not in values:
            self.problems.append(f"{key} must be one of {', '.join(values)}.")
            return ""
        return str(value)

    def _matching(self, key: str, default: str, pattern: re.Pattern[str], meaning: str) -> str:
        value = self.document.get(key, default)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            self.problems.append(f"{key} must be {meaning}.")
            return default
        return value

    def _flag(self, key: str) -> bool:
        value = self.document.get(key, False)
        if not isinstance(value, bool):
            self.problems.append(f"{key} must be true or false.")
        return value is True

    def _module(self, key: str) -> str:
        if key not in self.document:
            return ""
        if not self.allow_modules:
            self.problems.append(
                f"{key} names a Python module to run. Remove it, or start the worker with --allow-modules."
            )
            return ""
        return self._matching(key, "", _MODULE, "the name of a Python module")

    def _path(self, value: str) -> Path:
        return self.base / Path(value).expanduser()

    def _table(self, key: str) -> dict[str, Any]:
        value = self.document.get(key, {})
        if not isinstance(value, dict):
            self.problems.append(f"{key} must be an object with keys.")
            return {}
        return value

    def _files(self, kind: str) -> dict[str, tuple[Path, ...]]:
        table = self._table("files")
        wanted = REQUIRED_FILES.get(kind, ())
        if wanted:
            self._refuse_unknown(table, wanted, "files.")
        files = {}
        for name in wanted:
            value = table.get(name)
            shards = [value] if isinstance(value, str) else value
            if (
                not isinstance(shards, list)
                or not shards
                or not all(isinstance(s, str) and s for s in shards)
            ):
                self.problems.append(f"files.{name} must be a path, or the list of the paths of its shards.")
            else:
                files[name] = tuple(self._path(shard) for shard in shards)
        return files

    def _folder(self, kind: str) -> Path:
        for key in set(REQUIRED_FOLDER.values()):
            self._text(key)
        key = REQUIRED_FOLDER.get(kind, "")
        value = self.document.get(key)
        if key and (not isinstance(value, str) or not value):
            self.problems.append(f"{key} must be the path of a folder.")
        return self._path(value) if isinstance(value, str) else self.base

    def _loras(self, kind: str) -> tuple[LoraFile, ...]:
        entries = self.document.get("loras", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self.problems.append("loras must be a list of objects with path, target and strength.")
            return ()
        targets = tuple(name for name in REQUIRED_FILES.get(kind, ()) if name.startswith("dit"))
        loras = []
        for number, entry in enumerate(entries, start=1):
            self._refuse_unknown(entry, ("path", "target", "strength"), f"loras {number}: ")
            path, target = entry.get("path"), entry.get("target", "dit")
            strength = entry.get("strength", 1.0)
            if not isinstance(path, str) or not path:
                self.problems.append(f"LoRA {number}: path must be the path of a file.")
            elif targets and target not in targets:
                self.problems.append(f"LoRA {number}: target must be one of {', '.join(targets)}.")
            elif not _is_number(strength) or not -10 <= strength <= 10:
                self.problems.append(f"LoRA {number}: strength must be a number from -10 to 10.")
            else:
                loras.append(LoraFile(self._path(path), str(target), float(strength)))
        return tuple(loras)

    def _vram_limit(self) -> float | None:
        value = self.document.get("vram_limit_gb")
        if value is None:
            return None
        if not _is_number(value) or not 0 < value <= 10_000:
            self.problems.append("vram_limit_gb must be a number of gigabytes above 0.")
            return None
        return float(value)

    def _offload(self) -> dict[str, str]:
        table = self._table("offload")
        self._refuse_unknown(table, OFFLOAD_KEYS, "offload.")
        for key in (key for key in table if key in OFFLOAD_KEYS):
            value = table[key]
            if key.endswith("_dtype"):
                if value not in OFFLOAD_DTYPES:
                    self.problems.append(f"offload.{key} must be one of {', '.join(OFFLOAD_DTYPES)}.")
            elif not isinstance(value, str) or not _DEVICE.fullmatch(value):
                self.problems.append(f"offload.{key} must be a device such as cuda, cpu or disk.")
        return {key: str(value) for key, value in table.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
