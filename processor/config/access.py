"""Rules between the keys that secure the way to Kafka: what belongs together, and what would have no effect."""

from __future__ import annotations

from collections.abc import Iterable

from processor.config.settings import KafkaConfig
from processor.errors import ConfigError

_PASSWORD_KEYS = ("sasl_username", "sasl_password_file")
_ENDPOINT_KEYS = ("sasl_oauthbearer_client_id", "sasl_oauthbearer_client_secret_file")
_ENDPOINT_OPTIONS = ("sasl_oauthbearer_scope", "sasl_oauthbearer_ca_file")
_TOKEN_KEYS = ("sasl_oauthbearer_token_file", "sasl_oauthbearer_token_endpoint_url")
_TLS_KEYS = ("ssl_ca_file", "ssl_cert_file", "ssl_key_file", "ssl_key_password_file")


def check_access(kafka: KafkaConfig) -> None:
    """Raise `ConfigError` for the first security setting that lacks its other half, or that nothing would use.

    A setting without effect is refused because its owner believes that it protects something.
    """
    _check_encryption(kafka)
    if not kafka.authenticated:
        _without_effect(
            kafka,
            ("sasl_mechanism", *_PASSWORD_KEYS, *_TOKEN_KEYS, *_ENDPOINT_KEYS, *_ENDPOINT_OPTIONS),
            "set kafka.security_protocol = SASL_SSL (or SASL_PLAINTEXT)",
        )
    elif kafka.sasl_mechanism is None:
        raise ConfigError(
            f"kafka.security_protocol = {kafka.security_protocol} needs kafka.sasl_mechanism: "
            "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
        )
    elif kafka.sasl_mechanism == "OAUTHBEARER":
        _check_tokens(kafka)
    else:
        _needed(kafka, _PASSWORD_KEYS, f"kafka.sasl_mechanism = {kafka.sasl_mechanism}")
        _without_effect(
            kafka, (*_TOKEN_KEYS, *_ENDPOINT_KEYS, *_ENDPOINT_OPTIONS), "set kafka.sasl_mechanism = OAUTHBEARER"
        )


def access_notices(kafka: KafkaConfig) -> list[str]:
    """What is allowed and yet a risk, one line each."""
    notices = []
    if kafka.encrypted and not kafka.ssl_check_hostname:
        notices.append(
            "kafka.ssl_check_hostname = false: any host with a certificate of the same authority is taken for a broker"
        )
    if kafka.security_protocol == "SASL_PLAINTEXT":
        secret = {"PLAIN": "the password", "OAUTHBEARER": "the token"}.get(kafka.sasl_mechanism or "", "every record")
        notices.append(
            f"kafka.security_protocol = SASL_PLAINTEXT: {secret} crosses the network unencrypted; SASL_SSL protects it"
        )
    url = kafka.sasl_oauthbearer_token_endpoint_url
    if url is not None and url.startswith("http://"):
        notices.append(
            "kafka.sasl_oauthbearer_token_endpoint_url: over http:// the client's secret crosses the network "
            "unencrypted; https:// protects it"
        )
    return notices


def _check_encryption(kafka: KafkaConfig) -> None:
    if not kafka.encrypted:
        _without_effect(kafka, _TLS_KEYS, "set kafka.security_protocol = SSL or SASL_SSL")
        if not kafka.ssl_check_hostname:
            raise ConfigError(
                f"kafka.ssl_check_hostname has no effect with kafka.security_protocol = {kafka.security_protocol}: "
                "remove it, or set kafka.security_protocol = SSL or SASL_SSL"
            )
    if kafka.ssl_key_file is not None and kafka.ssl_cert_file is None:
        raise ConfigError("kafka.ssl_key_file needs kafka.ssl_cert_file: the certificate that belongs to the key")
    if kafka.ssl_key_password_file is not None and kafka.ssl_cert_file is None:
        raise ConfigError("kafka.ssl_key_password_file needs kafka.ssl_cert_file, and the key it opens")


def _check_tokens(kafka: KafkaConfig) -> None:
    _without_effect(kafka, _PASSWORD_KEYS, "set kafka.sasl_mechanism = PLAIN or SCRAM-SHA-512")
    given = [name for name in _TOKEN_KEYS if getattr(kafka, name) is not None]
    if len(given) != 1:
        raise ConfigError(
            "kafka.sasl_mechanism = OAUTHBEARER needs either kafka.sasl_oauthbearer_token_file or "
            "kafka.sasl_oauthbearer_token_endpoint_url: set one of them"
        )
    if given == ["sasl_oauthbearer_token_endpoint_url"]:
        _needed(kafka, _ENDPOINT_KEYS, "kafka.sasl_oauthbearer_token_endpoint_url")
    else:
        _without_effect(
            kafka,
            (*_ENDPOINT_KEYS, *_ENDPOINT_OPTIONS),
            "set kafka.sasl_oauthbearer_token_endpoint_url instead of the token file",
        )


def _needed(kafka: KafkaConfig, names: Iterable[str], cause: str) -> None:
    for name in names:
        if getattr(kafka, name) is None:
            raise ConfigError(f"{cause} needs kafka.{name}: set it")


def _without_effect(kafka: KafkaConfig, names: Iterable[str], remedy: str) -> None:
    for name in names:
        if getattr(kafka, name) is not None:
            mechanism = f" and kafka.sasl_mechanism = {kafka.sasl_mechanism}" if kafka.authenticated else ""
            raise ConfigError(
                f"kafka.{name} has no effect with kafka.security_protocol = {kafka.security_protocol}{mechanism}: "
                f"remove it, or {remedy}"
            )
