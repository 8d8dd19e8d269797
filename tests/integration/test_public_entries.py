"""What the product offers to scripts and does not use itself: the names of the older program do what they say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.free_ports import free_port
from tests.keepers import KeeperStand
from webui.keeper.readiness import check_api_ready
from webui.nodes.wishes import restart_webui

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand(tmp_path: Path, settings: Settings) -> Iterator[KeeperStand]:
    with KeeperStand(tmp_path, settings) as stand:
        yield stand


def test_webui_is_restarted_and_asked_whether_it_is_ready(stand: KeeperStand) -> None:
    node = stand.simulator()
    stand.start_until_ready(node)
    assert check_api_ready(node.base_url, settle_s=0.0)
    assert restart_webui(node.pk) == 2
    assert check_api_ready(node.base_url, settle_s=0.0)


def test_where_nobody_listens_no_webui_is_ready() -> None:
    seconds = itertools.count()
    address = f"http://127.0.0.1:{free_port()}"
    assert not check_api_ready(address, clock=lambda: float(next(seconds)), sleep=lambda _: None)
