"""When a WebUI may be spoken to: alive, then TCP, then a pause, then one careful question, in this order.

An HTTP request within the first moments after the port opened ends a real server. So nothing here sends HTTP
before `settle_s` has passed, and nobody else sends any before the row says READY. What follows from a verdict
is the keeper's.
"""

from __future__ import annotations

import enum
import logging
import socket
import time
from collections.abc import Callable

from django.conf import settings

from webui.driver import driver_of
from webui.http import ports
from webui.nodes.connecting import ASK_TIMEOUTS
from webui.work.told import ApiAnswer, Asked
from webui.work.unit import DEFAULT_DRIVER

logger = logging.getLogger(__name__)

CONNECT_EVERY_S = 0.1
CONNECT_TIMEOUT_S = 1.0
ASK_EVERY_S = 1.0
SETTLE_LIMIT_S = 5.0
STEADY_ANSWERS = 3
"""So many answers in a row without the API, a second apart, are no start that is still under way."""


class Verdict(enum.Enum):
    PENDING = "pending"
    READY = "ready"
    DIED = "died"
    """The process ended before it was ready."""
    WRONG_PASSWORD = "wrong password"  # noqa: S105
    WITHOUT_API = "without api"
    """It was started without its API, and will not have it."""
    CANNOT_WORK = "cannot work"
    """It says that it failed, or that it takes something else."""


class Readiness:
    """One walk through the order, a step at a time; a refused connect begins it again.

    `alive` is asked before everything else; `announced` may end the pause early, but not once the server has
    accepted a connection and then refused one; `ask` sends the question, `without_api` finds out why the API is
    steadily missing ("" if that is not known).
    `reason` says for a person what is waited for; empty before the first try. `unreachable` is why the last connect
    came to nothing.
    """

    def __init__(
        self,
        base_url: str,
        *,
        ask: Callable[[], Asked],
        settle_s: float,
        without_api: Callable[[], str] = lambda: "",
        alive: Callable[[], bool] = lambda: True,
        announced: Callable[[], bool] = lambda: False,
        delay_s: float = 0.0,
        connect: Callable[[str, int, float], OSError | None] = ports.connect_problem,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = base_url
        self.reason = ""
        self.loading = False
        """Its last answer was that it is getting ready; `reason` says how far."""
        self.unreachable: OSError | None = None
        self.answers_without_api = 0
        self._host, self._port = ports.endpoint(base_url)
        self._ask = ask
        self._without_api = without_api
        self._settle_s = min(settle_s, SETTLE_LIMIT_S)
        self._alive = alive
        self._announced = announced
        self._connect_problem = connect
        self._connect_every_s = CONNECT_EVERY_S
        self._ask_every_s = ASK_EVERY_S
        self._clock = clock
        self._connected_at: float | None = None
        self._settled = False
        self._next_at = clock() + delay_s

    @property
    def connected(self) -> bool:
        """Somebody accepts connections at the address."""
        return self._connected_at is not None

    def slow_down(self, every_s: float) -> None:
        """From now on so long between two tries, be they connects or questions."""
        self._connect_every_s = self._ask_every_s = every_s

    def hurry(self) -> None:
        """The next step tries at once; never before the pause after a connect is over."""
        self._next_at = self._clock()

    def step(self) -> Verdict:
        """The next due action, if one is due; never more than one connect or one question."""
        if not self._alive():
            return Verdict.DIED
        if self._clock() < self._next_at:
            return Verdict.PENDING
        if self._connected_at is None:
            self._connect()
            return Verdict.PENDING
        if not self._settled:
            self._settled = self._clock() - self._connected_at >= self._settle_s or self._announced()
            self._next_at = self._clock() + (0 if self._settled else CONNECT_EVERY_S)
            return Verdict.PENDING
        return self._question()

    def _connect(self) -> None:
        problem = self._connect_problem(self._host, self._port, CONNECT_TIMEOUT_S)
        self.unreachable = problem
        if problem is None:
            self._connected_at = self._clock()
            self._next_at = self._connected_at
            self.reason = f"{self.base_url} accepts connections; giving it {self._settle_s:g} s to settle."
            return
        self._next_at = self._clock() + self._connect_every_s
        self.reason = unreachable_sentence(self.base_url, problem)

    def _question(self) -> Verdict:
        asked = self._ask()
        self._next_at = self._clock() + self._ask_every_s
        if asked.answer is ApiAnswer.API:
            self.reason = ""
            return Verdict.READY
        self.reason = asked.reason
        self.loading = asked.answer is ApiAnswer.LOADING
        if asked.answer is ApiAnswer.WRONG_PASSWORD:
            return Verdict.WRONG_PASSWORD
        if asked.answer is ApiAnswer.FAILED:
            return Verdict.CANNOT_WORK
        if asked.answer is ApiAnswer.REFUSED:
            self._connected_at, self._settled = None, False
            self._announced = lambda: False  # said of what refuses now, not of what will listen next
        if asked.answer is not ApiAnswer.NO_API:
            self.answers_without_api = 0
            return Verdict.PENDING
        self.answers_without_api += 1
        if self.answers_without_api >= STEADY_ANSWERS and (why := self._without_api()):
            self.reason = why
            return Verdict.WITHOUT_API
        return Verdict.PENDING


def unreachable_sentence(base_url: str, problem: OSError) -> str:
    """Why no connection came about, and what to do about it."""
    if isinstance(problem, ConnectionRefusedError):
        return f"Nothing listens at {base_url}. Start the server there, or correct the address."
    if isinstance(problem, socket.gaierror):
        return f"The host of {base_url} has no address ({problem.strerror}). Correct the address."
    words = "no answer in time" if isinstance(problem, TimeoutError) else problem.strerror or str(problem)
    return f"{base_url} cannot be reached ({words}). Check that its machine and network are up."


def check_api_ready(
    base_url: str,
    auth: tuple[str, str] | None = None,
    *,
    driver: str = DEFAULT_DRIVER,
    timeout_s: float = 10.0,
    settle_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Walks the whole order against an address that no keeper looks after; False when time is up."""
    settle_s = settings.STABLENEW_SETTLE_S if settle_s is None else settle_s
    server = driver_of(driver).connect(base_url, auth=auth, timeouts=ASK_TIMEOUTS)
    walk = Readiness(base_url, ask=server.ask, settle_s=settle_s, clock=clock)
    deadline = clock() + timeout_s
    while clock() < deadline:
        verdict = walk.step()
        if verdict is not Verdict.PENDING:
            return verdict is Verdict.READY
        sleep(CONNECT_EVERY_S / 2)
    return False
