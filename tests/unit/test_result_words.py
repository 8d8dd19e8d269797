"""Results are counted in words by the kind of their jobs."""

from __future__ import annotations

import pytest

from jobs.lifecycle import EventType
from jobs.reading.event_sentences import event_text
from jobs.templatetags.jobs_display import strong_numbers
from webui.kinds import WorkKind, count_results


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"image": 1}, "1 picture"),
        ({"image": 1234}, "1,234 pictures"),
        ({"i2v": 1}, "1 film"),
        ({"i2v": 3}, "3 films"),
        ({"edit": 2}, "2 edits"),
        ({"i2v": 1, "image": 2}, "2 pictures and 1 film"),
        ({"image": 2, "i2v": 1, "edit": 3}, "2 pictures, 1 film and 3 edits"),
        ({"image": 0, "i2v": 1}, "1 film"),
        ({"i2v": 0}, "0 films"),
        ({}, "0 pictures"),
    ],
)
def test_results_are_called_what_their_jobs_make(counts: dict[str, int], words: str) -> None:
    assert count_results(counts) == words


def test_every_kind_of_work_has_a_word() -> None:
    assert {count_results({kind: 1}) for kind in WorkKind} == {"1 picture", "1 film", "1 edit"}


@pytest.mark.parametrize(
    ("stage", "words"), [("txt2img", "2 pictures"), ("i2v", "2 films"), ("edit", "2 edits")]
)
def test_the_event_of_a_stage_says_what_it_made(stage: str, words: str) -> None:
    data = {"stage": stage, "outputs": ["a", "b"]}
    assert event_text(EventType.STAGE_COMPLETED, data).endswith(f"with {words}.")


def test_numbers_are_set_off() -> None:
    assert strong_numbers("1,234 pictures and 1 film") == (
        "<strong>1,234</strong> pictures and <strong>1</strong> film"
    )
    assert strong_numbers("<b>") == "&lt;b&gt;"
