"""A Kafka for tests with two doors: one for witnesses, and a locked one for what is tested.

The witnesses (Kafka's tools, the oracle, whoever disturbs a scenario from outside) come by ``bootstrap_servers``,
unencrypted, and may do everything.  The parties of `topology.acls` come by SASL/SCRAM over TLS, each as a user of its
own, to whom Kafka's authorizer allows what `creative-feedback topics acls` prints for that party, and nothing else.

A test knows only the witnesses' address.  Whoever starts something of the product asks `as_party` how it gets in:
while a cluster is `locked`, through the locked door; otherwise, and at any other address, by the address given.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec

from processor.backends.embedded import EmbeddedKafka
from processor.backends.embedded.ports import HOST, free_ports
from processor.config import KafkaConfig, Settings, declared_topology
from tests.kafka.acls import acl_admin
from tests.kafka.certificates import Authority
from topology import Acl, Party, acls
from topology.acls import PARTIES

MECHANISM = "SCRAM-SHA-512"
_DOOR = "LOCKED"

_locked: dict[str, LockedKafka] = {}  # by the witnesses' address


class LockedKafka(EmbeddedKafka):
    """A cluster with both doors; ``keys`` is a folder for certificates and passwords, kept by the caller."""

    def __init__(self, keys: Path, nodes: int = 1, *, properties: Mapping[str, str] | None = None) -> None:
        self._authority = Authority(keys, "authority")
        self._certificate = self._authority.issue("broker", hosts=(HOST,)).both_file
        self._password_files: dict[Party, Path] = {}
        credentials: list[str] = []
        for party in PARTIES:
            password, file = token_hex(12), keys / f"{party}.password"
            file.write_text(f"{password}\n")
            self._password_files[party] = file
            credentials += ["--add-scram", f"{MECHANISM}=[name={party},password={password}]"]
        self._granted: set[tuple[Party, Acl]] = set()
        super().__init__(nodes, properties=properties, format_arguments=credentials)
        self._locked_ports = free_ports(nodes, frozenset([*self._ports, *self._controller_ports]))

    @property
    def locked_servers(self) -> str:
        """`host:port` of the locked door, comma-separated over all nodes."""
        return ",".join(f"{HOST}:{port}" for port in self._locked_ports)

    async def admit(self, settings: Settings, party: Party) -> Settings:
        """These settings through the locked door, for a party that may do there what it needs with their names."""
        needed = acls(declared_topology(settings), settings.engine.application_id)[party]
        missing = [acl for acl in needed if (party, acl) not in self._granted]
        if missing:
            async with acl_admin(self.bootstrap_servers) as admin:
                await admin.grant(party, missing)
            # Once only: what a test takes back stays taken.
            self._granted.update((party, acl) for acl in missing)
        access = msgspec.structs.replace(
            settings.kafka,
            bootstrap_servers=self.locked_servers,
            security_protocol="SASL_SSL",
            ssl_ca_file=str(self._authority.ca_file),
            sasl_mechanism=MECHANISM,
            sasl_username=party,
            sasl_password_file=str(self._password_files[party]),
        )
        return msgspec.structs.replace(settings, kafka=access)

    def _node_properties(self, number: int) -> dict[str, str]:
        plain = super()._node_properties(number)
        door = f"{_DOOR}://{HOST}:{self._locked_ports[number - 1]}"
        prefix = f"listener.name.{_DOOR.lower()}."
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            **plain,
            **{name: f"{plain[name]},{door}" for name in ("listeners", "advertised.listeners")},
            "listener.security.protocol.map": f"{plain['listener.security.protocol.map']},{_DOOR}:SASL_SSL",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",  # the witnesses and the brokers themselves
            "allow.everyone.if.no.acl.found": "false",
            f"{prefix}ssl.keystore.type": "PEM",
            f"{prefix}ssl.keystore.location": str(self._certificate),
            f"{prefix}sasl.enabled.mechanisms": MECHANISM,
            f"{prefix}{MECHANISM.lower()}.sasl.jaas.config": login,
            "connection.failed.authentication.delay.ms": "10",
        }


@contextmanager
def locked(kafka: LockedKafka) -> Iterator[None]:
    """For as long as the context lasts, every party of a test of this cluster comes by the locked door."""
    _locked[kafka.bootstrap_servers] = kafka
    try:
        yield
    finally:
        del _locked[kafka.bootstrap_servers]


async def as_party(settings: Settings, party: Party) -> Settings:
    """How a party gets in where ``settings``, as the witnesses use them, point to."""
    kafka = _locked.get(settings.kafka.bootstrap_servers)
    return settings if kafka is None else await kafka.admit(settings, party)


def client_access(kafka: KafkaConfig) -> dict[str, Any]:
    """The same access as arguments of the client library's own clients."""
    if kafka.security_protocol == "PLAINTEXT":
        return {"bootstrap_servers": kafka.bootstrap_servers}
    assert kafka.sasl_password_file is not None
    return {
        "bootstrap_servers": kafka.bootstrap_servers,
        "security_protocol": kafka.security_protocol,
        "ssl_context": ssl.create_default_context(cafile=kafka.ssl_ca_file),
        "sasl_mechanism": kafka.sasl_mechanism,
        "sasl_plain_username": kafka.sasl_username,
        "sasl_plain_password": Path(kafka.sasl_password_file).read_text().strip(),
    }
