"""``python -m tests.deploy.chart_settings``: write the processor's settings into the chart's values.schema.json.

The annotations in `processor.config.settings` are where names and ranges stand. The chart refuses what the processor
would refuse, before a pod has it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from processor.config import Settings

SCHEMA: Final = Path(__file__).parents[2] / "helm" / "creative-feedback" / "values.schema.json"

# What the chart sets from other values or from the pod. The templates refuse it with the remedy, which a schema cannot.
SET_BY_THE_CHART: Final = frozenset(
    {
        "engine.instance_id",
        "http.host",
        "http.port",
        "http.advertised_url",
        "http.token_file",
        "kafka.bootstrap_servers",
        "kafka.security_protocol",
        *(f"kafka.ssl_{key}" for key in ("ca_file", "cert_file", "key_file", "key_password_file", "check_hostname")),
        *(f"kafka.sasl_{key}" for key in ("mechanism", "username", "password_file")),
        *(f"kafka.sasl_oauthbearer_{key}" for key in ("token_file", "token_endpoint_url", "client_id")),
        *(f"kafka.sasl_oauthbearer_{key}" for key in ("client_secret_file", "scope", "ca_file")),
        "quality.pretrain_file",
        "topics.partitions",
        "topics.replication_factor",
    }
)

# Helm's patterns know no look-ahead; the processor itself refuses the two names that this one lets through.
_PATTERNS: Final = {r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$": "^[A-Za-z0-9._-]{1,249}$"}


def settings_schema() -> dict[str, Any]:
    """JSON Schema (draft 7) of the value ``settings``: section -> key -> value, each of them or null."""
    structs = msgspec.json.schema(Settings)["$defs"]
    sections = {}
    for section in Settings.__struct_fields__:
        properties = structs[type(getattr(Settings(), section)).__name__]["properties"]
        sections[section] = _table(
            {key: _setting(f"{section}.{key}", schema) for key, schema in properties.items()},
        )
    return _table(sections)


def _table(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": ["object", "null"], "additionalProperties": False, "properties": properties}


def _setting(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    if name in SET_BY_THE_CHART:
        return {"description": "Set by the chart; refused here."}
    found = {key: value for key, value in schema.items() if key not in ("default", "anyOf")}
    for alternative in schema.get("anyOf", ()):
        if alternative != {"type": "null"}:
            found.update(alternative)
    if (items := found.pop("prefixItems", None)) is not None:
        found["items"] = items[0]  # all of one kind
    if (pattern := found.get("pattern")) is not None:
        found["pattern"] = _PATTERNS.get(pattern, pattern)
    if "enum" in found:
        found["enum"] = [*found["enum"], None]
    else:
        kinds = [found["type"]]
        if name == "engine.session_ttl":
            kinds.append("integer")  # seconds, as the loader takes them
        found["type"] = [*kinds, "null"]
    return found


def rendered(document: str) -> str:
    """The text of values.schema.json with the settings as they are now."""
    schema = json.loads(document)
    schema["properties"]["settings"] = settings_schema()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(rendered(SCHEMA.read_text(encoding="utf-8")), encoding="utf-8")
