"""What a server offers, read from both dialects over real HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.simulator_process import SimulatorProcess
from webui.driver import driver_of
from webui.errors import WebUINotSentError
from webui.work.catalog import Thing
from webui.work.unit import DEFAULT_DRIVER


@pytest.mark.parametrize("dialect", ["a1111", "forge"])
def test_catalog_tells_the_names_that_a_request_takes(tmp_path: Path, dialect: str) -> None:
    words = ("--dialect", dialect, "--checkpoint", "randA", "--vae", "soft.pt")
    with SimulatorProcess(tmp_path, *words) as simulator:
        catalog = driver_of(DEFAULT_DRIVER).connect(simulator.url).catalog()
        samplers = catalog.names(Thing.SAMPLER) or ()
        drawn = simulator.post(sampler_name=samplers[0])
    assert drawn.ok
    assert any(name.startswith("randA") for name in catalog.names(Thing.CHECKPOINT) or ())
    where = Thing.VAE if dialect == "a1111" else Thing.MODULE
    assert "soft.pt" in (catalog.names(where) or ())
    assert "Euler a" in samplers
    assert "Karras" in (catalog.names(Thing.SCHEDULER) or ())
    assert "Lanczos" in (catalog.names(Thing.UPSCALER) or ())


def test_catalog_of_a_server_that_is_gone_raises() -> None:
    with pytest.raises(WebUINotSentError):
        driver_of(DEFAULT_DRIVER).connect("http://127.0.0.1:9").catalog()
