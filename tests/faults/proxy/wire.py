"""What transactional producers were seen to send: rule R3 as it shows on the wire."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.faults.proxy.frames import API_KEYS, Request
from tests.faults.proxy.messages import decode_request, error_codes

_TRANSACTIONAL = frozenset(
    API_KEYS[name] for name in ("AddPartitionsToTxn", "AddOffsetsToTxn", "TxnOffsetCommit", "EndTxn")
)
Producer = tuple[str, int, int]  # transactional id, producer id, epoch


class Wire:
    """Requests as clients sent them, replies as clients got them.

    ``broken`` tells what may never be seen: EndTxn(abort); a second EndTxn in one transaction; anything in an epoch
    whose EndTxn was not answered with success.
    """

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.ends: Counter[str] = Counter()  # EndTxn requests by client id
        self._ending: set[Producer] = set()

    def sent(self, request: Request) -> None:
        """A client sent this."""
        if request.api_key not in _TRANSACTIONAL:
            return
        body = decode_request(request)
        producer = _producer(body)
        if producer in self._ending:
            self.broken.append(f"{request.api} of {producer} after an EndTxn without a success")
        if request.api_key == API_KEYS["EndTxn"]:
            self.ends[request.client_id] += 1
            self._ending.add(producer)
            if not body.transaction_result:
                self.broken.append(f"EndTxn(abort) of {producer}")

    def delivered(self, request: Request, reply: Any) -> None:
        """A client got the reply to this."""
        if request.api_key == API_KEYS["EndTxn"] and error_codes(reply) == {0}:
            self._ending.discard(_producer(decode_request(request)))


def _producer(body: Any) -> Producer:
    return body.transactional_id, body.producer_id, body.producer_epoch
