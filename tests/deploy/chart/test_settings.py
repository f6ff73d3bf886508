"""What the values say is what the processor reads: through the rendered files and environment, by its own loader."""

from __future__ import annotations

import math
import struct
import tomllib
from random import Random
from typing import Any

import msgspec
import yaml  # type: ignore[import-untyped]

from processor.config import Settings
from tests.deploy.chart.pods import Existing, Pod, Secret, topics_pod, worker_pod
from tests.deploy.chart.rendering import VALUES, each_set, needs_helm, rendered

pytestmark = needs_helm


def values(chosen: str) -> Any:
    return yaml.safe_load((VALUES / f"{chosen}.yaml").read_text())


def pods(chosen: str) -> list[Pod]:
    release = rendered(chosen)
    return [worker_pod(release), *([topics_pod(release)] if release.all("Job") else [])]


@each_set
def test_every_setting_of_the_values_arrives(chosen: str) -> None:
    said = values(chosen).get("settings", {})
    for pod in pods(chosen):
        settings = pod.settings()
        for section, keys in said.items():
            for key, value in (keys or {}).items():
                found = msgspec.to_builtins(getattr(getattr(settings, section), key))
                default = msgspec.to_builtins(getattr(getattr(Settings(), section), key))
                expected = default if value is None else value
                assert (list(found) if isinstance(found, tuple) else found) == expected, f"{section}.{key}"


@each_set
def test_brokers_and_sizes_of_topics_arrive(chosen: str) -> None:
    said = values(chosen)
    for pod in pods(chosen):
        settings = pod.settings()
        assert settings.kafka.bootstrap_servers == said["kafka"]["bootstrapServers"]
        assert settings.kafka.security_protocol == said["kafka"].get("securityProtocol", "PLAINTEXT")
        assert settings.topics.partitions == said.get("topics", {}).get("partitions", 24)
        assert settings.topics.replication_factor == said.get("topics", {}).get("replicationFactor", 3)


@each_set
def test_what_is_not_said_stays_as_the_processor_has_it(chosen: str) -> None:
    said = values(chosen).get("settings", {})
    settings = worker_pod(rendered(chosen)).settings()
    for section in ("loop", "profiles", "quality", "experiment", "streaming", "logs", "tracing"):
        for key in getattr(Settings(), section).__struct_fields__:
            if key not in (said.get(section) or {}) and key != "pretrain_file":
                assert getattr(getattr(settings, section), key) == getattr(getattr(Settings(), section), key), key


@each_set
def test_a_pod_listens_where_its_port_and_probes_are(chosen: str) -> None:
    http = worker_pod(rendered(chosen)).settings().http
    assert (http.host, http.port) == ("0.0.0.0", 8080)


@each_set
def test_every_file_that_a_setting_names_is_mounted(chosen: str) -> None:
    for pod in pods(chosen):
        settings = pod.settings()
        named = [
            value
            for section in (settings.kafka, settings.http, settings.quality)
            for key, value in msgspec.structs.asdict(section).items()
            if key.endswith("_file") and value is not None
        ]
        assert set(named) <= pod.files.keys()
        secrets = {path for path, content in pod.files.items() if isinstance(content, Secret)}
        assert secrets <= set(named), "mounted for nobody"


def test_scram_over_tls() -> None:
    pod = worker_pod(rendered("production"))
    kafka = pod.settings().kafka
    assert (kafka.security_protocol, kafka.sasl_mechanism) == ("SASL_SSL", "SCRAM-SHA-512")
    assert kafka.sasl_username == "processor"
    assert pod.secret(kafka.ssl_ca_file) == Secret("kafka-cluster-ca", "ca.crt")
    assert pod.secret(kafka.sasl_password_file) == Secret("kafka-processor", "password")
    assert kafka.ssl_check_hostname


def test_the_topics_job_has_a_login_of_its_own_and_the_same_authority() -> None:
    pod = topics_pod(rendered("production"))
    kafka = pod.settings().kafka
    assert kafka.sasl_username == "topics"
    assert pod.secret(kafka.sasl_password_file) == Secret("kafka-topics", "password")
    assert pod.secret(kafka.ssl_ca_file) == Secret("kafka-cluster-ca", "ca.crt")


def test_a_client_certificate() -> None:
    for pod in pods("mtls"):
        kafka = pod.settings().kafka
        assert (kafka.security_protocol, kafka.sasl_mechanism) == ("SSL", None)
        assert pod.secret(kafka.ssl_ca_file) == Secret("kafka-ca", "ca.crt")
        assert pod.secret(kafka.ssl_cert_file) == Secret("processor-certificate", "tls.crt")
        assert pod.secret(kafka.ssl_key_file) == Secret("processor-certificate", "tls.key")
        assert pod.secret(kafka.ssl_key_password_file) == Secret("processor-certificate", "key-password")
        assert kafka.ssl_check_hostname is False


def test_a_token_from_a_file() -> None:
    for pod in pods("oauth-token"):
        kafka = pod.settings().kafka
        assert (kafka.security_protocol, kafka.sasl_mechanism) == ("SASL_SSL", "OAUTHBEARER")
        assert pod.secret(kafka.sasl_oauthbearer_token_file) == Secret("kafka-token", "token")
        assert kafka.ssl_ca_file is None, "the system's authorities"


def test_a_token_from_an_endpoint() -> None:
    for pod in pods("oauth-endpoint"):
        kafka = pod.settings().kafka
        assert kafka.sasl_mechanism == "OAUTHBEARER"
        assert kafka.sasl_oauthbearer_token_endpoint_url == "https://login.example:8443/realms/tori/token"
        assert (kafka.sasl_oauthbearer_client_id, kafka.sasl_oauthbearer_scope) == ("creative-feedback", "kafka")
        assert pod.secret(kafka.sasl_oauthbearer_client_secret_file) == Secret("oauth-client", "client-secret")
        assert pod.secret(kafka.sasl_oauthbearer_ca_file) == Secret("login-ca", "ca.crt")
        assert pod.secret(kafka.ssl_ca_file) == Secret("kafka-ca", "ca.crt")


def test_a_name_with_quotes() -> None:
    for pod in pods("plain"):
        kafka = pod.settings().kafka
        assert (kafka.security_protocol, kafka.sasl_mechanism) == ("SASL_PLAINTEXT", "PLAIN")
        assert kafka.sasl_username == 'pro"cessor\\'
        assert pod.secret(kafka.sasl_password_file) == Secret("kafka-processor", "password")


def test_the_token_of_who_may_look() -> None:
    pod = worker_pod(rendered("production"))
    assert pod.secret(pod.settings().http.token_file) == Secret("feedback-token", "token")
    assert worker_pod(rendered("minimal")).settings().http.token_file is None


def test_past_explorations_to_learn_from() -> None:
    pod = worker_pod(rendered("production"))
    path = pod.settings().quality.pretrain_file
    assert path is not None
    assert pod.files[path] == Existing("past-explorations", "explorations.json")
    assert topics_pod(rendered("production")).settings().quality.pretrain_file is None


def odd_texts(random: Random, count: int) -> list[str]:
    """Text of every kind of character that YAML, a template, JSON or TOML might mistake."""
    kinds = ['"', "'", "\\", "\n", "\r\n", "\t", "#", "{{", "}}", "$", "%", ": ", "- ", "=", "[", "]", "\u0001"]
    # Helm itself refuses other control characters.
    kinds += ["\u0085", "\u2028", "\ufeff", "é", "€", "𝄞", " ", "true", "null", "1e3", "~", "yes", "0x1", "<", ">", "&"]
    return ["".join(random.choices(kinds, k=random.randint(1, 12))) for _ in range(count)]


def odd_numbers(random: Random, count: int) -> list[float]:
    """Doubles of every size, and whole ones."""
    drawn = [struct.unpack("<d", random.randbytes(8))[0] for _ in range(count)]
    whole = [float(10**n) for n in range(23)] + [-1e6, 2.0**53, 2.0**53 + 2, -0.0, 5e-324, 1.7976931348623157e308]
    return [one for one in drawn if math.isfinite(one)] + whole


def test_no_text_and_no_number_is_mistaken_for_something_else() -> None:
    random = Random(6)
    salt = "|".join(odd_texts(random, 400))
    sizes = {f"n{at}": number for at, number in enumerate(odd_numbers(random, 400))}
    weights = [1e6, 1e-7, 123456789, 1.5e300, -0.5, 1e15]
    changed = {
        "settings": {
            "profiles": {"params": {"pulse": sizes}},
            "experiment": {"salt": salt},
            "quality": {"low_gain": 1e21, "feature_weights": weights},
        }
    }
    read = toml("minimal", changed)
    assert read["experiment"]["salt"] == salt
    # A whole number is written with the fewest digits that tell it from others, as every double is.
    assert {name: float(size) for name, size in read["profiles"]["params"]["pulse"].items()} == sizes
    assert read["quality"]["feature_weights"] == weights
    assert read["quality"]["low_gain"] == 1e21


def test_whole_numbers_stay_whole() -> None:
    read = toml("odd-settings")
    assert repr(read["engine"]["max_batch_bytes"]) == "1073741824"
    assert repr(read["loop"]["max_exploration_steps"]) == "1000000000"
    assert repr(read["topics"]["partitions"]) == "10000"
    assert read["engine"]["application_id"] == "0123"


def toml(chosen: str, changed: dict[str, Any] | None = None) -> dict[str, Any]:
    pod = worker_pod(rendered(chosen, changed))
    content = pod.files[pod.argument("--config")]
    assert isinstance(content, str)
    return tomllib.loads(content)


def test_the_environment_has_only_what_differs_from_pod_to_pod_and_the_application() -> None:
    names = {name for name in worker_pod(rendered("production")).environment if name.startswith("CREATIVE_FEEDBACK")}
    own = {"CREATIVE_FEEDBACK__ENGINE__INSTANCE_ID", "CREATIVE_FEEDBACK__HTTP__ADVERTISED_URL"}
    assert names == own | {"CREATIVE_FEEDBACK__ENGINE__APPLICATION_ID"}
