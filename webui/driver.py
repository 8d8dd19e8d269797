"""The one seam to a kind of server: what a driver answers, and the registry of those that are here.

A driver is a folder of `webui.drivers` whose module `driver` holds `DRIVER`, of the folder's name; everything that is
particular to its kind of server stands in that folder: endpoints, bodies, answers, the words of its log. Keeper,
recovery, runner and pages speak to these protocols alone. Nothing here needs Django. A driver is imported when it is
first asked for: most commands speak to no server.

    driver_of(name).connect(address) -> Server      one server at one address
    driver.request(work)             -> Request     pure: the same work gives the same body
    server.send(request)             -> pictures    one POST that nobody repeats; raises the tree of `webui.errors`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol

from webui.work.catalog import Catalog, Found, Need
from webui.work.testimony import Testimony
from webui.work.timeouts import DEFAULT_TIMEOUTS, Timeouts
from webui.work.told import Asked, ConnectionVerdict, Fate, MemoryUse, PictureFacts, Progress
from webui.work.unit import Request, Work

PORT_PLACEHOLDER = "{port}"
"""A word of a start command that stands for the port of the node's address."""

TOKEN_USER = "token"  # noqa: S105 - what stands in the place of the user where the password is one
"""A token travels as the password of this user; drivers whose servers want one look at the password alone."""


START_LINE_WITHIN_BYTES = 256 * 1024
"""A server that has not said so far that it is up is asked instead; its log may grow without bound."""


def with_port(command: Sequence[str], port: int | None) -> list[str]:
    """A start command with the port in its place; without one the word stays as it is."""
    return [str(port) if port is not None and word == PORT_PLACEHOLDER else word for word in command]


def log_says(stdout_log: Path, line: bytes) -> bool:
    """Whether this stands in the first part of a log. One that cannot be read says nothing."""
    try:
        with open(stdout_log, "rb") as file:
            return line in file.read(START_LINE_WITHIN_BYTES)
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class StartPlan:
    """How a server is started that a configuration file describes; `kind` is what it takes, `card` may be empty."""

    kind: str
    card: str
    command: tuple[str, ...]
    working_directory: str


class Server(Protocol):
    """One server at one address; threads may share it. Everything raises `WebUIError` unless it says otherwise."""

    driver: Driver
    base_url: str
    """May be set: the simulator moves to another port from boot to boot."""
    auth: tuple[str, str] | None
    """May be set, too: each boot of a server that we start has a token of its own."""

    def ask(self) -> Asked:
        """One careful question, judged: is its API there? Never raises."""

    def without_api(self) -> str:
        """For a server that has steadily said that it has no API: why, in a sentence for a person; "" where that is not
        known. Asked never before: the first questions after a start may end a real server. Never raises.
        """

    def send(self, request: Request) -> Sequence[bytes]:
        """One POST that nobody repeats; its pictures, as many as were asked for. What they are is not judged here."""

    def progress(self) -> Progress:
        """Answered at once by a healthy server, whatever it works on."""

    def preview(self) -> bytes | None:
        """The picture that is being made; None where it shows none. Raises ValueError for what is no picture."""

    def is_running(self, task_id: str, *, alone: bool) -> bool:
        """Whether the request that runs now is surely this one. `alone`: nobody else uses the server. Never raises."""

    def interrupt(self) -> None:
        """Ends whatever runs now: ask `is_running` first."""

    def end_leftover(self, task_id: str, *, alone: bool) -> bool:
        """Interrupt a request whose sender is gone, if it is surely ours and runs; True when it runs no more."""

    def fate_of(self, task_id: str) -> Fate:
        """What became of a request that somebody sent before; UNKNOWN where it cannot tell. Never raises."""

    def catalog(self) -> Catalog:
        """What it has, from its own lists. Raises where it does not answer at all; a list that it lacks is left out."""

    def refresh_lists(self) -> None:
        """Have it look at its disk again, so that `catalog` tells what is there now. Waits for the running request."""

    def loaded_checkpoint(self, *, even_if_busy: bool) -> str | None:
        """None where it is busy or does not say. Never raises."""

    def memory(self) -> MemoryUse:
        """What it tells of its machine; parts may be missing. Never raises."""

    def restart(self) -> str:
        """Ask it to start anew; why it will not, in a sentence for a person, "" if it does or is gone. Never raises."""

    def inspect(self) -> ConnectionVerdict:
        """For a person who tests the connection: does it work, and what does it have? Never raises."""


class Driver(Protocol):
    """How one kind of server is started, known and spoken to."""

    name: str
    title: str
    """For people."""
    kinds: Sequence[str]
    """What its servers can take (`webui.kinds`); the first is the usual one."""
    token_variable: str
    """Its servers want a token: a server that we start finds it in this variable of its environment. "" where they
    take a user and a password.
    """
    repeatable: bool
    """A request that is sent again under its id is not executed again: its result is given once more."""

    def dialect_title(self, dialect: str) -> str:
        """What people call a kind of server that a catalog names; says so where none was ever tried for real."""

    def start_words(self, command: Sequence[str], port: int | None) -> list[str]:
        """The words to start it by; `port` is that of its address where it may change from boot to boot."""

    def start_of(self, file: Path, *, port: int, allow_modules: bool = False) -> StartPlan:
        """How to start a server that this configuration file describes, to listen at this port. A file that names
        Python modules is refused unless `allow_modules`. Raises ValueError, whose words say everything that is
        wrong with the file.
        """

    def announces_start(self, stdout_log: Path) -> bool:
        """Its own output says that its start is complete, so that it may be spoken to at once."""

    def connect(
        self,
        base_url: str,
        *,
        auth: tuple[str, str] | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        max_answer_bytes: int | None = None,
    ) -> Server:
        """Nothing is sent yet. Raises ValueError if `base_url` is no http(s) address."""

    def request(self, work: Work) -> Request:
        """What is sent for a unit of work. Pure; raises ValueError for work that this kind of server cannot do."""

    def restore(self, stage: str, endpoint: str, body: Mapping[str, Any]) -> Request:
        """A request that was written down, perhaps elsewhere: proved to be one that this driver could have made, so
        that its server does nothing else than draw. Pure; raises ValueError, whose words say what is wrong with it.
        """

    def find(self, catalog: Catalog, need: Need) -> Found:
        """How a server with this catalog resolves a name. Pure."""

    def picture_facts(self, content: bytes) -> PictureFacts:
        """What an accepted picture says of itself."""

    def testimony(
        self,
        request: Request,
        place: int,
        *,
        told: PictureFacts,
        own: PictureFacts,
        catalog: Catalog | None,
    ) -> tuple[Testimony, ...]:
        """Every setting that the request fixed for the picture at this place of its answer, and what is said of it.

        `told` is what the answer says of that picture, `own` what the picture says of itself. Pure.
        """

    def told_besides(self, request: Request, facts: PictureFacts) -> tuple[tuple[str, str], ...]:
        """Names and values that a picture or its answer tells and nobody asked for. Pure."""


class UnknownDriverError(ValueError):
    """A node names a driver that is not here; the message lists those that are."""


_drivers: dict[str, Callable[[], Driver]] = {}


def register(driver: Driver) -> None:
    """From now on nodes may name it."""
    _drivers[driver.name] = lambda: driver


def register_folders(package: str, folders: Iterable[str]) -> None:
    """Every driver of a package: one folder each, whose module `driver` holds `DRIVER`, of the folder's name."""
    for found in iter_modules(folders):
        if found.ispkg:
            _drivers[found.name] = partial(_imported, f"{package}.{found.name}.driver")


def _imported(module: str) -> Driver:
    driver: Driver = import_module(module).DRIVER
    return driver


def import_drivers() -> None:
    """For who forks or serves: what comes later finds every driver in its memory."""
    for load in _drivers.values():
        load()


def driver_of(name: str) -> Driver:
    """Raises UnknownDriverError."""
    load = _drivers.get(name)
    if load is None:
        known = ", ".join(sorted(_drivers)) or "none"
        raise UnknownDriverError(f"There is no driver {name!r}. These are here: {known}.")
    return load()


def driver_names() -> tuple[str, ...]:
    return tuple(sorted(_drivers))
