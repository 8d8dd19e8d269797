"""`manage.py import_pack PATH...`: store packs, and tell what is odd in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import CommandParser

from jobs.cli import EXIT_REFUSED, AnsweringCommand, CommandAnswer, CommandRefused, progress_bar
from jobs.packs.formats import FORMATS
from jobs.submitting import importing
from jobs.submitting.importing import Imported
from jobs.submitting.ordering import find_files


class Command(AnsweringCommand):
    help = (
        "Import prompt packs: .txt files (a .json of the same name beside them comes along) or folders of them. "
        "A readable pack is never refused; what is odd in it is told with line numbers. Importing changed "
        "content again makes a new revision."
    )

    paths = frozenset({"paths"})

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("paths", nargs="+", metavar="PATH", help="a pack's file, or a folder of packs")
        parser.add_argument(
            "--format",
            choices=sorted(FORMATS),
            help="; ".join(f"{name}: {words}" for name, words in FORMATS.items())
            + ". Each prompt becomes a row, with its settings where it has some",
        )
        parser.add_argument(
            "--keep-going",
            action="store_true",
            help="import the readable packs although others are not (exit 1)",
        )

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        found, notes = find_files(options["paths"], options["format"])
        errors = [problem.model_dump(mode="json") for problem in found.problems]
        if errors and not (options["keep_going"] and found.packs):
            raise CommandRefused(errors, {"packs": [], "warnings": []})
        with progress_bar(shown=not options["json"] and len(found.packs) > 20) as bar:
            packs = [
                (pack.source.pack_id, importing.import_pack(pack))
                for pack in bar.track(found.packs, description="importing")
            ]
        answer = _answer(packs, errors, notes)
        for error in errors:
            answer.line(f"NOT IMPORTED: {error['message']}")
        return answer


def _answer(
    packs: list[tuple[str, Imported]], errors: list[dict[str, Any]], notes: Mapping[str, Sequence[str]]
) -> CommandAnswer:
    documents = [_document(name, imported, notes.get(name, ())) for name, imported in packs]
    answer = CommandAnswer(
        {
            "packs": documents,
            "warnings": [warning for document in documents for warning in document["warnings"]],
            "errors": errors,
        },
        exit_code=EXIT_REFUSED if errors else 0,
    )
    answer.table(
        "",
        ("pack", "revision", "rows", "warnings", ""),
        (
            (d["name"], d["revision"], d["rows"], len(d["warnings"]), "new" if d["created"] else "as before")
            for d in documents
        ),
    )
    for document in documents:
        for note in document["not_taken"]:
            answer.line(f"{document['name']}: {note}")
        for warning in document["warnings"]:
            where = f"line {warning['line']}: " if warning["line"] else ""
            answer.line(f"{document['name']}: {where}{warning['message']}")
        for problem in document["problems"]:
            answer.line(f"A submission would be refused: {problem['message']}")
    return answer


def _document(name: str, imported: Imported, notes: Sequence[str]) -> dict[str, Any]:
    return {
        "name": name,
        "title": imported.revision.pack.title,
        "revision": imported.revision.number,
        "sha256": imported.revision.sha256,
        "rows": imported.revision.row_count,
        "created": imported.created,
        "not_taken": list(notes),
        "warnings": [{"pack": name, **warning.model_dump(mode="json")} for warning in imported.warnings],
        "problems": [problem.model_dump(mode="json") for problem in imported.pack.problems],
    }
