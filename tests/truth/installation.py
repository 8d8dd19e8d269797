"""The simulators of a run, and what is installed on them: one of each dialect, with the same things."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import requests

from tests.contract.simulator_process import SimulatorProcess
from webui.driver import Driver, Server
from webui.drivers.a1111.driver import DRIVER
from webui.work.catalog import Catalog

DIALECTS: Final = ("a1111", "forge")
CHECKPOINTS: Final = ("photoReal_v6", "inkwash-XL", "refinerB")
LORAS: Final = ("detail_tweaker", "film-grain", "neonGlow")
EMBEDDINGS: Final = ("easyneg", "bad_hands_v2")
VAES: Final = ("vae-ft-mse.safetensors", "soft.pt")
UPSCALERS: Final = ("4x-UltraSharp", "ESRGAN_4x")
BARE_UPSCALER: Final = "R-ESRGAN 4x+"
"""Listed by every recorded server, without weights."""
DETECTORS: Final = ("face_yolov8n.pt", "hand_yolov8n.pt")
FACE_RESTORER: Final = "CodeFormer"

_FLAGS: Final = {
    "--checkpoint": CHECKPOINTS,
    "--lora": LORAS,
    "--embedding": EMBEDDINGS,
    "--vae": VAES,
    "--upscaler": UPSCALERS,
    "--detector": DETECTORS,
    "--face-restorer": (FACE_RESTORER,),
}


def arguments(dialect: str) -> list[str]:
    """The simulator's command line."""
    named = [word for flag, names in _FLAGS.items() for name in names for word in (flag, name)]
    return ["--dialect", dialect, *named]


class Installation:
    """One simulator that runs, spoken to by the product's own driver. Use it with `with`."""

    def __init__(self, dialect: str, folder: Path) -> None:
        self.dialect = dialect
        folder.mkdir(parents=True, exist_ok=True)
        self._faults = folder / "faults"
        self._faults.write_text("")
        self.process = SimulatorProcess(folder, *arguments(dialect), "--fault-file", str(self._faults))

    def __enter__(self) -> Self:
        self.process.__enter__()
        self.driver: Driver = DRIVER
        self.server: Server = self.driver.connect(self.process.url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.__exit__(kind, error, trace)

    def catalog(self) -> Catalog:
        """What it says that it has: read anew, as a checkpoint's hash shows only after it was loaded."""
        return self.server.catalog()

    def lie(self, kind: str) -> None:
        """From now on every answer is such a lie; "" for none."""
        fresh = self._faults.with_suffix(".new")
        fresh.write_text(f"{kind}@*\n" if kind else "")
        fresh.replace(self._faults)

    def send_pictures_as(self, samples_format: str) -> None:
        """png, jpg or webp."""
        answer = requests.post(
            f"{self.process.url}/sdapi/v1/options", json={"samples_format": samples_format}, timeout=120
        )
        answer.raise_for_status()


Say = Callable[[str], None]
