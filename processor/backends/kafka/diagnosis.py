"""Why a broker would not have us: what the client buries in its log, in one line with the remedy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Literal

from aiokafka.errors import IllegalSaslStateError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from processor.backends.kafka.security import UnusableCredentials
from processor.config import KafkaConfig

Stage = Literal["connecting", "greeting", "login", "asking"]
"""How far a connection came: TCP and TLS, ApiVersions, SASL, the first request."""

# OpenSSL's verification results (X509_V_ERR_*).
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21, 24, 27})
_OTHER_NAME = frozenset({62, 64})  # host name, IP address

# TLS record type 21 (alert), version 3.x: what a broker's TLS port says to a client that speaks none.
_ALERT = 0x15_03_00_00
_ALERT_BITS = 0xFF_FF_00_FF

_WITH_TLS = {
    False: "set kafka.security_protocol = SSL (SASL_SSL where it demands a login)",
    True: "set kafka.security_protocol = SASL_SSL",
}


def refusal(error: BaseException, kafka: KafkaConfig, address: str, stage: Stage) -> str | None:
    """Why the broker at ``address`` and we cannot work together; None where nobody refused anything.

    Nothing listens, no such host, no answer: that may pass, and is for the caller to tell.
    """
    if isinstance(error, UnusableCredentials):
        return str(error)
    causes = list(_causes(error))
    for cause in causes:
        if told := _of_login(cause, kafka, address) or _of_tls(cause, kafka, address):
            return told
        if isinstance(cause, asyncio.IncompleteReadError) and _is_alert(cause.expected):
            return f"{address} speaks TLS: {_WITH_TLS[kafka.authenticated]}"
    hung_up = any(isinstance(cause, EOFError | ConnectionResetError | BrokenPipeError) for cause in causes)
    return _of_hanging_up(kafka, address, stage) if hung_up else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _of_login(error: BaseException, kafka: KafkaConfig, address: str) -> str | None:
    match error:
        case SaslAuthenticationFailed() if kafka.sasl_mechanism == "OAUTHBEARER":
            source = "token_file" if kafka.sasl_oauthbearer_token_file is not None else "token_endpoint_url"
            return (
                f"{address} refuses the token of kafka.sasl_oauthbearer_{source} ({_words(error)}): is it expired, "
                "from another issuer or for another audience?"
            )
        case SaslAuthenticationFailed():
            return (
                f"{address} refuses the login of {kafka.sasl_username!r} by {kafka.sasl_mechanism} ({_words(error)}): "
                "check kafka.sasl_username and the content of kafka.sasl_password_file"
            )
        case UnsupportedSaslMechanismError():
            return (
                f"{address} does not offer kafka.sasl_mechanism = {kafka.sasl_mechanism}, but {_words(error)}: "
                "set one of these"
            )
        case IllegalSaslStateError():
            without = "SSL" if kafka.encrypted else "PLAINTEXT"
            return (
                f"{address} knows no login: set kafka.security_protocol = {without}, or use the port that demands one"
            )
    return None


def _of_tls(error: BaseException, kafka: KafkaConfig, address: str) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error, kafka, address)
    if not isinstance(error, ssl.SSLError):
        return None
    reason = error.reason or str(error)
    if "ALERT" not in reason:
        if isinstance(error, ssl.SSLEOFError) or reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return _without_tls(kafka, address)
        return f"no TLS with {address} ({reason}): broker and client have no version or cipher in common"
    if kafka.ssl_cert_file is None:
        return (
            f"{address} demands a client certificate ({reason}): set kafka.ssl_cert_file and kafka.ssl_key_file, "
            "signed by an authority the broker trusts"
        )
    return (
        f"{address} refuses the client certificate kafka.ssl_cert_file = {kafka.ssl_cert_file} ({reason}): is it "
        "expired, or signed by an authority the broker does not trust?"
    )


def _of_certificate(error: ssl.SSLCertVerificationError, kafka: KafkaConfig, address: str) -> str:
    trusted = f"kafka.ssl_ca_file = {kafka.ssl_ca_file}" if kafka.ssl_ca_file else "the system's authorities"
    code = error.verify_code
    if code == _EXPIRED:
        return f"the certificate of {address} has expired: renew it on the broker"
    if code == _NOT_YET_VALID:
        return f"the certificate of {address} is not valid yet: check the clocks of the broker and of this machine"
    if code in _OTHER_NAME:
        host = address.rpartition(":")[0]
        return (
            f"the certificate of {address} is for another host ({error.verify_message.rstrip('.')}): connect by a name "
            f"that it holds (kafka.bootstrap_servers, and advertised.listeners on the broker) or issue one for {host}"
        )
    if code in _UNKNOWN_AUTHORITY:
        return (
            f"the certificate of {address} is not signed by {trusted} ({error.verify_message}): "
            "set kafka.ssl_ca_file to the authority that signed it"
        )
    return f"the certificate of {address} is refused by {trusted}: {error.verify_message}; correct it on the broker"


def _of_hanging_up(kafka: KafkaConfig, address: str, stage: Stage) -> str | None:
    if stage == "connecting":
        return _without_tls(kafka, address) if kafka.encrypted else None
    if stage == "greeting":
        if kafka.encrypted and kafka.ssl_cert_file is None:
            return (
                f"{address} hung up right after the TLS handshake: if it demands a client certificate, set "
                "kafka.ssl_cert_file and kafka.ssl_key_file"
            )
        if kafka.encrypted:
            return f"{address} hung up right after the TLS handshake: see the broker's log for what it missed"
        return f"{address} hung up at the first word: if it speaks TLS, {_WITH_TLS[kafka.authenticated]}"
    if stage == "asking" and not kafka.authenticated:
        return (
            f"{address} hung up at the first request: if it demands a login, set kafka.security_protocol = "
            f"SASL_{'SSL' if kafka.encrypted else 'PLAINTEXT'} and kafka.sasl_mechanism"
        )
    return None


def _without_tls(kafka: KafkaConfig, address: str) -> str:
    return (
        f"{address} hung up in the TLS handshake: if it speaks no TLS, set kafka.security_protocol = "
        f"{'SASL_PLAINTEXT' if kafka.authenticated else 'PLAINTEXT'}, or use its TLS port"
    )


def _is_alert(expected_bytes: int | None) -> bool:
    return expected_bytes is not None and expected_bytes & _ALERT_BITS == _ALERT


def _words(error: BaseException) -> str:
    """What the broker said, on one line."""
    said = next((argument for argument in error.args if isinstance(argument, str) and argument), "no reason given")
    return " ".join(said.split())[:200].rstrip(".")
