"""Generated documents: kept with the code, equal to the types, true of the records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemas.actions import Action
from schemas.documents import GENERATED, documents, write_documents
from schemas.metrics import Metric
from topology import TopicNames


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        found = [node["$ref"]] if "$ref" in node else []
        return found + [ref for inner in node.values() for ref in references(inner)]
    return [ref for inner in node for ref in references(inner)] if isinstance(node, list) else []


def resolve(document: Any, reference: str) -> Any:
    node = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_the_kept_documents_are_what_the_types_say() -> None:
    kept = {path.name: path.read_text(encoding="utf-8") for path in GENERATED.iterdir()}
    assert kept == documents(), "run: python -m schemas"


def test_writing_again_writes_nothing(tmp_path: Path) -> None:
    assert {path.name for path in write_documents(tmp_path)} == set(documents())
    assert write_documents(tmp_path) == []


def test_every_reference_leads_somewhere() -> None:
    for text in documents().values():
        document = json.loads(text)
        for reference in references(document):
            assert resolve(document, reference)


def test_schemas_name_every_field() -> None:
    for struct in (Action, Metric):
        schema = json.loads(documents()[f"{struct.__name__}.json"])
        assert tuple(schema["properties"]) == struct.__struct_fields__
        required = {"session_id", "mode", "steps_in_mode"}
        assert required <= set(schema["required"])
        assert "timestamp" not in schema["required"]


def test_the_event_schema_demands_nothing_that_may_be_absent() -> None:
    schema = json.loads(documents()["StateEvent.json"])
    assert schema["required"] == []
    assert {"type": "null"} in schema["properties"]["session_id"]["anyOf"]
    assert "additionalProperties" not in schema


def test_channels_are_the_default_topics() -> None:
    channels = json.loads(documents()["asyncapi.json"])["channels"]
    names = TopicNames()
    addresses = {channel["address"] for channel in channels.values()}
    assert addresses == {names.state, names.actions, names.metrics, names.dead_letters}


def test_every_channel_has_one_operation() -> None:
    document = json.loads(documents()["asyncapi.json"])
    used = [operation["channel"]["$ref"].rpartition("/")[2] for operation in document["operations"].values()]
    assert sorted(used) == sorted(document["channels"])
