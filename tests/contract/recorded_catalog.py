"""A recorded server as far as it tells of itself: every list of it that was recorded, and 404 for the others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import responses

from tests.contract.recordings import ADDRESS, load_exchange, names
from webui.simulator.documents import recorded

LISTS = (
    "options",
    "sd-models",
    "sd-vae",
    "sd-modules",
    "samplers",
    "schedulers",
    "upscalers",
    "latent-upscale-modes",
    "loras",
    "embeddings",
    "scripts",
    "face-restorers",
)
FOLDERS = {"a1111": "exchanges", "forge": "exchanges-forge"}


def listing_server(dialect: str, changed: Mapping[str, Any]) -> responses.RequestsMock:
    """Answers as the recorded server of this dialect does; `changed` has other answers, a status for an int."""
    mock = responses.RequestsMock(assert_all_requests_are_fired=False)
    for name in LISTS:
        if name not in changed:
            status, answer = _answer(dialect, name)
            mock.add("GET", f"{ADDRESS}/sdapi/v1/{name}", json=answer, status=status)
    for name, answer in changed.items():
        address = ADDRESS + (name if name.startswith("/") else f"/sdapi/v1/{name}")
        if isinstance(answer, int):
            mock.add("GET", address, json={"detail": "Not Found" if answer == 404 else "no"}, status=answer)
        elif isinstance(answer, Exception):
            mock.add("GET", address, body=answer)
        else:
            mock.add("GET", address, json=answer)
    mock.add("GET", re.compile(re.escape(ADDRESS)), json={"detail": "Not Found"}, status=404)
    return mock


def _answer(dialect: str, name: str) -> tuple[int, Any]:
    folder = FOLDERS[dialect]
    if name == "options":
        # The recording keeps some sixty of its settings; the list of all of them is the simulator's.
        rules = recorded(f"{dialect}/options.json")["options"]
        shown = load_exchange("options-get", folder).response
        assert shown is not None
        return 200, {key: rule["default"] for key, rule in rules.items()} | shown.json
    if name not in names(folder):
        return 404, {"detail": "Not Found"}
    response = load_exchange(name, folder).response
    assert response is not None
    return response.status, json.loads(response.body)
