"""Rules: which frame of whom, and what becomes of it."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from tests.faults.proxy.frames import ApiName, Request
from tests.faults.proxy.messages import decode_reply

Direction = Literal["request", "reply"]

# pass          carry over; only counted
# delay         carry over ``seconds`` later
# hold          carry over when `Rule.release` is called; whatever is behind it on the connection waits too
# release late  carry over into the next transaction of the same producer, or at `Rule.release`
# drop          lose it, and whatever comes behind it on the connection in this direction: a network gone silent
# cut before    close the connection instead of carrying over
# cut after     carry over, then close the client's connection
# slice         carry over in tiny pieces
# duplicate     carry over twice (a second reply to a second request is swallowed)
# answer        answer a request with ``error_code`` instead of carrying it over
Action = Literal[
    "pass", "delay", "hold", "release late", "drop", "cut before", "cut after", "slice", "duplicate", "answer"
]

PATIENCE_S = 20.0


class Rule:
    """What becomes of the ``nth`` fitting frame from now on, and of the ``times`` - 1 following ones (None: of all).

    ``fired`` counts, ``carried`` those that went on to their destination; `happened` waits for the first time,
    `answered` for the broker's reply to the first request under the rule, whoever was still there to hear it.
    """

    def __init__(
        self,
        worker: str | None,
        api: ApiName | None,
        direction: Direction,
        action: Action,
        *,
        role: str | None = None,
        nth: int = 1,
        times: int | None = 1,
        seconds: float = 0.0,
        error_code: int = 0,
    ) -> None:
        assert action != "answer" or (direction == "request" and error_code), "answer a request, with an error code"
        self.action: Action = action
        self.direction: Direction = direction
        self.seconds = seconds
        self.error_code = error_code
        self.fired = 0
        self.carried = 0
        self._worker, self._api, self._role = worker, api, role
        self._to_pass = nth - 1
        self._times = times
        self._happened = asyncio.Event()
        self._released = asyncio.Event()
        self._answered = asyncio.Event()
        self._answer: tuple[Request, bytes] | None = None

    def __str__(self) -> str:
        return f"{self.action} {self._api or 'any'} {self.direction} of {self._worker or 'anybody'}"

    def takes(self, direction: Direction, request: Request) -> bool:
        """Whether this frame (the request, or the reply to it) falls under the rule; counts."""
        if direction != self.direction or (self._api is not None and request.api != self._api):
            return False
        if not request.is_from(self._worker, self._role) or (self._times is not None and self.fired >= self._times):
            return False
        if self._to_pass:
            self._to_pass -= 1
            return False
        self.fired += 1
        self._happened.set()
        return True

    def release(self) -> None:
        """Let what is held go on, now and from now on."""
        self._released.set()

    async def released(self) -> None:
        """Wait for `release`."""
        await self._released.wait()

    def replied(self, request: Request, frame: bytes) -> None:
        """The broker answered a request that fell under this rule."""
        if self._answer is None:
            self._answer = request, frame
            self._answered.set()

    async def happened(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the rule has fired; one that never does is an error."""
        await self._wait(self._happened, "never fired", timeout_s)

    async def answered(self, timeout_s: float = PATIENCE_S) -> Any:
        """The broker's answer to the first request under this rule, decoded."""
        await self._wait(self._answered, "its request was never answered", timeout_s)
        assert self._answer is not None
        return decode_reply(*self._answer)

    async def _wait(self, event: asyncio.Event, otherwise: str, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            raise AssertionError(f"rule {self}: {otherwise} in {timeout_s:g} s") from None


class Rules:
    """All rules of a proxy; the first that takes a frame decides."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._late: dict[str, list[Rule]] = {}  # client id -> rules that hold a frame of it for its next transaction

    def add(self, rule: Rule) -> Rule:
        """From now on."""
        self._rules.append(rule)
        return rule

    def remove(self, *rules: Rule) -> None:
        """Without arguments all of them; what they hold goes on."""
        for rule in rules or tuple(self._rules):
            rule.release()
            self._rules.remove(rule)

    def deciding(self, direction: Direction, request: Request) -> Rule | None:
        """The rule for this frame."""
        return next((rule for rule in self._rules if rule.takes(direction, request)), None)

    def wait_for_next_transaction(self, client_id: str, rule: Rule) -> None:
        """This rule holds a frame of this producer."""
        self._late.setdefault(client_id, []).append(rule)

    async def transaction_began(self, client_id: str, timeout_s: float) -> None:
        """Release what was held for this moment, and wait until the broker has dealt with it."""
        for rule in self._late.pop(client_id, ()):
            rule.release()
            if rule.direction == "request":
                await rule.answered(timeout_s)
