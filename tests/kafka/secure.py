"""Apache Kafka behind locks: a listener per way to get in, and the authorizer that lets nobody do anything unasked.

    PLAINTEXT   for witnesses (Kafka's tools, the oracle): anonymous is a super user, as in no cluster but a test's
    TLS         server certificate only
    MTLS        client certificate demanded
    SASL_TLS    SCRAM-SHA-256, SCRAM-SHA-512, PLAIN, OAUTHBEARER over TLS
    SASL_CLEAR  the same unencrypted; sessions of SCRAM-SHA-256 end after SHORT_SESSION_MS
    EXPIRED     TLS with an expired certificate
    ELSEWHERE   TLS with the certificate of another host

User ``super`` may do everything; ``processor``, ``topics``, ``producer`` and ``reader`` what they are granted.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from processor.backends.embedded import EmbeddedKafka
from processor.backends.embedded.ports import HOST, free_ports
from processor.config import Settings, load_settings
from tests.kafka.certificates import Authority, Issued
from tests.kafka.fixtures import QUICK_SETTINGS

Listener = Literal["TLS", "MTLS", "SASL_TLS", "SASL_CLEAR", "EXPIRED", "ELSEWHERE"]
PROTOCOLS: Mapping[Listener, str] = {
    "TLS": "SSL",
    "MTLS": "SSL",
    "SASL_TLS": "SASL_SSL",
    "SASL_CLEAR": "SASL_PLAINTEXT",
    "EXPIRED": "SSL",
    "ELSEWHERE": "SSL",
}
USERS = ("super", "processor", "topics", "producer", "reader")
SHORT_SESSION_MS = 5_000
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_LOGIN_MODULES = {
    "plain": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "scram-sha-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "scram-sha-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
    # Unsecured tokens (RFC 7515, appendix A.5): who asks a real issuer is the broker, and that is Kafka's business.
    "oauthbearer": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule",
}


class SecuredKafka:
    """The running broker, and what its clients need to get in."""

    def __init__(self, broker: EmbeddedKafka, ports: Mapping[Listener, int], folder: Path, keys: Keys) -> None:
        self.broker = broker
        self.folder = folder
        self.keys = keys
        self._ports = ports

    @property
    def witnesses(self) -> str:
        """The address at which everything is allowed."""
        return self.broker.bootstrap_servers

    def address(self, listener: Listener) -> str:
        """``host:port`` of a listener."""
        return f"{HOST}:{self._ports[listener]}"

    def access(self, listener: Listener, *, user: str = "super", mechanism: str = "SCRAM-SHA-512") -> dict[str, Any]:
        """Right settings of `kafka.*` for a listener."""
        protocol = PROTOCOLS[listener]
        settings: dict[str, Any] = {
            "kafka.bootstrap_servers": self.address(listener),
            "kafka.security_protocol": protocol,
        }
        if protocol.endswith("SSL"):
            settings["kafka.ssl_ca_file"] = str(self.keys.authority.ca_file)
        if listener == "MTLS":
            settings["kafka.ssl_cert_file"] = str(self.keys.client.cert_file)
            settings["kafka.ssl_key_file"] = str(self.keys.client.key_file)
        if protocol.startswith("SASL"):
            settings["kafka.sasl_mechanism"] = mechanism
            if mechanism == "OAUTHBEARER":
                settings["kafka.sasl_oauthbearer_token_file"] = self.secret(unsecured_token(user))
            else:
                settings["kafka.sasl_username"] = user
                settings["kafka.sasl_password_file"] = self.secret(self.keys.passwords[user])
        return settings

    def secured(self, settings: Settings, access: Mapping[str, Any]) -> Settings:
        """The same settings, reaching Kafka in this way."""
        timeouts = {"kafka.request_timeout_ms": settings.kafka.request_timeout_ms}
        return msgspec.structs.replace(settings, kafka=load_settings(None, {}, {**timeouts, **access}).kafka)

    def secret(self, text: str) -> str:
        """The path of a new file with this text and a line break."""
        path = self.folder / f"secret-{secrets.token_hex(4)}"
        path.write_text(f"{text}\n")
        return str(path)


class Keys:
    """Certificates and passwords of one run."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "authority")
        self.stranger = Authority(folder, "stranger")
        self.broker: Issued = self.authority.issue("broker", hosts=(HOST, "localhost"))
        self.expired: Issued = self.authority.issue("expired", hosts=(HOST,), days=(-20, -1))
        self.elsewhere: Issued = self.authority.issue("elsewhere", hosts=("kafka.elsewhere.example",))
        self.client: Issued = self.authority.issue("super")
        self.passwords = {user: secrets.token_hex(12) for user in USERS}


@contextmanager
def secured_kafka(folder: Path) -> Iterator[SecuredKafka]:
    """One node with all these listeners, for as long as the context lasts."""
    keys = Keys(folder)
    port, *others = free_ports(1 + len(PROTOCOLS))
    ports: dict[Listener, int] = dict(zip(PROTOCOLS, others, strict=True))
    arguments: list[str] = []
    for user, password in keys.passwords.items():
        for mechanism in SCRAM:
            arguments += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
    with EmbeddedKafka(ports=[port], properties=_properties(keys, port, ports), format_arguments=arguments) as broker:
        yield SecuredKafka(broker, ports, folder, keys)


def unsecured_token(user: str, *, lifetime_s: int = 3600) -> str:
    """A token as Kafka takes it where no issuer is configured: header and claims, no signature."""
    now = int(time.time())
    claims = {"sub": user, "iat": now - 60, "exp": now + lifetime_s}
    return ".".join(_base64url(part) for part in ({"alg": "none"}, claims)) + "."


def _base64url(part: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def _properties(keys: Keys, port: int, ports: Mapping[Listener, int]) -> dict[str, str]:
    witnesses = f"PLAINTEXT://{HOST}:{port}"
    locked = ",".join(f"{name}://{HOST}:{number}" for name, number in ports.items())
    controller_port = free_ports(1, frozenset([port, *ports.values()]))[0]
    properties = {
        **QUICK_SETTINGS,
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"{witnesses},CONTROLLER://{HOST}:{controller_port},{locked}",
        "advertised.listeners": f"{witnesses},{locked}",
        "listener.security.protocol.map": ",".join(
            ["PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT", *(f"{name}:{kind}" for name, kind in PROTOCOLS.items())]
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:super;User:CN=super",
        "allow.everyone.if.no.acl.found": "false",
        "auto.create.topics.enable": "true",  # Kafka's default: who only looks must not create
        "ssl.keystore.type": "PEM",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(keys.authority.ca_file),
        "listener.name.mtls.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        # Who is refused waits this long for the word; the default of 100 ms only slows the suite down.
        "connection.failed.authentication.delay.ms": "10",
        # Sessions that end: on one listener, of one mechanism.
        "listener.name.sasl_clear.scram-sha-256.connections.max.reauth.ms": str(SHORT_SESSION_MS),
    }
    for name, kind in PROTOCOLS.items():
        prefix = f"listener.name.{name.lower()}."
        if kind.endswith("SSL"):
            issued = {"EXPIRED": keys.expired, "ELSEWHERE": keys.elsewhere}.get(name, keys.broker)
            properties[f"{prefix}ssl.keystore.location"] = str(issued.both_file)
        if kind.startswith("SASL"):
            users = "".join(f' user_{user}="{password}"' for user, password in keys.passwords.items())
            for mechanism, module in _LOGIN_MODULES.items():
                options = {"plain": users, "oauthbearer": ' unsecuredLoginStringClaim_sub="broker"'}.get(mechanism, "")
                properties[f"{prefix}{mechanism}.sasl.jaas.config"] = f"{module} required{options};"
    return properties
