"""Rule R3 on the wire: what may never be seen of a transactional producer, and what may."""

from __future__ import annotations

import pytest

from tests.faults.proxy.frames import Request, parse_request
from tests.faults.proxy.messages import decode_reply, refusal
from tests.faults.proxy.wire import Wire
from tests.unit.faults.frames import begin, end, framed


def sent(wire: Wire, body: object) -> Request:
    request = parse_request(framed(body))  # type: ignore[arg-type]
    wire.sent(request)
    return request


def answered(wire: Wire, request: Request, code: int) -> None:
    wire.delivered(request, decode_reply(request, refusal(request, code)))


def test_transactions_one_after_the_other_are_as_they_must_be() -> None:
    wire = Wire()
    for _ in range(3):
        sent(wire, begin())
        answered(wire, sent(wire, end()), 0)
    assert not wire.broken
    assert wire.ends.total() == 3


def test_a_new_epoch_may_follow_any_doubt() -> None:
    wire = Wire()
    sent(wire, begin())
    sent(wire, end())
    sent(wire, begin(1))
    answered(wire, sent(wire, end(1)), 0)
    assert not wire.broken


@pytest.mark.parametrize("code", [None, 14, 51, 16])
def test_nothing_may_follow_an_end_without_a_success(code: int | None) -> None:
    for following in (begin(), end()):
        wire = Wire()
        request = sent(wire, end())
        if code is not None:
            answered(wire, request, code)
        sent(wire, following)
        [broken] = wire.broken
        assert "after an EndTxn without a success" in broken


def test_a_transaction_is_never_aborted_by_its_producer() -> None:
    wire = Wire()
    sent(wire, end(commit=False))
    assert any("EndTxn(abort)" in text for text in wire.broken)
