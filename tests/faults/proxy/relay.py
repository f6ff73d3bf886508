"""One connection of a client, and the connection to its broker that it stands for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.faults.proxy.frames import API_KEYS, Request, correlation_id_of, parse_request, read_frame, write_frame
from tests.faults.proxy.messages import Address, decode_reply, error_codes, refusal, with_addresses
from tests.faults.proxy.rules import Direction, Rule, Rules
from tests.faults.proxy.wire import Wire

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

LATE_ANSWER_S = 10.0  # the broker's time for a late request before the client hears that its transaction has begun


@dataclass
class Way:
    """The way to one broker: open, silent in both directions, or closed to everybody."""

    state: Literal["open", "held", "cut"] = "open"
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def become(self, state: Literal["open", "held", "cut"]) -> None:
        """From now on."""
        self.state = state
        if state == "open":
            self.opened.set()
        else:
            self.opened.clear()

    async def passed(self) -> None:
        """Wait as long as frames are held."""
        while self.state == "held":
            await self.opened.wait()


class _Cut(Exception):
    """A rule ends the connection."""


class Relay:
    """Carries frames both ways, in order, each as its rule says."""

    def __init__(
        self, client: Streams, broker: Streams, way: Way, rules: Rules, wire: Wire, moved: Callable[[Address], Address]
    ) -> None:
        self._client_reader, self._client = client
        self._broker_reader, self._broker = broker
        self._way = way
        self._rules = rules
        self._wire = wire
        self._moved = moved
        # Requests that the broker has and has not answered, by correlation id, with the rules they fell under.
        self._unanswered: dict[int, tuple[Request, Rule | None]] = {}
        self._answers_due = asyncio.Condition()
        self._twins: set[int] = set()  # correlation ids whose next reply answers a duplicate
        self._silent: set[Direction] = set()
        self._client_gone = False

    async def run(self) -> None:
        """Until both sides are done; a client that leaves does not keep the broker from answering."""
        try:
            async with asyncio.TaskGroup() as both:
                replies = both.create_task(self._carry_replies())
                both.create_task(self._carry_requests(replies))
        except* (ConnectionError, _Cut):
            pass
        finally:
            await self.close()

    async def close(self) -> None:
        """Both connections, at once."""
        for writer in (self._client, self._broker):
            writer.transport.abort()
        for writer in (self._client, self._broker):
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    # Requests ------------------------------------------------------------------------------------------------

    async def _carry_requests(self, replies: asyncio.Task[None]) -> None:
        while (frame := await read_frame(self._client_reader)) is not None:
            request = parse_request(frame)
            self._wire.sent(request)
            rule = self._rules.deciding("request", request)
            if "request" in self._silent:
                continue
            await self._way.passed()
            await self._request(request, rule)
        self._client_gone = True
        # Nothing more will come. What the broker has, it answers, though nobody but a rule may hear it.
        async with self._answers_due:
            await self._answers_due.wait_for(lambda: not self._unanswered)
        replies.cancel()

    async def _request(self, request: Request, rule: Rule | None) -> None:
        action = rule.action if rule is not None else "pass"
        if action == "drop":
            self._silent.add("request")
            return
        if action == "cut before":
            raise _Cut
        if rule is not None and action == "answer":
            async with self._answers_due:
                await self._answers_due.wait_for(lambda: not self._unanswered)
            await write_frame(self._client, refusal(request, rule.error_code))
            return
        await self._wait(rule, request)
        await self._ask(request, rule, sliced=action == "slice")
        if action == "duplicate":
            # Its reply comes second; a client knows only of one.
            async with self._answers_due:
                await self._answers_due.wait_for(lambda: request.correlation_id not in self._unanswered)
            self._twins.add(request.correlation_id)
            await self._ask(request, None)
        if action == "cut after":
            self._client.transport.abort()

    async def _ask(self, request: Request, rule: Rule | None, *, sliced: bool = False) -> None:
        self._unanswered[request.correlation_id] = (request, rule)
        if rule is not None:
            rule.carried += 1
        await write_frame(self._broker, request.frame, sliced=sliced)

    # Replies -------------------------------------------------------------------------------------------------

    async def _carry_replies(self) -> None:
        while (frame := await read_frame(self._broker_reader)) is not None:
            correlation_id = correlation_id_of(frame)
            request, under = self._unanswered[correlation_id]
            if under is not None:
                under.replied(request, frame)
            if correlation_id in self._twins:
                self._twins.discard(correlation_id)
            else:
                await self._reply(request, frame)
            async with self._answers_due:
                del self._unanswered[correlation_id]
                self._answers_due.notify_all()
        raise _Cut  # the broker closed: the client's connection ends too

    async def _reply(self, request: Request, frame: bytes) -> None:
        if request.api_key == API_KEYS["AddPartitionsToTxn"] and error_codes(decode_reply(request, frame)) == {0}:
            await self._rules.transaction_began(request.client_id, LATE_ANSWER_S)
        rule = self._rules.deciding("reply", request)
        action = rule.action if rule is not None else "pass"
        if action == "drop":
            self._silent.add("reply")
        if action == "cut before":
            # The broker may have more to answer: only the client's side ends.
            self._client.transport.abort()
        if "reply" in self._silent:
            return
        await self._way.passed()
        await self._wait(rule, request)
        if self._client_gone or self._client.transport.is_closing():
            return
        carried = with_addresses(request, frame, self._moved)
        with contextlib.suppress(ConnectionError):
            await write_frame(self._client, carried, sliced=action == "slice")
            if action == "duplicate":
                await write_frame(self._client, carried)
            if rule is not None:
                rule.carried += 1
            if request.api_key == API_KEYS["EndTxn"]:
                self._wire.delivered(request, decode_reply(request, frame))
        if action == "cut after":
            self._client.write_eof()

    async def _wait(self, rule: Rule | None, request: Request) -> None:
        """Until the rule lets the frame go on."""
        if rule is None:
            return
        if rule.action == "delay":
            await asyncio.sleep(rule.seconds)
        elif rule.action == "hold":
            await rule.released()
        elif rule.action == "release late":
            self._rules.wait_for_next_transaction(request.client_id, rule)
            await rule.released()
