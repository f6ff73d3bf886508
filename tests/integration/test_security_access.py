"""Every way into a secured Kafka works, and everything wrong about it is named within seconds."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from processor.backends.kafka import CommittedReader, EventProducer, connected, observe, run_processor
from processor.backends.kafka.connection import Connection
from processor.config import Settings, declared_topology, load_settings
from processor.engine.observer import Committed, Observer
from processor.errors import Refused, Unreachable
from processor.surfaces.folds import partition_fold
from tests.faults.load import events
from tests.faults.stage import PATIENT, create_topics, scenario_settings
from tests.kafka.secure import SHORT_SESSION_MS, SecuredKafka, secured_kafka, unsecured_token
from tests.oracle import verdict

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

EVENTS = 200
SECONDS = 8.0  # "within seconds", on a machine that has other work
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
Access = dict[str, Any]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("keys")) as kafka:
        yield kafka


class Watching(Observer):
    """Stops the processor after so many records; remembers every doubt."""

    def __init__(self, stop: asyncio.Event, wanted: int) -> None:
        self._stop = stop
        self._wanted = wanted
        self.doubts: list[str] = []

    def committed(self, report: Committed) -> None:
        self._wanted -= report.records
        if self._wanted <= 0:
            self._stop.set()

    def doubted(self, cause: str) -> None:
        self.doubts.append(cause)


async def processed(settings: Settings, wanted: int) -> list[str]:
    """Run one instance until it has committed so many records; returns its doubts."""
    stop = asyncio.Event()
    watching = Watching(stop, wanted)
    async with asyncio.timeout(60):
        await run_processor(settings, lambda partition: partition_fold(settings, partition), watching, stop)
    return watching.doubts


async def assert_everything_works(locked: SecuredKafka, access: Access) -> None:
    """Topics job, producer, processor and reader go this way; the oracle looks from the side."""
    witness = scenario_settings(locked.witnesses, 2, PATIENT)
    settings = locked.secured(witness, access)
    await create_topics(settings)
    source = events(3, 20)
    async with EventProducer(settings) as producer:
        await producer.send([next(source) for _ in range(EVENTS)])
        await producer.flush()

    assert await processed(settings, EVENTS) == []

    assert [str(difference) for difference in await verdict(witness)] == []
    async with CommittedReader(settings, [settings.topics.actions]) as reader:
        assert await reader.read(20.0)


@pytest.mark.parametrize("listener", ["TLS", "MTLS"])
async def test_the_processor_works_over_tls(locked: SecuredKafka, listener: Any) -> None:
    await assert_everything_works(locked, locked.access(listener))


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_the_processor_works_with_a_login_over_tls(locked: SecuredKafka, mechanism: str) -> None:
    await assert_everything_works(locked, locked.access("SASL_TLS", mechanism=mechanism))


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_login_works_unencrypted_too(locked: SecuredKafka, mechanism: str) -> None:
    async with connected(reaching(locked.access("SASL_CLEAR", mechanism=mechanism)), "look") as connection:
        assert connection.client.cluster.brokers()


async def test_an_encrypted_private_key_is_opened_with_its_password(locked: SecuredKafka) -> None:
    issued = locked.keys.authority.issue("guarded", password="open sesame")
    access = {
        **locked.access("MTLS"),
        "kafka.ssl_cert_file": str(issued.both_file),
        "kafka.ssl_key_file": None,
        "kafka.ssl_key_password_file": locked.secret("open sesame"),
    }
    async with connected(reaching(access), "look") as connection:
        assert connection.client.cluster.brokers()
    assert "kafka.ssl_key_password_file" in await refusal({**access, "kafka.ssl_key_password_file": None})


async def test_sessions_that_the_broker_ends_are_renewed_without_a_doubt(locked: SecuredKafka) -> None:
    """Over several sessions' lives (KIP-368) no transaction fails and nothing is repeated."""
    witness = scenario_settings(locked.witnesses, 2, PATIENT)
    settings = locked.secured(witness, locked.access("SASL_CLEAR", mechanism="SCRAM-SHA-256"))
    await create_topics(settings)
    working = asyncio.create_task(processed(settings, EVENTS))
    source = events(4, 20)
    async with EventProducer(settings) as producer:
        for _ in range(20):
            await producer.send([next(source) for _ in range(EVENTS // 20)])
            await producer.flush()
            # The time itself is what is tested: twenty pieces over two and a half sessions' lives.
            await asyncio.sleep(2.5 * SHORT_SESSION_MS / 1000 / 20)

    assert await working == []
    assert [str(difference) for difference in await verdict(witness)] == []


# Wrong things ------------------------------------------------------------------------------------------------


def reaching(access: Access) -> Settings:
    """Settings for this way in."""
    return load_settings(None, {}, {"kafka.connect_timeout_ms": 8_000, "kafka.request_timeout_ms": 5_000, **access})


async def refusal(access: Access) -> str:
    """The one line that opening a connection ends with, within seconds."""
    began = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        async with connected(reaching(access), "look"):
            pass
    assert time.monotonic() - began < SECONDS
    message = str(caught.value)
    assert "\n" not in message
    return message


def other_authority(locked: SecuredKafka) -> Access:
    return {**locked.access("TLS"), "kafka.ssl_ca_file": str(locked.keys.stranger.ca_file)}


def no_client_certificate(locked: SecuredKafka) -> Access:
    return {**locked.access("TLS"), "kafka.bootstrap_servers": locked.address("MTLS")}


def strange_client_certificate(locked: SecuredKafka) -> Access:
    issued = locked.keys.stranger.issue("super")
    return {
        **locked.access("MTLS"),
        "kafka.ssl_cert_file": str(issued.cert_file),
        "kafka.ssl_key_file": str(issued.key_file),
    }


def foreign_key(locked: SecuredKafka) -> Access:
    return {**locked.access("MTLS"), "kafka.ssl_key_file": str(locked.keys.broker.key_file)}


def wrong_password(locked: SecuredKafka) -> Access:
    return {**locked.access("SASL_TLS"), "kafka.sasl_password_file": locked.secret("wrong")}


def wrong_plain_password(locked: SecuredKafka) -> Access:
    return {**locked.access("SASL_TLS", mechanism="PLAIN"), "kafka.sasl_password_file": locked.secret("wrong")}


def unknown_user(locked: SecuredKafka) -> Access:
    return {**locked.access("SASL_TLS"), "kafka.sasl_username": "nobody"}


def expired_token(locked: SecuredKafka) -> Access:
    token = unsecured_token("super", lifetime_s=-30)
    return {
        **locked.access("SASL_TLS", mechanism="OAUTHBEARER"),
        "kafka.sasl_oauthbearer_token_file": locked.secret(token),
    }


def no_token(locked: SecuredKafka) -> Access:
    return {
        **locked.access("SASL_TLS", mechanism="OAUTHBEARER"),
        "kafka.sasl_oauthbearer_token_file": locked.secret("not a token"),
    }


def missing_password_file(locked: SecuredKafka) -> Access:
    return {**locked.access("SASL_TLS"), "kafka.sasl_password_file": str(locked.folder / "gone")}


def empty_password_file(locked: SecuredKafka) -> Access:
    return {**locked.access("SASL_TLS"), "kafka.sasl_password_file": locked.secret("")}


def missing_authority(locked: SecuredKafka) -> Access:
    return {**locked.access("TLS"), "kafka.ssl_ca_file": str(locked.folder / "gone")}


def not_an_authority(locked: SecuredKafka) -> Access:
    return {**locked.access("TLS"), "kafka.ssl_ca_file": locked.secret("nothing of the kind")}


def plaintext_to(listener: Any) -> Callable[[SecuredKafka], Access]:
    return lambda locked: {"kafka.bootstrap_servers": locked.address(listener)}


def at_the_witnesses(listener: Any) -> Callable[[SecuredKafka], Access]:
    return lambda locked: {**locked.access(listener), "kafka.bootstrap_servers": locked.witnesses}


def at(listener: Any, other: Any) -> Callable[[SecuredKafka], Access]:
    return lambda locked: {**locked.access(listener), "kafka.bootstrap_servers": locked.address(other)}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        pytest.param(other_authority, ["not signed by kafka.ssl_ca_file"], id="wrong authority"),
        pytest.param(lambda k: k.access("ELSEWHERE"), ["for another host", "127.0.0.1"], id="wrong host name"),
        pytest.param(lambda k: k.access("EXPIRED"), ["has expired", "renew it"], id="expired certificate"),
        pytest.param(no_client_certificate, ["client certificate", "kafka.ssl_cert_file"], id="no client certificate"),
        pytest.param(strange_client_certificate, ["refuses the client certificate"], id="strange client certificate"),
        pytest.param(foreign_key, ["kafka.ssl_cert_file", "belong together"], id="key of another certificate"),
        pytest.param(wrong_password, ["login of 'super'", "kafka.sasl_password_file"], id="wrong password, SCRAM"),
        pytest.param(
            wrong_plain_password, ["login of 'super'", "kafka.sasl_password_file"], id="wrong password, PLAIN"
        ),
        pytest.param(unknown_user, ["login of 'nobody'", "kafka.sasl_username"], id="unknown user"),
        pytest.param(expired_token, ["refuses the token", "invalid_token"], id="expired token"),
        pytest.param(no_token, ["token_file", "holds no access token"], id="no token"),
        pytest.param(missing_password_file, ["kafka.sasl_password_file", "No such file"], id="no password file"),
        pytest.param(empty_password_file, ["kafka.sasl_password_file", "is empty"], id="empty password file"),
        pytest.param(missing_authority, ["kafka.ssl_ca_file", "No such file"], id="no authority file"),
        pytest.param(not_an_authority, ["kafka.ssl_ca_file", "no certificate"], id="no certificate in it"),
        pytest.param(plaintext_to("TLS"), ["speaks TLS", "security_protocol = SSL"], id="plaintext to TLS"),
        pytest.param(plaintext_to("SASL_TLS"), ["speaks TLS", "SASL_SSL"], id="plaintext to SASL over TLS"),
        pytest.param(plaintext_to("SASL_CLEAR"), ["demands a login", "SASL_PLAINTEXT"], id="plaintext to SASL"),
        pytest.param(at_the_witnesses("TLS"), ["speaks no TLS", "= PLAINTEXT"], id="TLS to plaintext"),
        pytest.param(at("TLS", "SASL_TLS"), ["demands a login", "SASL_SSL"], id="no login"),
        pytest.param(at("SASL_TLS", "TLS"), ["knows no login", "= SSL"], id="login to TLS"),
        pytest.param(at_the_witnesses("SASL_CLEAR"), ["knows no login", "= PLAINTEXT"], id="login to plaintext"),
        pytest.param(at("SASL_CLEAR", "SASL_TLS"), ["speaks TLS", "SASL_SSL"], id="login without TLS"),
    ],
)
async def test_what_is_wrong_is_named_within_seconds(
    locked: SecuredKafka, wrong: Callable[[SecuredKafka], Access], named: list[str]
) -> None:
    message = await refusal(wrong(locked))

    assert [words for words in named if words not in message] == [], message


async def test_a_host_name_that_is_not_checked_may_be_any(locked: SecuredKafka) -> None:
    access = {**locked.access("ELSEWHERE"), "kafka.ssl_check_hostname": False}
    async with connected(reaching(access), "look") as connection:
        assert connection.client.cluster.brokers()


async def test_credentials_are_read_again_at_each_new_connection(locked: SecuredKafka, tmp_path: Path) -> None:
    """A file that is replaced counts from the next connection on, in the same process."""
    password = tmp_path / "password"
    password.write_text("wrong")
    access = {**locked.access("SASL_TLS"), "kafka.sasl_password_file": str(password)}
    connection = Connection(reaching(access).kafka, "rotating")
    password.write_text(locked.keys.passwords["super"])
    await connection.open()
    try:
        [node] = [broker.nodeId for broker in connection.client.cluster.brokers()]
        for content, let_in in (("wrong", False), (locked.keys.passwords["super"], True)):
            password.write_text(content)
            for socket in connection.client._conns.values():
                socket.close()
            assert await connection.client.ready(node) is let_in
            assert (connection.client.refused is None) is let_in
    finally:
        await connection.close()


def test_a_command_ends_with_one_line_and_code_3_and_shows_no_secret(locked: SecuredKafka) -> None:
    access = wrong_password(locked)
    secret = Path(access["kafka.sasl_password_file"]).read_text().strip() + locked.keys.passwords["super"]
    Path(access["kafka.sasl_password_file"]).write_text(secret)
    flags = [word for name, value in access.items() for word in ("--set", f"{name}={value}")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CREATIVE_FEEDBACK")}

    def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "processor.app", *arguments, *flags]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    one = ended("topics", "plan")
    assert one.returncode == 3
    assert one.stderr.count("\n") == 1
    assert "refuses the login of 'super'" in one.stderr
    loud = ended("--debug", "run")
    assert "refuses the login of 'super'" in loud.stderr
    assert secret not in one.stdout + one.stderr + loud.stdout + loud.stderr


async def test_looking_for_topics_creates_none(locked: SecuredKafka) -> None:
    """Also on a broker that creates whatever it is asked for, for whoever may create it."""
    witness = scenario_settings(locked.witnesses, 2, {})
    settings = locked.secured(witness, locked.access("SASL_TLS"))
    declared = declared_topology(settings)
    async with connected(settings, "look") as connection:
        assert (await observe(connection, declared)).topics == {}
    for neighbour in (EventProducer(settings), CommittedReader(settings, [settings.topics.actions])):
        with pytest.raises(Refused, match="missing topic"):
            async with neighbour:
                pass
    async with connected(witness, "look") as connection:
        assert (await observe(connection, declared)).topics == {}


# A token endpoint --------------------------------------------------------------------------------------------


class TokenEndpoint(HTTPServer):
    """Gives tokens of user ``super`` to one client (RFC 6749, section 4.4)."""

    client = ("worker+1", "s:e c%ret")

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), TokenRequest)
        self.scopes: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/token"


class TokenRequest(BaseHTTPRequestHandler):
    """One request."""

    server: TokenEndpoint

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        kind, _, given = self.headers["Authorization"].partition(" ")
        assert kind == "Basic"
        halves = [next(iter(parse_qs(f"x={half}")["x"])) for half in base64.b64decode(given).decode().split(":")]
        if tuple(halves) != TokenEndpoint.client or form["grant_type"] != ["client_credentials"]:
            self.send_response(401)
            self.end_headers()
            return
        self.server.scopes += form.get("scope", [])
        body = {"access_token": unsecured_token("super"), "token_type": "Bearer", "expires_in": 3600}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body if self.path == "/token" else {}).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing: the test asserts."""


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def by_endpoint(locked: SecuredKafka, endpoint: TokenEndpoint) -> Access:
    name, secret = TokenEndpoint.client
    return {
        **locked.access("SASL_TLS", mechanism="OAUTHBEARER"),
        "kafka.sasl_oauthbearer_token_file": None,
        "kafka.sasl_oauthbearer_token_endpoint_url": endpoint.url,
        "kafka.sasl_oauthbearer_client_id": name,
        "kafka.sasl_oauthbearer_client_secret_file": locked.secret(secret),
        "kafka.sasl_oauthbearer_scope": "kafka events",
    }


async def test_the_processor_works_with_tokens_of_an_endpoint(locked: SecuredKafka, endpoint: TokenEndpoint) -> None:
    await assert_everything_works(locked, by_endpoint(locked, endpoint))
    assert set(endpoint.scopes) == {"kafka events"}


async def test_an_endpoint_that_gives_no_token_is_named(locked: SecuredKafka, endpoint: TokenEndpoint) -> None:
    access = by_endpoint(locked, endpoint)
    key = "kafka.sasl_oauthbearer_token_endpoint_url"
    wrong_secret = {**access, "kafka.sasl_oauthbearer_client_secret_file": locked.secret("wrong")}
    assert "refuses client 'worker+1' (HTTP 401)" in await refusal(wrong_secret)
    assert "without an access_token" in await refusal({**access, key: f"{endpoint.url}/other"})
    assert "cannot be reached" in await refusal({**access, key: "http://127.0.0.1:9/token"})
