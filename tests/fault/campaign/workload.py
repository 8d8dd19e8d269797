"""The long queue: short jobs of one stage, and jobs of four stages with two pictures; topped up while faults strike."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.fault.campaign.installation import POISON, ConsoleError, Installation

#: The queue is filled up to so many waiting jobs.
WAITING = 12
CHECKPOINT = "simulated-v1"
SHORT: dict[str, Any] = {
    "preset_data": {"txt2img": {"steps": 12, "width": 64, "height": 64, "model": CHECKPOINT}}
}
STAGES = ("txt2img", "img2img", "adetailer", "upscale")
LONG: dict[str, Any] = {
    "preset_data": {
        "txt2img": {"steps": 6, "width": 64, "height": 64, "model": CHECKPOINT},
        "img2img": {"steps": 6, "denoising_strength": 0.5},
        "adetailer": {"adetailer_model": "face_yolov8n.pt", "ad_steps": 4},
        "upscale": {"upscaler": "Lanczos", "upscaling_resize": 2},
        "pipeline": {"images_per_prompt": 2, **{f"{stage}_enabled": True for stage in STAGES}},
    }
}
PLACES = ("harbour", "castle", "lighthouse", "meadow", "bridge", "market")


class Workload:
    """Keeps the queue filled; remembers what it submitted."""

    def __init__(self, installation: Installation, rng: random.Random) -> None:
        self._installation = installation
        self._rng = rng
        self._packs = 0
        self.submitted: set[int] = set()
        self.poisoned: set[int] = set()

    def fill(self) -> None:
        """Up to `WAITING` jobs wait afterwards; a refusal of the database is left for the next look."""
        [(waiting,)] = self._installation.rows("SELECT queued FROM jobs_queuecontrol")
        while waiting < WAITING:
            waiting += len(self._submit(self._rows(3), self._rng.choice((SHORT, SHORT, LONG))))

    def poison(self) -> list[int]:
        """One job whose prompt ends the WebUI each time it is rendered."""
        ids = self._submit([f"a {POISON} tower\nneg: fog"], SHORT)
        self.poisoned.update(ids)
        return ids

    def _rows(self, count: int) -> list[str]:
        return [
            f"a {self._rng.choice(PLACES)} at dusk, number {self._packs} {row}\nneg: fog"
            for row in range(count)
        ]

    def _submit(self, rows: list[str], document: dict[str, Any]) -> list[int]:
        self._packs += 1
        ids: list[int] = self._installation.act(
            "submit",
            name=f"pack-{self._packs % 20}",
            text="\n\n".join(rows) + "\n",
            document=json.dumps(document),
            build_seed=self._packs,
        )
        if not ids:
            raise ConsoleError("nothing was queued")
        self.submitted.update(ids)
        return ids
