"""What the client fails with, translated: the causes that no broker of the suite shows."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from processor.backends.kafka.diagnosis import Stage, refusal
from processor.config import KafkaConfig, settings_from

ADDRESS = "kafka-1.example:9093"
PLAIN = KafkaConfig()
TLS = settings_from({"kafka": {"security_protocol": "SSL", "ssl_ca_file": "ca.pem"}}).kafka
MTLS = settings_from({"kafka": {"security_protocol": "SSL", "ssl_cert_file": "own.pem"}}).kafka
LOGIN = settings_from(
    {
        "kafka": {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "sasl_username": "worker",
            "sasl_password_file": "password",
        }
    }
).kafka


def verification(code: int, words: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, words
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def closed(cause: BaseException) -> KafkaConnectionError:
    """As the client wraps it: the cause is hidden behind the closed connection."""
    error = KafkaConnectionError(f"Connection at {ADDRESS} closed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kafka", "stage", "named"),
    [
        (verification(9, "certificate is not yet valid"), TLS, "connecting", "not valid yet: check the clocks"),
        (verification(10, "certificate has expired"), TLS, "connecting", "has expired: renew it"),
        (
            verification(19, "self-signed certificate in chain"),
            TLS,
            "connecting",
            "not signed by kafka.ssl_ca_file = ca",
        ),
        (verification(18, "self-signed certificate"), MTLS, "connecting", "not signed by the system's authorities"),
        (verification(62, "Hostname mismatch."), TLS, "connecting", "or issue one for kafka-1.example"),
        (verification(23, "certificate revoked"), TLS, "connecting", "certificate revoked; correct it on the broker"),
        (
            tls_error("WRONG_VERSION_NUMBER"),
            TLS,
            "connecting",
            "if it speaks no TLS, set kafka.security_protocol = PLAIN",
        ),
        (tls_error("NO_SHARED_CIPHER"), TLS, "connecting", "no version or cipher in common"),
        (closed(tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED")), TLS, "greeting", "demands a client certificate"),
        (closed(tls_error("SSLV3_ALERT_BAD_CERTIFICATE")), MTLS, "greeting", "refuses the client certificate"),
        (closed(ConnectionResetError()), TLS, "greeting", "if it demands a client certificate"),
        (closed(ConnectionResetError()), MTLS, "greeting", "see the broker's log"),
        (closed(ConnectionResetError()), PLAIN, "greeting", "if it speaks TLS, set kafka.security_protocol = SSL"),
        (closed(asyncio.IncompleteReadError(b"", 4)), PLAIN, "asking", "if it demands a login"),
        (closed(asyncio.IncompleteReadError(b"", 0x15030300)), PLAIN, "greeting", "speaks TLS: set"),
        (ConnectionResetError(), LOGIN, "connecting", "= SASL_PLAINTEXT, or use its TLS port"),
        (SaslAuthenticationFailed("bad\nword."), LOGIN, "login", "login of 'worker' by PLAIN (bad word): check"),
        (SaslAuthenticationFailed(None), LOGIN, "login", "(no reason given)"),
        (
            UnsupportedSaslMechanismError("GSSAPI"),
            LOGIN,
            "login",
            "does not offer kafka.sasl_mechanism = PLAIN, but GSS",
        ),
    ],
)
def test_the_cause_is_told_in_one_line_with_the_address(
    error: BaseException, kafka: KafkaConfig, stage: Stage, named: str
) -> None:
    told = refusal(error, kafka, ADDRESS, stage)
    assert told is not None
    assert named in told
    assert ADDRESS in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("error", "stage"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "connecting"),
        (socket.gaierror(-2, "Name or service not known"), "connecting"),
        (TimeoutError(), "connecting"),
        (closed(TimeoutError()), "greeting"),
        (closed(ConnectionResetError()), "login"),
    ],
)
@pytest.mark.parametrize("kafka", [PLAIN, TLS, LOGIN])
def test_what_nobody_refused_is_not_called_a_refusal(error: BaseException, stage: Stage, kafka: KafkaConfig) -> None:
    """A broker that restarts, a name that does not resolve yet: waiting may mend it."""
    assert refusal(error, kafka, ADDRESS, stage) is None


def test_a_login_that_breaks_off_later_may_pass() -> None:
    assert refusal(closed(ConnectionResetError()), LOGIN, ADDRESS, "asking") is None
