"""Model files as the server names them: where they would lie, what their names are cut to, and their hashes."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

ROOT = PurePosixPath("/srv/webui")
WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt")


def stem(name: str) -> str:
    suffix = next((suffix for suffix in WEIGHT_SUFFIXES if name.endswith(suffix)), "")
    return name.removesuffix(suffix)


def hash_of(kind: str, name: str) -> str:
    """SHA-256 of a file that nobody has: the same kind and name have the same on every machine."""
    return hashlib.sha256(f"{kind}:{name}".encode()).hexdigest()
