"""What all commands share: one JSON document or readable text, plain refusals, and exit codes.

Exit codes: 0 done, 1 refused (nothing changed, or only what the words say), 2 bad arguments,
3 jobs that were waited for did not all complete.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.core.management.base import BaseCommand, CommandError, CommandParser, SystemCheckError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.utils import Error

from jobs.errors import JobsError, RefusedError
from jobs.models import QueueControl
from webui.checks import SETTINGS
from webui.models import Node
from webui.typed_command import typed

if TYPE_CHECKING:
    from rich.progress import Progress

EXIT_REFUSED = 1
EXIT_BAD_ARGUMENTS = 2
EXIT_NOT_ALL_COMPLETED = 3
#: What databases say of a table or column that a migration has still to make.
UNPREPARED = ("no such table", "no such column", "has no column named", "does not exist")
#: Columns of a table that goes into a file or a pipe.
PIPE_WIDTH = 160
#: Words with such an end are paths also without a slash.
PATH_SUFFIXES = (".txt", ".json", ".csv", ".jsonl")
#: The largest number that a database holds.
MAX_NUMBER = 2**63 - 1


class CommandRefused(JobsError):  # noqa: N818 - it is an answer, not a fault
    """The command refuses. `errors` has one entry per reason; `document` goes beside them in the JSON."""

    exit_code: ClassVar[int] = EXIT_REFUSED

    def __init__(
        self, errors: Sequence[Mapping[str, Any]], document: Mapping[str, Any] | None = None
    ) -> None:
        self.errors = list(errors)
        self.document = dict(document or {})
        super().__init__("\n".join(str(error["message"]) for error in errors))

    @classmethod
    def saying(cls, message: str, code: str = "refused") -> Self:
        return cls([{"code": code, "message": message}])


class ArgumentsRefused(CommandRefused):
    """Arguments that are each right but do not go together."""

    exit_code = EXIT_BAD_ARGUMENTS


@dataclass(frozen=True, slots=True)
class _Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class CommandAnswer:
    """What a command has to say: `document` for --json, the text for people, the exit code."""

    def __init__(self, document: Mapping[str, Any], *, exit_code: int = 0) -> None:
        self.document = dict(document)
        self.exit_code = exit_code
        self._parts: list[str | _Table] = []

    def line(self, text: str) -> CommandAnswer:
        self._parts.append(text)
        return self

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> CommandAnswer:
        cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
        self._parts.append(_Table(title, columns, cells))
        return self

    def text(self, *, terminal: bool) -> str:
        # Its import takes a tenth of a command, which one document as JSON does not need.
        from rich import box
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        buffer = io.StringIO()
        console = Console(
            file=buffer,
            force_terminal=terminal,
            width=None if terminal else PIPE_WIDTH,
            highlight=False,
            soft_wrap=not terminal,
        )
        for part in self._parts:
            if isinstance(part, str):
                console.print(escape(part))
                continue
            table = Table(
                title=escape(part.title) if part.title else None, title_justify="left", box=box.SIMPLE_HEAD
            )
            for column in part.columns:
                table.add_column(column)
            for row in part.rows:
                table.add_row(*map(escape, row))
            console.print(table)
        return buffer.getvalue()


class AnsweringCommand(BaseCommand):
    """A command that has one answer: as text, or with --json as one document and nothing else."""

    requires_system_checks: tuple[str, ...] = (SETTINGS,)
    paths: ClassVar[frozenset[str]] = frozenset()
    """Options that take paths: the bytes of a path need not be text, those of all other words must."""

    def add_arguments(self, parser: CommandParser) -> None:
        # Suppressed default: a verb's own parser must not undo a --json that stands before the verb.
        parser.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,
            help="print one JSON document on standard output and nothing else",
        )

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        """Do the work. Raise `CommandRefused` or any `JobsError` to refuse."""
        raise NotImplementedError

    def run_from_argv(self, argv: list[str]) -> None:
        if "--json" in argv:
            self._refuse_bad_arguments_as_json(argv)
        super().run_from_argv(argv)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except SystemCheckError as exc:
            if options.get("json"):
                self._print_json({"errors": [{"code": "settings", "message": str(exc)}]})
            raise

    def _refuse_bad_arguments_as_json(self, argv: list[str]) -> None:
        parser = self.create_parser(argv[0], argv[1])
        try:
            # Away from the command line a parser raises what it would otherwise print before it exits.
            parser.parse_args(argv[2:])
        except CommandError as exc:
            message = str(exc).removeprefix("Error: ")
            self.stderr.write(f"{parser.format_usage()}{message}")
            self._print_json({"errors": [{"code": "arguments", "message": message}]})
            raise SystemExit(EXIT_BAD_ARGUMENTS) from exc

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = bool(options.setdefault("json", False))
        try:
            self._refuse_what_is_no_text(options)
            answer = self.answer(options)
        except CommandRefused as exc:
            self._refuse(exc, as_json=as_json)
        except (JobsError, Error, QueueControl.DoesNotExist) as exc:
            self._refuse(CommandRefused(_errors_of(exc)), as_json=as_json)
        else:
            if as_json:
                self._print_json(answer.document)
            else:
                text = answer.text(terminal=self.stdout.isatty())
                self.stdout.write(printable(text, self.stdout), ending="")
            if answer.exit_code:
                raise SystemExit(answer.exit_code)

    def _refuse_what_is_no_text(self, options: Mapping[str, Any]) -> None:
        for name, value in options.items():
            for word in _words(value):
                is_path = name in self.paths and ("/" in word or word.lower().endswith(PATH_SUFFIXES))
                if not is_path and not is_text(word):
                    refused = [{"code": "arguments", "message": no_text_sentence(word)}]
                    raise ArgumentsRefused(refused)

    def _refuse(self, refusal: CommandRefused, *, as_json: bool) -> None:
        if as_json:
            self._print_json({**refusal.document, "errors": refusal.errors})
        for error in refusal.errors if not as_json else ():
            self.stderr.write(self.style.ERROR(printable(str(error["message"]), self.stderr)))
        raise SystemExit(refusal.exit_code)

    def _print_json(self, document: Mapping[str, Any]) -> None:
        text = json.dumps(document, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)
        # Of a character that the stream cannot carry JSON has an escape of its own.
        if not is_text(text, self.stdout):
            text = json.dumps(document, cls=DjangoJSONEncoder, indent=2)
        self.stdout.write(text)


def node_named(name: str) -> Node:
    """Raises `CommandRefused`, with the names that there are."""
    node = Node.objects.filter(name=name).first()
    if node is None:
        known = ", ".join(Node.objects.values_list("name", flat=True)) or "none yet; `node add` makes one"
        raise CommandRefused.saying(f"There is no node {name!r}. Known: {known}.", "unknown_node")
    return node


def _words(value: object) -> Iterator[str]:
    """Every text in an option's value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _words(item)


def is_text(text: str, stream: object = None) -> bool:
    """Whether a stream (or else UTF-8) can carry this; bytes on a command line may be no text at all."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str, stream: object) -> str:
    """The same with escapes for what the stream cannot carry, like the bytes of a path that are no UTF-8."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def no_text_sentence(word: str) -> str:
    return f"{word!r} is no text: its bytes are not UTF-8. Type it in UTF-8, or copy it from a page."


def text_argument(word: str) -> str:
    """An argument that is text. Raises what a parser tells its user."""
    if not is_text(word):
        raise argparse.ArgumentTypeError(no_text_sentence(word))
    return word


def _errors_of(error: JobsError | Error | QueueControl.DoesNotExist) -> list[dict[str, Any]]:
    if isinstance(error, RefusedError):
        return [problem.model_dump(mode="json") for problem in error.problems]
    if isinstance(error, Error | QueueControl.DoesNotExist):
        return [{"code": "database", "message": database_sentence(error)}]
    return [{"code": error.code, "message": str(error)}]


def database_sentence(error: Exception) -> str:
    """A database error, or that a row is missing which every database has, as what happened and what to do."""
    words = " ".join(str(error).split())
    if isinstance(error, QueueControl.DoesNotExist) or any(part in words for part in UNPREPARED):
        return (
            f"The database is not prepared yet, or it is being upgraded just now. Run `{typed('up')}`, or "
            f"`{typed('migrate')}`; if one of them runs already, wait until it is done and try again."
        )
    if "readonly" in words:
        return "The database file cannot be written. Make the data folder writable for this user."
    return f"The database cannot be used ({words}). `{typed('doctor')}` says more."


def progress_bar(*, shown: bool) -> Progress:
    """A bar on standard error; nothing at all where that is no terminal or `shown` is False."""
    # As above: only what waits has a bar.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not (shown and console.is_terminal),
    )


def positive_number(text: str) -> int:
    """An argument of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= MAX_NUMBER:
        shown = text if len(text) <= 40 else f"{text[:39]}…"
        raise argparse.ArgumentTypeError(f"{shown!r} is not a whole number of at least 1")
    return value


def who() -> str:
    """The name that events carry for an act on the command line."""
    import getpass

    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):
        return "command line"
