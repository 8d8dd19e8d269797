"""What is asked in the runs of truth: the table is complete, and the same seed asks for the same."""

from pathlib import Path
from random import Random

from tests.truth.installation import CHECKPOINTS, DIALECTS
from tests.truth.lies import LIES, Expected, Lie
from tests.truth.orders import Chance
from webui.drivers.a1111.driver import DRIVER
from webui.simulator.faults import LYING
from webui.work.catalog import Catalog, Entry, Thing
from webui.work.unit import Work

CATALOG = Catalog(
    lists={
        Thing.SAMPLER: (Entry("Euler"), Entry("DPM++ 2M")),
        Thing.SCHEDULER: (Entry("Karras"), Entry("Uniform")),
        Thing.CHECKPOINT: tuple(Entry(name) for name in CHECKPOINTS),
        Thing.VAE: (Entry("soft.pt"),),
    }
)


def works(seed: int, count: int, picture: bytes) -> list[Work]:
    chance = Chance(Random(seed), CATALOG)
    chance.keep([picture])
    return [chance.work() for _ in range(count)]


def test_same_seed_asks_for_the_same_and_every_order_makes_a_request(picture: bytes) -> None:
    first = works(3, 200, picture)
    assert first == works(3, 200, picture)
    assert first != works(4, 200, picture)
    bodies = [DRIVER.request(work).body for work in first]
    sampled = [str(body) for body in bodies if "steps" in body]
    assert len(sampled) > 100
    assert len(set(sampled)) == len(sampled)
    assert {work.stage for work in first} == {"txt2img", "img2img", "adetailer", "upscale"}


def test_first_honest_work_needs_no_picture() -> None:
    assert Chance(Random(1), CATALOG).work().stage == "txt2img"


def test_only_the_newest_pictures_are_kept() -> None:
    chance = Chance(Random(1), CATALOG, most_pictures=2)
    chance.keep([b"a", b"b"])
    chance.keep([b"c"])
    assert chance.pictures == [b"b", b"c"]


def test_every_lie_has_a_name_of_its_own_and_fields_unless_nothing_comes() -> None:
    assert len({lie.name for lie in LIES}) == len(LIES)
    for lie in LIES:
        assert lie.fields or all(lie.expected_on(dialect) is Expected.REFUSED for dialect in DIALECTS)
    assert set(LYING) <= {lie.rule for lie in LIES}


def test_document_lists_every_lie_of_the_table() -> None:
    document = (Path(__file__).parents[2] / "docs/truth.md").read_text(encoding="utf-8")
    section = document.split("## Lies and honest results", 1)[1]
    table = section[section.index("| lie |") :].split("\n\n", 1)[0]
    rows = [line.split(" | ") for line in table.splitlines()[2:]]
    assert [row[0].removeprefix("| ") for row in rows] == [lie.name for lie in _in_order()]
    assert not [row for row in rows if "missed" in " ".join(row)]


def _in_order() -> list[Lie]:
    """As the table has them: those of the first dialect, then what the others have besides."""
    return sorted(LIES, key=lambda lie: "a1111" not in lie.dialects)
