"""Our side of a secured connection: certificates, passwords and tokens, read from their files when they are used.

Nothing is kept between two connections, so that a renewed file needs no restart.  A secret leaves this module only
towards the broker or the token endpoint: no message, representation or log holds one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from processor.config import KafkaConfig

# RFC 6750, section 2.1; anything else would break the frame of RFC 7628 in which the token travels.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)
MOST_TOKEN_BYTES = 1024 * 1024


class UnusableCredentials(KafkaError):
    """A file or the token endpoint does not give what a connection needs; the message names the setting."""


def tls_context(kafka: KafkaConfig) -> ssl.SSLContext | None:
    """What the TLS handshake needs, from the files as they are now; None without TLS.

    Raises `UnusableCredentials`.
    """
    if not kafka.encrypted:
        return None
    context = _trusting("kafka.ssl_ca_file", kafka.ssl_ca_file)
    context.check_hostname = kafka.ssl_check_hostname
    if kafka.ssl_cert_file is not None:
        _present(context, kafka, kafka.ssl_cert_file)
    return context


def password(kafka: KafkaConfig) -> str:
    """The user's password as its file holds it now. Raises `UnusableCredentials`."""
    return _secret("kafka.sasl_password_file", kafka.sasl_password_file)


class TokenSource(AbstractTokenProvider):
    """A token per login: from the file, or from the endpoint by the client-credentials grant (RFC 6749, 4.4)."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka

    async def token(self) -> str:
        """A fresh token. Raises `UnusableCredentials`."""
        if self._kafka.sasl_oauthbearer_token_endpoint_url is not None:
            return await asyncio.to_thread(self._asked)
        source = f"kafka.sasl_oauthbearer_token_file = {self._kafka.sasl_oauthbearer_token_file}"
        text = _secret("kafka.sasl_oauthbearer_token_file", self._kafka.sasl_oauthbearer_token_file).strip()
        return _checked(text, f"{source} holds no access token: whoever keeps it fresh must write one")

    def _asked(self) -> str:
        kafka = self._kafka
        url = str(kafka.sasl_oauthbearer_token_endpoint_url)
        named = f"kafka.sasl_oauthbearer_token_endpoint_url = {url}"
        secret = _secret("kafka.sasl_oauthbearer_client_secret_file", kafka.sasl_oauthbearer_client_secret_file)
        context = _trusting("kafka.sasl_oauthbearer_ca_file", kafka.sasl_oauthbearer_ca_file)
        try:
            opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect())
            with opener.open(self._request(url, secret), timeout=kafka.request_timeout_ms / 1000) as reply:
                token = json.loads(reply.read(MOST_TOKEN_BYTES))["access_token"]
        except urllib.error.HTTPError as error:
            error.close()
            raise UnusableCredentials(
                f"{named} refuses client {kafka.sasl_oauthbearer_client_id!r} (HTTP {error.code}): check "
                "kafka.sasl_oauthbearer_client_id, kafka.sasl_oauthbearer_client_secret_file and the scope"
            ) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise UnusableCredentials(
                f"{named} cannot be reached ({reason}): check the address and kafka.sasl_oauthbearer_ca_file"
            ) from None
        except (ValueError, KeyError, TypeError):
            token = None
        return _checked(token, f"{named} answers without an access_token: it is not an OAuth 2 token endpoint")

    def _request(self, url: str, secret: str) -> urllib.request.Request:
        form = {"grant_type": "client_credentials"}
        if self._kafka.sasl_oauthbearer_scope is not None:
            form["scope"] = self._kafka.sasl_oauthbearer_scope
        # RFC 6749, section 2.3.1: both halves are form-encoded before they are joined.
        halves = (str(self._kafka.sasl_oauthbearer_client_id), secret)
        basic = base64.b64encode(":".join(urllib.parse.quote_plus(half) for half in halves).encode()).decode()
        return urllib.request.Request(
            url,
            data=urllib.parse.urlencode(form).encode(),
            headers={"Authorization": f"Basic {basic}", "Accept": "application/json"},
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The client's secret goes to the configured endpoint and to no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _checked(token: object, otherwise: str) -> str:
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise UnusableCredentials(otherwise)
    return token


def _secret(key: str, path: str | None) -> str:
    try:
        text = Path(str(path)).read_text(encoding="utf-8")
    except OSError as error:
        raise _unreadable(key, path, error) from None
    except UnicodeDecodeError:
        raise UnusableCredentials(f"{key} = {path} is not UTF-8 text: write the bare secret into it") from None
    # A line break at the end is the editor's, blanks may be the secret's.
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise UnusableCredentials(f"{key} = {path} is empty: write the secret into it")
    return text


def _trusting(key: str, ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise UnusableCredentials(f"{key} = {ca_file} holds no certificate in PEM form: give the authority's") from None
    except OSError as error:
        raise _unreadable(key, ca_file, error) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _present(context: ssl.SSLContext, kafka: KafkaConfig, cert_file: str) -> None:
    """Our own certificate, for brokers that ask for one."""
    opening = kafka.ssl_key_password_file
    # Without a password OpenSSL would ask on the terminal: an empty one is an answer too, and a wrong one.
    answer = "" if opening is None else _secret("kafka.ssl_key_password_file", opening)
    for key, path in (("kafka.ssl_cert_file", cert_file), ("kafka.ssl_key_file", kafka.ssl_key_file)):
        if path is not None:
            try:
                Path(path).open("rb").close()
            except OSError as error:
                raise _unreadable(key, path, error) from None
    try:
        context.load_cert_chain(cert_file, kafka.ssl_key_file, lambda: answer)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or "not readable with this password"
        raise UnusableCredentials(
            f"kafka.ssl_cert_file = {cert_file} and its private key cannot be used ({reason}): both must be PEM, "
            "belong together, and an encrypted key needs the right kafka.ssl_key_password_file"
        ) from None


def _unreadable(key: str, path: str | None, error: OSError) -> UnusableCredentials:
    return UnusableCredentials(f"{key} = {path}: {error.strerror or error}; check the path and who may read it")
