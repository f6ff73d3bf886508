"""JSON Schemas and the AsyncAPI document, generated from the types.

The files lie beside the code in ``schemas/generated`` for the neighbours; ``python -m schemas`` writes
them and a test holds them to the types.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.actions import Action
from schemas.dead_letters import DeadLetterHeaders
from schemas.events import WireEvent
from schemas.metrics import Metric

WIRE_VERSION: Final = "1.0.0"
GENERATED: Final = Path(__file__).parent / "generated"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TYPES: Final[Mapping[str, Any]] = {
    "StateEvent": WireEvent,
    "Action": Action,
    "Metric": Metric,
    "DeadLetterHeaders": DeadLetterHeaders,
}
_EVENT_MEANING: Final = (
    "One observation of a session. Without state, the remaining top-level fields are the state. Without"
    " session_id, the record key names the session; both given and different is an error. Fields not listed"
    " are allowed."
)
_FORMATS: Final = ("application/json", "application/msgpack")
# Default topic names: the topology is built on this package, so it cannot be asked; a test compares them.
_CHANNELS: Final = (
    ("state", "tori.state", "StateEvent", "receive", "State events, keyed by session_id."),
    ("actions", "tori.actions", "Action", "send", "One action per usable event, keyed by session_id."),
    ("metrics", "tori.metrics", "Metric", "send", "Figures of a session, keyed by session_id."),
    (
        "deadLetters",
        "tori.state.dead-letters",
        "DeadLetter",
        "send",
        "Unusable events and refused states: key and value untouched, the cause in headers.",
    ),
)


def documents() -> dict[str, str]:
    """Every generated file's text by its name."""
    definitions = _definitions()
    files = {f"{name}.json": _text(_standalone(name, definitions)) for name in _TYPES}
    files["asyncapi.json"] = _text(_asyncapi(definitions))
    return files


def write_documents(folder: Path = GENERATED) -> list[Path]:
    """Write every file that differs; the paths written."""
    folder.mkdir(exist_ok=True)
    written = []
    for name, text in documents().items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return written


def _definitions() -> dict[str, Any]:
    _, definitions = msgspec.json.schema_components(_TYPES.values(), ref_template="#/$defs/{name}")
    event = definitions.pop("WireEvent")
    # The empty default marks "absent" inside the decoder only, and null is left to the reference path.
    session_id = event["properties"]["session_id"]
    del session_id["default"]
    event["properties"]["session_id"] = {"anyOf": [session_id, {"type": "null"}]}
    definitions["StateEvent"] = {**event, "title": "StateEvent", "description": _EVENT_MEANING}
    for definition in definitions.values():
        definition["description"] = " ".join(definition["description"].split())
    return definitions


def _standalone(name: str, definitions: Mapping[str, Any]) -> dict[str, Any]:
    needed: dict[str, Any] = {}
    _collect(definitions[name], definitions, needed)
    document = {"$schema": _DIALECT, "$id": f"urn:creative-feedback:{name}:{WIRE_VERSION}", **definitions[name]}
    return {**document, "$defs": needed} if needed else document


def _collect(node: Any, definitions: Mapping[str, Any], needed: dict[str, Any]) -> None:
    """Gather every definition a schema refers to, directly or not."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if reference is not None:
            name = reference.rpartition("/")[2]
            if name not in needed:
                needed[name] = definitions[name]
                _collect(definitions[name], definitions, needed)
        for inner in node.values():
            _collect(inner, definitions, needed)
    elif isinstance(node, list):
        for inner in node:
            _collect(inner, definitions, needed)


def _asyncapi(definitions: Mapping[str, Any]) -> dict[str, Any]:
    channels = {
        channel: {
            "address": address,
            "description": meaning,
            "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        }
        for channel, address, message, _, meaning in _CHANNELS
    }
    operations = {
        f"{direction}{message}": {
            "action": direction,
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
        }
        for channel, _, message, direction, _ in _CHANNELS
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "creative-feedback",
            "version": WIRE_VERSION,
            "description": "State events in, actions and metrics out, exactly once. Topic names are the defaults."
            f" Values are {_FORMATS[0]}, or {_FORMATS[1]} where the header content-type says so; output has its"
            " input's format. Fields are only ever added.",
        },
        "defaultContentType": _FORMATS[0],
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": _messages(),
            "schemas": _moved({**definitions, "InputHeaders": _INPUT_HEADERS, "OutputHeaders": _OUTPUT_HEADERS}),
        },
    }


def _messages() -> dict[str, Any]:
    key = {"type": "string", "description": "session_id, UTF-8"}
    messages: dict[str, Any] = {
        name: {
            "name": name,
            "headers": {"$ref": f"#/components/schemas/{headers}"},
            "payload": {"$ref": f"#/components/schemas/{name}"},
            "bindings": {"kafka": {"key": key}},
        }
        for name, headers in (
            ("StateEvent", "InputHeaders"),
            ("Action", "OutputHeaders"),
            ("Metric", "OutputHeaders"),
        )
    }
    messages["DeadLetter"] = {
        "name": "DeadLetter",
        "contentType": "application/octet-stream",
        "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
        "payload": {"description": "The input's value as it was."},
    }
    return messages


_CONTENT_TYPE: Final = {"type": "string", "description": "Absent: application/json.", "examples": list(_FORMATS)}
_TRACE: Final = {"type": "string", "description": "W3C trace context, passed on where the input had it."}
_INPUT_HEADERS: Final = {
    "type": "object",
    "properties": {"content-type": _CONTENT_TYPE, "traceparent": _TRACE, "tracestate": _TRACE},
}
_OUTPUT_HEADERS: Final = {
    "type": "object",
    "required": ["source.offset"],
    "properties": {
        "source.offset": {"type": "string", "pattern": "^(0|[1-9][0-9]*)$", "description": "Offset of the input."},
        **_INPUT_HEADERS["properties"],  # type: ignore[dict-item]
    },
}


def _moved(definitions: Mapping[str, Any]) -> Any:
    """The definitions with their references pointing into an AsyncAPI document."""
    return json.loads(json.dumps(definitions).replace("#/$defs/", "#/components/schemas/"))


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
