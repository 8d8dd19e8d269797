"""What a server offers, read from both dialects over real HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.simulator_process import SimulatorProcess
from webui.driver import driver_of
from webui.errors import WebUINotSentError
from webui.work.unit import DEFAULT_DRIVER


@pytest.mark.parametrize("dialect", ["a1111", "forge"])
def test_catalog_tells_the_names_that_a_request_takes(tmp_path: Path, dialect: str) -> None:
    words = ("--dialect", dialect, "--checkpoint", "randA", "--vae", "soft.pt")
    with SimulatorProcess(tmp_path, *words) as simulator:
        catalog = driver_of(DEFAULT_DRIVER).connect(simulator.url).catalog()
        drawn = simulator.post(sampler_name=(catalog.samplers or ())[0])
    assert drawn.ok
    assert catalog.checkpoints is not None
    assert any(name.startswith("randA") for name in catalog.checkpoints)
    assert catalog.vaes is not None
    assert "soft.pt" in catalog.vaes
    assert catalog.samplers is not None
    assert "Euler a" in catalog.samplers
    assert catalog.schedulers is not None
    assert "Karras" in catalog.schedulers
    assert catalog.upscalers is not None
    assert "Lanczos" in catalog.upscalers


def test_catalog_of_a_server_that_is_gone_raises() -> None:
    with pytest.raises(WebUINotSentError):
        driver_of(DEFAULT_DRIVER).connect("http://127.0.0.1:9").catalog()
