"""Rules between the keys that secure the way to Kafka."""

from __future__ import annotations

from typing import Any

import pytest

from processor.config import Settings, access_notices, settings_from
from processor.errors import ConfigError

LOGIN = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "worker", "sasl_password_file": "password"}
ENDPOINT = {
    "sasl_mechanism": "OAUTHBEARER",
    "sasl_oauthbearer_token_endpoint_url": "https://login.example/token",
    "sasl_oauthbearer_client_id": "worker",
    "sasl_oauthbearer_client_secret_file": "secret",
}
TOKEN_FILE = {"sasl_mechanism": "OAUTHBEARER", "sasl_oauthbearer_token_file": "token"}


def kafka(protocol: str, **keys: Any) -> Settings:
    return settings_from({"kafka": {"security_protocol": protocol, **keys}})


@pytest.mark.parametrize(
    ("protocol", "keys"),
    [
        ("PLAINTEXT", {}),
        ("SSL", {}),
        ("SSL", {"ssl_ca_file": "ca", "ssl_cert_file": "own", "ssl_key_file": "key", "ssl_key_password_file": "pw"}),
        ("SSL", {"ssl_cert_file": "certificate and key in one"}),
        ("SASL_PLAINTEXT", LOGIN),
        ("SASL_SSL", {**LOGIN, "ssl_ca_file": "ca"}),
        ("SASL_SSL", TOKEN_FILE),
        ("SASL_SSL", {**ENDPOINT, "sasl_oauthbearer_scope": "kafka", "sasl_oauthbearer_ca_file": "ca"}),
    ],
)
def test_each_way_to_kafka_is_accepted(protocol: str, keys: dict[str, Any]) -> None:
    assert kafka(protocol, **keys).kafka.security_protocol == protocol


@pytest.mark.parametrize(
    ("protocol", "keys", "named"),
    [
        ("SASL_SSL", {}, "needs kafka.sasl_mechanism"),
        ("SASL_SSL", {"sasl_mechanism": "PLAIN"}, "needs kafka.sasl_username"),
        ("SASL_SSL", {"sasl_mechanism": "PLAIN", "sasl_username": "a"}, "needs kafka.sasl_password_file"),
        ("SASL_SSL", {"sasl_mechanism": "OAUTHBEARER"}, "needs either kafka.sasl_oauthbearer_token_file or"),
        ("SASL_SSL", {**ENDPOINT, "sasl_oauthbearer_token_file": "token"}, "set one of them"),
        ("SASL_SSL", {**ENDPOINT, "sasl_oauthbearer_client_id": None}, "needs kafka.sasl_oauthbearer_client_id"),
        (
            "SASL_SSL",
            {**ENDPOINT, "sasl_oauthbearer_client_secret_file": None},
            "needs kafka.sasl_oauthbearer_client_secret_file",
        ),
        ("SSL", {"ssl_key_file": "key"}, "kafka.ssl_key_file needs kafka.ssl_cert_file"),
        ("SSL", {"ssl_key_password_file": "pw"}, "kafka.ssl_key_password_file needs kafka.ssl_cert_file"),
    ],
)
def test_the_missing_half_is_named(protocol: str, keys: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        kafka(protocol, **keys)


@pytest.mark.parametrize(
    ("protocol", "keys", "unused"),
    [
        ("PLAINTEXT", {"ssl_ca_file": "ca"}, "ssl_ca_file"),
        ("SASL_PLAINTEXT", {**LOGIN, "ssl_cert_file": "own"}, "ssl_cert_file"),
        ("PLAINTEXT", {"ssl_check_hostname": False}, "ssl_check_hostname"),
        ("SSL", LOGIN, "sasl_mechanism"),
        ("PLAINTEXT", {"sasl_password_file": "pw"}, "sasl_password_file"),
        ("SASL_SSL", {**LOGIN, "sasl_oauthbearer_token_file": "token"}, "sasl_oauthbearer_token_file"),
        ("SASL_SSL", {**TOKEN_FILE, "sasl_username": "worker"}, "sasl_username"),
        ("SASL_SSL", {**TOKEN_FILE, "sasl_oauthbearer_scope": "kafka"}, "sasl_oauthbearer_scope"),
    ],
)
def test_a_setting_that_nothing_would_use_is_refused(protocol: str, keys: dict[str, Any], unused: str) -> None:
    with pytest.raises(ConfigError, match=rf"kafka\.{unused} has no effect with .*remove it, or set"):
        kafka(protocol, **keys)


@pytest.mark.parametrize(
    ("protocol", "keys", "named"),
    [
        ("SSL", {"ssl_check_hostname": False}, ["kafka.ssl_check_hostname = false"]),
        ("SASL_PLAINTEXT", {**LOGIN, "sasl_mechanism": "PLAIN"}, ["the password crosses the network unencrypted"]),
        ("SASL_PLAINTEXT", LOGIN, ["every record crosses the network unencrypted"]),
        ("SASL_PLAINTEXT", TOKEN_FILE, ["the token crosses the network unencrypted"]),
        (
            "SASL_SSL",
            {**ENDPOINT, "sasl_oauthbearer_token_endpoint_url": "http://login.example"},
            ["the client's secret crosses the network unencrypted"],
        ),
        ("PLAINTEXT", {}, []),
        ("SASL_SSL", LOGIN, []),
        ("SASL_SSL", ENDPOINT, []),
    ],
)
def test_what_is_allowed_and_yet_a_risk_is_noted(protocol: str, keys: dict[str, Any], named: list[str]) -> None:
    notices = access_notices(kafka(protocol, **keys).kafka)
    assert len(notices) == len(named)
    assert all(words in notice for words, notice in zip(named, notices, strict=True))
