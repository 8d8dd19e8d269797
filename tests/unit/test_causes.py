"""The catalogue of causes says what docs/errors.md says."""

from __future__ import annotations

from diagnostics.failures.error_texts import cause_of, known_causes
from tests.unit.test_docs import quoted, read, table_rows
from webui.errors import WebUIHangError
from webui.kinds import WorkKind
from webui.words import ServerNoun
from webui.worker_words import OF_WORKER

HEADINGS = (
    "## The request is wrong",
    "## Not just now",
    "## The WebUI failed",
    "## The checkpoint fails",
    "## The WebUI gave no answer",
    "## Another program answers",
    "## Something in front answers",
    "## The answer cannot be used",
    "## Any other error of the WebUI",
    "## On our side",
)


def test_every_documented_code_is_told_in_the_words_of_the_docs() -> None:
    rows = [row for heading in HEADINGS for row in table_rows(read("docs/errors.md"), heading)]
    said = {quoted(code)[0]: (what, remedy.replace("`", "")) for code, what, remedy in rows}
    told = {cause.code: (cause.what, cause.remedy) for cause in known_causes(ServerNoun.WEBUI).values()}
    assert told == said


def test_a_film_s_cause_is_told_in_the_words_of_its_worker() -> None:
    told = OF_WORKER["WEBUI_HANG"]
    for kind in (WorkKind.I2V, WorkKind.EDIT):
        cause = cause_of("WEBUI_HANG", kind)
        assert (cause.what, cause.remedy) == (told.what, told.remedy)
    assert cause_of("WEBUI_HANG", WorkKind.IMAGE).what == WebUIHangError.sentence()


def test_a_code_of_another_time_is_told_by_one_of_its_failures() -> None:
    told = cause_of("WEBUI_FORGOTTEN", WorkKind.IMAGE, told="The WebUI sang.", remedy="Listen.")
    assert (told.what, told.remedy) == ("The WebUI sang.", "Listen.")
    assert cause_of("", WorkKind.I2V).what
