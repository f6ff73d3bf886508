"""The client's sockets, opened by our settings.

The client takes one TLS context and one password for its whole life, and buries the reason of a failed connection in
its log.  Here credentials are read at every new connection, the reason is kept, and a connection whose session the
broker will end (KIP-368) is replaced between two requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    StaleMetadata,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.admin import SaslAuthenticateRequest, SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.util import create_task

from processor.backends.kafka.diagnosis import Stage, refusal
from processor.backends.kafka.security import TokenSource, password, tls_context
from processor.config import KafkaConfig

log = logging.getLogger(__name__)

MAX_IDLE_MS: Final = 540_000  # below the brokers' default of 600,000: who ends an idle connection is us
RENEWED_AT_SHARE: Final = 0.8  # of a session's life, as the Java client does at the earliest
UNSUPPORTED_MECHANISM: Final = 33
CLOSE_S: Final = 1.0
MOST_SHARES: Final = 3  # of the time to connect, however many brokers the cluster tells of


class SecuredConnection(AIOKafkaConnection):
    """One socket; ``stage`` says how far it came."""

    def __init__(
        self, host: str, port: int, kafka: KafkaConfig, name: str, on_close: Callable[..., None] | None = None
    ) -> None:
        self.stage: Stage = "connecting"
        self._renew_at_s: float | None = None  # on the monotonic clock; None: the broker ends no session
        oauth = kafka.sasl_mechanism == "OAUTHBEARER"
        self._tokens = TokenSource(kafka) if oauth else None
        super().__init__(  # type: ignore[no-untyped-call]
            host,
            port,
            client_id=name,
            request_timeout_ms=kafka.request_timeout_ms,
            ssl_context=tls_context(kafka),
            security_protocol=kafka.security_protocol,
            max_idle_ms=MAX_IDLE_MS,
            on_close=on_close,
            sasl_mechanism=kafka.sasl_mechanism,
            sasl_plain_username=kafka.sasl_username,
            sasl_plain_password=password(kafka) if kafka.authenticated and not oauth else None,
            sasl_oauth_token_provider=self._tokens,
        )

    @property
    def usable(self) -> bool:
        """Connected, and its session is not about to end (one that is serves the requests on their way)."""
        ending = self._renew_at_s is not None and time.monotonic() >= self._renew_at_s
        return bool(self.connected()) and not (ending and not self._requests)

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """To look is not to create: with ``auto.create.topics.enable`` a broker makes topics it is only asked for."""
        if isinstance(request, MetadataRequest):
            request._allow_auto_topic_creation = False
        try:
            return super().send(request, expect_response)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            # uvloop's word for a socket that has just been closed; unknown to the client, whose metadata task it ends.
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"{self.host}:{self.port}: {error}") from error

    async def _do_version_lookup(self) -> None:
        self.stage = "greeting"
        await super()._do_version_lookup()  # type: ignore[no-untyped-call]
        self.stage = "login" if self._security_protocol.startswith("SASL_") else "asking"

    async def _do_sasl_handshake(self) -> None:
        """KIP-43 and KIP-152: agree on the mechanism, then exchange what it demands."""
        reply = await self.send(SaslHandShakeRequest(self._sasl_mechanism))
        if reply.error_code == UNSUPPORTED_MECHANISM:
            raise UnsupportedSaslMechanismError(", ".join(sorted(reply.enabled_mechanisms)))
        if reply.error_code:
            raise for_code(reply.error_code)
        try:
            lifetime_ms = await self._log_in()
        except (ValueError, KeyError) as error:
            # The server could not prove that it knows the password, or spoke another language than SCRAM.
            raise SaslAuthenticationFailed(f"the broker itself failed the exchange: {error}") from None
        if lifetime_ms > 0:
            self._renew_at_s = time.monotonic() + lifetime_ms / 1000 * RENEWED_AT_SHARE
        self.stage = "asking"

    async def _log_in(self) -> int:
        """Returns the session's life in milliseconds, 0 where it has no end."""
        exchange = self._exchange()
        answer: bytes | None = None
        lifetime_ms = 0
        while (step := await exchange.step(answer)) is not None:
            reply = await self.send(SaslAuthenticateRequest(step[0]))
            if reply.error_code:
                raise for_code(reply.error_code)(reply.error_message)
            answer = reply.sasl_auth_bytes
            lifetime_ms = getattr(reply, "session_lifetime_ms", 0)
        return lifetime_ms

    def _exchange(self) -> Any:
        if self._tokens is not None:
            return _BearerExchange(self._tokens)
        return self.authenticator_plain() if self._sasl_mechanism == "PLAIN" else self.authenticator_scram()


class _BearerExchange:
    """RFC 7628. The client's own takes a refusal, which comes as an answer to be acknowledged, for success."""

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens
        self._sent = False

    async def step(self, answer: bytes | None) -> tuple[bytes, bool] | None:
        """The next message; None where there is nothing more to say."""
        if not self._sent:
            self._sent = True
            return f"n,,\x01auth=Bearer {await self._tokens.token()}\x01\x01".encode(), True
        return (b"\x01", True) if answer else None


class SecuredClient(AIOKafkaClient):
    """The client over such connections.

    ``refused`` is why the latest broker that was asked would not have us, None where none of them refused.
    """

    def __init__(self, kafka: KafkaConfig, name: str, *, retry_backoff_ms: int, metadata_max_age_ms: int) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            bootstrap_servers=kafka.bootstrap_servers,
            client_id=name,
            request_timeout_ms=kafka.request_timeout_ms,
            retry_backoff_ms=retry_backoff_ms,
            metadata_max_age_ms=metadata_max_age_ms,
        )
        self._kafka = kafka
        self._conns: dict[tuple[Any, ConnectionGroup], SecuredConnection]
        # One at a time per node and purpose, not one for all: a silent node lets nobody wait but those who want it.
        self._opening: dict[tuple[Any, ConnectionGroup], asyncio.Lock] = defaultdict(asyncio.Lock)
        self.refused: str | None = None

    @property
    def connected(self) -> bool:
        """Whether some broker that the cluster told us of has taken us."""
        return any(connection.usable for (node, _), connection in self._conns.items() if node != "bootstrap")

    @property
    def _dial_s(self) -> float:
        """A silent broker takes its share of the time there is to connect, and leaves the others theirs."""
        known = min(len(self.cluster.brokers()), MOST_SHARES)
        return self._kafka.connect_timeout_ms / 1000 / max(len(self.hosts), known)

    async def bootstrap(self) -> None:
        """Learn the cluster from the first bootstrap server that tells it. Raises what the last one failed with."""
        if self._sync_task is not None:
            return
        last: Exception | None = None
        for host, port, _ in self.hosts:
            try:
                connection = await self._opened(host, port)
                await self._first_metadata(connection)
            except (OSError, TimeoutError, KafkaError) as error:
                log.info("bootstrap server %s:%s: %r", host, port, error)
                last = error
            else:
                self._sync_task = create_task(self._md_synchronizer())
                return
        assert last is not None
        raise last

    async def _first_metadata(self, connection: SecuredConnection) -> None:
        try:
            self.cluster.update_metadata(await connection.send(MetadataRequest([])))
        except (OSError, TimeoutError, KafkaError) as error:
            self._note(error, f"{connection.host}:{connection.port}", connection.stage)
            await _closed(connection)
            raise
        if self.cluster.brokers():
            connection.close(reason=CloseReason.SHUTDOWN)
        else:
            # A cluster that does not know its brokers yet is asked again over this connection.
            self._conns["bootstrap", ConnectionGroup.DEFAULT] = connection

    async def _metadata_update(self, cluster_metadata: Any, topics: Any) -> bool:
        """KIP-899: where no broker that it knows answers, the bootstrap servers are asked again.

        Brokers tell only of those that are there: learned in an outage, that may be one, which may be the next to go.
        """
        if await super()._metadata_update(cluster_metadata, topics):  # type: ignore[no-untyped-call]
            return True
        known = {(broker.host, broker.port) for broker in self.cluster.brokers()}
        for host, port, _ in self.hosts:
            if (host, port) in known:
                continue
            with contextlib.suppress(OSError, TimeoutError, KafkaError):
                connection = await self._opened(host, port)
                try:
                    metadata = await connection.send(MetadataRequest(list(topics) if topics else None))
                finally:
                    await _closed(connection)
                if metadata.brokers:
                    cluster_metadata.update_metadata(metadata)
                    return True
        return False

    async def _get_conn(
        self, node_id: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT, no_hint: bool = False
    ) -> SecuredConnection | None:
        """The connection to a node, a new one where there is none or its session ends; None where that failed."""
        key = (node_id, group)
        current = self._conns.get(key)
        if current is not None and current.usable:
            return current
        async with self._opening[key]:
            current = self._conns.get(key)
            if current is not None:
                if current.usable:
                    return current
                del self._conns[key]
                current.close(reason=CloseReason.SHUTDOWN)
            try:
                broker = self.cluster.broker_metadata(node_id)
                if broker is None:
                    raise StaleMetadata(f"node {node_id} is not in the current metadata")
                connection = await self._opened(broker.host, broker.port, self._on_connection_closed)
            except (OSError, TimeoutError, KafkaError) as error:
                log.info("node %s: %r", node_id, error)
                self.force_metadata_update()
                return None
            self._conns[key] = connection
            return connection

    async def _opened(self, host: str, port: int, on_close: Callable[..., None] | None = None) -> SecuredConnection:
        connection: SecuredConnection | None = None
        try:
            connection = SecuredConnection(host, port, self._kafka, self._client_id, on_close)
            async with asyncio.timeout(self._dial_s):
                await connection.connect()
        except (OSError, TimeoutError, KafkaError) as error:
            stage: Stage = "connecting" if connection is None else connection.stage
            self._note(error, f"{host}:{port}", stage)
            if connection is not None and stage != "connecting":
                await _closed(connection)
            raise
        self.refused = None
        return connection

    def _note(self, error: Exception, address: str, stage: Stage) -> None:
        self.refused = refusal(error, self._kafka, address, stage)
        if self.refused is not None:
            log.info("%s", self.refused)


async def _closed(connection: SecuredConnection) -> None:
    """Until the socket is closed: a command that ends before would leave it to the garbage collector."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await asyncio.shield(connection.close(reason=CloseReason.SHUTDOWN))


class SecuredProducer(AIOKafkaProducer):
    """The client's plain producer over such a client; the one its constructor makes is never connected."""

    def __init__(self, client: SecuredClient, **options: Any) -> None:
        self._secured = client
        super().__init__(**options)  # type: ignore[no-untyped-call]

    @property
    def client(self) -> SecuredClient:
        """Ours."""
        return self._secured

    @client.setter
    def client(self, _: AIOKafkaClient) -> None: ...
