"""Credentials: read when they are used, named when they cannot be, never shown."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from processor.backends.kafka.security import TokenSource, UnusableCredentials, password, tls_context
from processor.config import KafkaConfig, settings_from
from tests.kafka.certificates import Authority

SECRET = "s3cret-of-nobody"


def login(path: Path, **keys: Any) -> KafkaConfig:
    return settings_from(
        {
            "kafka": {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "PLAIN",
                "sasl_username": "worker",
                "sasl_password_file": str(path),
                **keys,
            }
        }
    ).kafka


def bearer(path: Path) -> KafkaConfig:
    keys = {"sasl_mechanism": "OAUTHBEARER", "sasl_oauthbearer_token_file": str(path)}
    return settings_from({"kafka": {"security_protocol": "SASL_SSL", **keys}}).kafka


def tls(**keys: Any) -> KafkaConfig:
    return settings_from({"kafka": {"security_protocol": "SSL", **keys}}).kafka


@pytest.mark.parametrize(
    ("content", "secret"),
    [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), (" a b \n", " a b "), ("a\n\n", "a\n"), ("pässword", "pässword")],
)
def test_a_line_break_at_the_end_is_the_editors_and_all_else_the_passwords(
    content: str, secret: str, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    path.write_bytes(content.encode())
    assert password(login(path)) == secret


def test_a_password_is_read_again_each_time(tmp_path: Path) -> None:
    path = tmp_path / "password"
    kafka = login(path)
    for content in ("one", "two"):
        path.write_text(content)
        assert password(kafka) == content


@pytest.mark.parametrize(
    ("content", "named"),
    [(None, "No such file"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff\xfe", "not UTF-8")],
)
def test_a_password_file_without_a_password_is_named(content: bytes | None, named: str, tmp_path: Path) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnusableCredentials, match=named) as caught:
        password(login(path))
    assert f"kafka.sasl_password_file = {path}" in str(caught.value)


def test_no_setting_can_hold_a_secret_itself(tmp_path: Path) -> None:
    """What is printed, logged or represented of the settings holds paths, and no more."""
    path = tmp_path / "password"
    path.write_text(SECRET)
    kafka = login(path)
    assert password(kafka) == SECRET
    assert SECRET not in repr(kafka)


@pytest.mark.parametrize("content", ["abc.DEF-1_2~3+4/5==", "a", "a\n", "  a  "])
async def test_a_token_comes_from_its_file(content: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    assert await TokenSource(bearer(path)).token() == content.strip()


@pytest.mark.parametrize("content", ["two words", "a\x01auth=other", "a\nb", "=", "ä"])
async def test_what_is_no_token_is_refused_without_being_shown(content: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(UnusableCredentials, match="holds no access token") as caught:
        await TokenSource(bearer(path)).token()
    assert content not in str(caught.value).replace(str(path), "").replace("sasl_oauthbearer_token_file = ", "")


def test_without_tls_there_is_no_context() -> None:
    assert tls_context(KafkaConfig()) is None


def test_a_context_demands_a_right_certificate_and_a_current_protocol(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    context = tls_context(tls(ssl_ca_file=str(authority.ca_file)))
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1


def test_a_name_that_is_not_checked_leaves_the_authority_checked(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    context = tls_context(tls(ssl_ca_file=str(authority.ca_file), ssl_check_hostname=False))
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_a_renewed_authority_is_trusted_by_the_next_context(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    path = tmp_path / "ca.pem"
    kafka = tls(ssl_ca_file=str(path))
    subjects = []
    for authority in (old, new):
        path.write_bytes(authority.ca_file.read_bytes())
        context = tls_context(kafka)
        assert context is not None
        [certificate] = context.get_ca_certs()
        subjects.append(certificate["subject"])
    assert subjects == [((("commonName", "old"),),), ((("commonName", "new"),),)]


def test_our_certificate_needs_its_own_key_and_the_keys_own_password(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    plain, guarded = authority.issue("plain"), authority.issue("guarded", password=SECRET)
    right = tmp_path / "right"
    right.write_text(SECRET)
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")

    def own(cert: Path, key: Path | None, opening: Path | None = None) -> KafkaConfig:
        return tls(
            ssl_cert_file=str(cert),
            ssl_key_file=key and str(key),
            ssl_key_password_file=opening and str(opening),
        )

    for kafka in (
        own(plain.both_file, None),
        own(plain.cert_file, plain.key_file),
        own(guarded.both_file, None, right),
        own(guarded.cert_file, guarded.key_file, right),
    ):
        assert tls_context(kafka) is not None
    for kafka in (
        own(plain.cert_file, guarded.key_file, right),
        own(plain.cert_file, authority.issue("other").key_file),
        own(plain.cert_file, None),
        own(guarded.both_file, None),
        own(guarded.both_file, None, wrong),
    ):
        with pytest.raises(UnusableCredentials, match="its private key cannot be used") as caught:
            tls_context(kafka)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("key", ["ssl_ca_file", "ssl_cert_file"])
def test_a_file_that_is_not_there_is_named_by_its_key(key: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableCredentials, match=rf"kafka\.{key} = .*: No such file"):
        tls_context(tls(**{key: str(tmp_path / "gone")}))
