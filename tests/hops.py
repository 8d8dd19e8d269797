"""How often one traced job goes from file to file: `python -m tests.hops [--against OTHER_CHECKOUT] [--json]`.

A hop is a call into another file of the product than that of the nearest product frame below it; a thread goes on from
the frame that started it. The real simulator answers the first POST of the second job 500. The script stands alone, so
that any checkout's interpreter can run it, and finds what it calls by name.

With `--against OTHER_CHECKOUT --times N` it times N jobs here and there instead, one here, one there, so that whatever
else happens to the machine meets both: the submission of one job, its claim, and our time from the claim to the end
without the WebUI's answer, each in ms by the clock and of the processor. The processor's time is that of the whole
process, and tells two versions apart on a machine that others use, too.
"""

import argparse
import http.client
import importlib
import io
import json
import math
import os
import re
import runpy
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from itertools import groupby, pairwise, product
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit, urlunsplit

import django
from django.apps import apps
from django.core.management import call_command
from django.db import connection

HERE = Path(__file__).resolve().parents[1]
APPS = ("stablenew_site", "diagnostics", "jobs", "webui")
NOT_THE_WAY = {"simulator", "migrations"}
#: What is called here, by every name that it has had: whoever renames one of them adds the new name.
NAMES = {"claim": "claim_next", "owner": "ProcessIdentity", "run": "Run", "keeper": "Keeper"}
#: Of the POSTs of four jobs: the second and the fourth fail once. What a process does once, the first two do untraced.
FAULT = "500@2,5"
PATIENCE_S = 120.0
#: Of timed jobs: the pause before each, and how many do first what a process does once.
PAUSE_S, WARM = 0.15, 10
#: What is timed of each job, by the clock and of the processor.
PARTS = ("submission", "claim", "job")
#: A product frame on a stack: its id, how many hops were made before it was entered, and its file:function.
Entered = tuple[int, int, str]
#: Caller and callee as file:function, from which file to which, and a key that sorts what a thread does to its start.
Hop = tuple[str, str, str, tuple[float, int]]


def file_of(place: str) -> str:
    return place.partition(":")[0]


class Trace:
    """The hops of one run, in this thread and in those that it starts."""

    def __init__(self, root: Path) -> None:
        self.hops: list[Hop] = []
        self.post: list[Entered] = []
        self.accepted: tuple[int, list[Entered]] | None = None
        self._root = f"{root}/"
        self._places: dict[CodeType, str] = {}
        self._entered: dict[int, int] = {}
        self._thread = threading.local()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Time stands still meanwhile: neither how long something took nor how often somebody looked may count."""
        start, wait = threading.Thread.start, threading.Condition.wait
        listens = partial(hasattr, self._thread, "below")
        put, clock, now_s = http.client.HTTPConnection.putrequest, time.monotonic, time.monotonic()

        def started(thread: threading.Thread) -> None:
            if listens():
                vars(thread)["run"] = partial(self._listen, thread.run, len(self.hops), self.stack())
            start(thread)

        def waited(condition: threading.Condition, timeout: float | None = None) -> bool:
            return wait(condition, PATIENCE_S if timeout is not None and listens() else timeout)

        def sent(to: http.client.HTTPConnection, method: str, url: str, *more: Any, **named: Any) -> None:
            if listens() and url.endswith("/txt2img"):
                self.post = self.post or self.stack()
            put(to, method, url, *more, **named)

        def executed(execute: Callable[..., Any], sql: str, *more: Any) -> Any:
            if self.accepted is None and sql.startswith('INSERT INTO "jobs_outputimage"'):
                self.accepted = (len(self.hops), self.stack())
            return execute(sql, *more)

        with (
            patch.object(threading.Thread, "start", started),
            patch.object(threading.Condition, "wait", waited),
            patch.object(time, "monotonic", lambda: now_s if listens() else clock()),
            patch.object(http.client.HTTPConnection, "putrequest", sent),
            connection.execute_wrapper(executed),
        ):
            self._listen(lambda: None, None, [])
            yield
            sys.setprofile(None)

    def _listen(self, then: Callable[[], object], since: int | None, below: list[Entered]) -> None:
        """From here on in this thread, which was `since` so many hops started by the last of `below`."""
        self._thread.since, self._thread.below = since, below
        sys.setprofile(self._event)
        then()

    def stack(self) -> list[Entered]:
        """The product's frames from the outermost to the caller's, across the threads that led here."""
        own = [(id(f), self._entered.get(id(f), -1), place) for f, place in self._up(sys._getframe(1))]
        return [*self._thread.below, *own[::-1]]

    def way_to_acceptance(self) -> list[Hop]:
        """From the call that leads to the first POST until the row of the picture is written."""
        assert self.accepted is not None
        until, stack = self.accepted
        shared = sum(one == other for one, other in zip(self.post, stack, strict=False))
        return sorted(self.hops[self.post[shared][1] : until], key=lambda hop: hop[3])

    def _event(self, frame: FrameType, event: str, arg: object) -> None:
        place = self._place(frame.f_code) if event == "call" else ""
        if not place:
            return
        number = self._entered[id(frame)] = len(self.hops)
        outside = self._thread.below[-1][2] if self._thread.below else "(outside)"
        caller = next((place for _, place in self._up(frame.f_back)), outside)
        if file_of(caller) != file_of(place):
            since = number if self._thread.since is None else self._thread.since - 0.5
            self.hops.append((caller, place, f"{file_of(caller)} -> {file_of(place)}", (since, number)))

    def _up(self, frame: FrameType | None) -> Iterator[tuple[FrameType, str]]:
        while frame is not None:
            if place := self._place(frame.f_code):
                yield frame, place
            frame = frame.f_back

    def _place(self, code: CodeType) -> str:
        if code not in self._places:
            path = code.co_filename.removeprefix(self._root)
            ours = path.startswith(APPS) and not NOT_THE_WAY.intersection(Path(path).parts)
            self._places[code] = f"{path}:{code.co_qualname}" if ours and code.co_name != "<module>" else ""
        return self._places[code]


@contextmanager
def working_node(
    folder: Path, *simulated: str
) -> Iterator[tuple[Callable[..., Any], Callable[[], Any], Any]]:
    """A ready node of the checkout that is the working folder: what submits there and claims, and Run."""
    root = Path.cwd()
    sys.path.insert(0, str(root))
    django.setup()
    call_command("migrate", verbosity=0)
    # From beside this script: another checkout may not have it.
    port = runpy.run_path(str(Path(__file__).with_name("free_ports.py")))["free_port"]()
    command = [sys.executable, "-m", "webui.simulator", "--port", port, "--any-name", *simulated]
    words = shlex.join(map(str, [*command, "--journal", folder / "journal.jsonl"]))
    quiet = {"stdout": io.StringIO()}
    call_command("node", "add", "sim", f"http://127.0.0.1:{port}", command=words, folder=str(root), **quiet)
    node = apps.get_model("webui", "Node").objects.get()
    runner = apps.get_model("jobs", "Runner").objects.create(node=node)
    claim, owner, run, keeper = (named(root, what) for what in ("claim", "owner", "run", "keeper"))
    pack = folder / "one.txt"
    pack.write_text("a castle at dusk\nneg: fog\n", encoding="utf-8")
    ready = threading.Event()
    kept = keeper(node.pk, on_ready=ready.set)
    kept.start()
    try:
        assert ready.wait(PATIENCE_S), "the simulator did not become ready"
        submit = partial(call_command, "submit_pack", str(pack), **quiet)
        yield submit, lambda: claim(runner.pk, owner.of_self()), run
    finally:
        kept.stop(stop_webui=True, deadline_s=PATIENCE_S)


def trace(folder: Path) -> dict[str, Any]:
    """Both ways; runs in a process of its own."""
    found = {}
    with working_node(folder, "--fault", FAULT) as (submit, claim, run):
        jobs = apps.get_model("jobs", "Job").objects
        for listens, way in product((False, True), ("record", "failure")):
            submit()
            claimed, traced = claim(), Trace(Path.cwd())
            with traced.listening() if listens else nullcontext():
                run(claimed).execute()
            ended = jobs.values_list("status", "retry_count").latest("id")
            assert ended == ("COMPLETED", int(way == "failure")), f"{way}: {ended}"
            if listens:
                found[way] = document(traced)
    return found


def time_jobs(folder: Path, count: int) -> None:
    """For each line on stdin one of `count` jobs; the ms of its parts, a line each; runs in a process of its own."""
    at: dict[str, float] = {}
    put, get = http.client.HTTPConnection.putrequest, http.client.HTTPConnection.getresponse

    def sent(to: http.client.HTTPConnection, method: str, url: str, *more: Any, **named: Any) -> None:
        vars(to)["posts"] = url.endswith("/txt2img")
        if url.endswith("/txt2img"):
            at["sent"] = time.perf_counter()
        put(to, method, url, *more, **named)

    def answered(by: http.client.HTTPConnection) -> http.client.HTTPResponse:
        answer = get(by)
        if vars(by).get("posts"):
            at["answered"] = time.perf_counter()
        return answer

    with (
        working_node(folder) as (submit, claim, run),
        patch.object(http.client.HTTPConnection, "putrequest", sent),
        patch.object(http.client.HTTPConnection, "getresponse", answered),
    ):
        # More jobs wait than are timed, as on a night: a run sends the next wake-up.
        submit(repeat=count)
        print("ready", flush=True)
        for _ in sys.stdin:
            times = [clocks()]
            submit()
            times.append(clocks())
            claimed = claim()
            times.append(clocks())
            run(claimed).execute()
            submission, claiming, running = (
                [(after - before) * 1000 for before, after in zip(*pair, strict=True)]
                for pair in pairwise([*times, clocks()])
            )
            answer_ms = (at["answered"] - at["sent"]) * 1000
            job = [claiming[0] + running[0] - answer_ms, claiming[1] + running[1]]
            told = dict(zip(PARTS, (submission, claiming, job), strict=True))
            print(json.dumps(told), flush=True)


def clocks() -> tuple[float, float]:
    """Seconds by the clock, and of the processor by all threads of this process."""
    return time.perf_counter(), time.process_time()


def named(root: Path, what: str) -> Any:
    """The class or function of that name, wherever the product defines it."""
    rule = re.compile(rf"^(?:class|def) ({NAMES[what]})\b", re.MULTILINE)
    for path in sorted(path.relative_to(root) for app in APPS for path in (root / app).rglob("*.py")):
        defined = rule.search((root / path).read_text(encoding="utf-8"))
        if defined and not NOT_THE_WAY.intersection(path.parts):
            return getattr(importlib.import_module(".".join(path.with_suffix("").parts)), defined[1])
    raise SystemExit(f"Nothing is called {NAMES[what]} here; add its new name to NAMES, after a |.")


def document(trace: Trace) -> dict[str, Any]:
    """Hops count once each: how often they are repeated depends on how long a restart takes."""
    way = [list(same) for _, same in groupby(trace.way_to_acceptance(), lambda hop: hop[2])]
    stack = [place for _, _, place in trace.post]
    counts = {
        "hops": len({hop[:2] for hop in trace.hops}),
        "hops with repetitions": len(trace.hops),
        "files entered": len({file_of(hop[1]) for hop in trace.hops}),
        "changes of file on the stack of the POST": len(list(groupby(stack, file_of))) - 1,
    }
    lists = {
        "stack of the POST": stack,
        "from the start of its unit to the picture accepted": [
            " -> ".join(same[0][:2]) + (f"  x{len(same)}" if same[1:] else "") for same in way
        ],
        "all hops, by their first time": list(
            dict.fromkeys(" -> ".join(hop[:2]) for hop in sorted(trace.hops, key=lambda hop: hop[3]))
        ),
    }
    return {"counts": counts, "lists": lists}


@contextmanager
def database_on(server: str) -> Iterator[str]:
    """The address of a database of its own on that PostgreSQL server; "" is SQLite in the folder."""
    if not server:
        yield ""
        return
    import psycopg  # only where PostgreSQL is used

    name = f"hops_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as asked:
        asked.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            asked.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def began_in(checkout: Path, folder: str, *what: str, database: str = "") -> subprocess.Popen[str]:
    """This script under that checkout's own interpreter, with a folder of its own."""
    env = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "stablenew_site.settings"}
    env |= {"STABLENEW_DATA_DIR": folder, "STABLENEW_SETTLE_S": "0.05", "STABLENEW_LOG_LEVEL": "ERROR"}
    env |= {"DATABASE_URL": database} if database else {}
    command = [str(checkout / ".venv/bin/python"), "-P", __file__, what[0], folder, *what[1:]]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=checkout, env=env, stdin=pipe, stdout=pipe, text=True)


def traced_in(checkout: Path) -> dict[str, Any]:
    """What that checkout's own interpreter finds there."""
    with (
        tempfile.TemporaryDirectory(prefix="hops-") as folder,
        began_in(checkout, folder, "--trace") as tracing,
    ):
        told = tracing.communicate()[0]
    if tracing.returncode:
        raise SystemExit(
            f"The tracing process of {checkout} ended with {tracing.returncode}; see its lines above."
        )
    return dict(json.loads(told))


Timed = Mapping[str, tuple[float, float]]


def timed_in_turns(checkouts: Sequence[Path], count: int, server: str = "") -> list[list[Timed]]:
    """The ms of `count` jobs in each checkout, in an order that turns round, with a pause before each.

    The pause is that of a drawn picture: a worker that waited that long finds the caches cold.
    """
    with ExitStack() as stack:
        workers = []
        for checkout in checkouts:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hops-"))
            database = stack.enter_context(database_on(server))
            began = began_in(checkout, folder, "--time", str(count + WARM), database=database)
            workers.append(stack.enter_context(began))
        for worker in workers:
            line_of(worker)  # it says that it is ready
        told: list[list[Timed]] = [[] for _ in workers]
        turn = list(zip(workers, told, strict=True))
        for _ in range(count + WARM):
            for worker, times in turn:
                time.sleep(PAUSE_S)
                print("next", file=worker.stdin, flush=True)
                times.append(json.loads(line_of(worker)))
            turn.reverse()
        for worker in workers:
            worker.communicate()  # it ends when it is asked for no more
    return [times[WARM:] for times in told]


def line_of(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        raise SystemExit(f"The timing process {worker.args!r} has ended; see its lines above.")
    return line


def compared(here: Sequence[float], there: Sequence[float]) -> dict[str, float]:
    """Medians in ms, their ratio, and how much more a job takes here, pair by pair."""
    more = [one - other for one, other in zip(here, there, strict=True)]
    one, other = statistics.median(here), statistics.median(there)
    return {
        "pairs": len(more),
        "here_ms": one,
        "there_ms": other,
        "ratio": one / other,
        "more_median_ms": statistics.median(more),
        "more_mean_ms": statistics.fmean(more),
        "error_of_mean_ms": statistics.stdev(more) / math.sqrt(len(more)),
    }


def calibration_s() -> float:
    """What this machine takes for known work: 5,000,000 squares."""
    began_s = time.process_time()
    sum(number * number for number in range(5_000_000))
    return time.process_time() - began_s


def times_compared(here: Sequence[Timed], there: Sequence[Timed]) -> dict[str, dict[str, float]]:
    """Each part of a job, by the clock and of the processor."""
    return {
        f"{part}, {clock}": compared([one[part][place] for one in here], [one[part][place] for one in there])
        for part, (place, clock) in product(PARTS, enumerate(("clock", "processor")))
    }


def tell_times(against: Path, count: int, server: str, *, as_json: bool) -> None:
    squares_s = calibration_s()
    found = times_compared(*timed_in_turns((HERE, against), count, server))
    if as_json:
        print(json.dumps({"squares_s": squares_s, "times": found}))
        return
    print(f"5,000,000 squares: {squares_s:.3f} s of the processor")
    for what, told in found.items():
        print(f"{what}: " + ", ".join(f"{name} {value:.4g}" for name, value in told.items()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hops", description=__doc__)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="count there, too, and compare")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.add_argument(
        "--times", type=int, metavar="N", help="with --against: time N jobs here and there in turns"
    )
    parser.add_argument(
        "--database", default="", metavar="URL", help="with --times: a PostgreSQL server (default: SQLite)"
    )
    given = parser.parse_args()
    if given.times is not None:
        if given.against is None or given.times < 2:
            parser.error("--times N, at least 2, needs --against CHECKOUT.")
        tell_times(given.against.resolve(), given.times, given.database, as_json=given.json)
        return
    found = {str(at): traced_in(at.resolve()) for at in (HERE, given.against) if at}
    if given.json:
        print(json.dumps(found, indent=2))
        return
    for checkout, ways in found.items():
        for way, told in ways.items():
            print(f"\n=== the way of one {way} in {checkout}")
            print(*(f"{what}: {count}" for what, count in told["counts"].items()), sep="\n")
            for what, lines in told["lists"].items():
                print(f"{what} ({len(lines)}):", *lines, sep="\n  ")
    if given.against:
        print("\n=== here, there, ratio")
        here, there = found.values()
        for way, what in product(here, here["record"]["counts"]):
            one, other = (ways[way]["counts"][what] for ways in (here, there))
            print(f"{one:5} {other:5}  {one / other:.2f}  {way}: {what}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--trace"]:
        print(json.dumps(trace(Path(sys.argv[2]))))
    elif sys.argv[1:2] == ["--time"]:
        time_jobs(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
