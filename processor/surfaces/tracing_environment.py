"""Whether to trace, and where to send it: OpenTelemetry's standard variables.

Read here: OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP[_TRACES]_ENDPOINT and _PROTOCOL. All others
(headers, time-out, certificates, compression, sampler, resource, limits of the queue) are read by the SDK itself, but
for OTEL_PROPAGATORS: the trace context of W3C is the one that records carry.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from processor.config import APPLICATION_VERSION, Settings
from processor.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from processor.surfaces.tracing import Tracing

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
# The module that exports, and the logger by which it says what went wrong.
EXPORTERS: Final = {
    "http/protobuf": (
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    ),
    "grpc": (
        "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
        "opentelemetry.exporter.otlp.proto.grpc.exporter",
    ),
}


def tracing_from_environment(settings: Settings, environ: Mapping[str, str]) -> Tracing | None:
    """The observer that traces, or None where the variables ask for none.

    ``environ`` is the process's (the SDK looks nowhere else). Raises `ConfigError` where they ask for what cannot be
    had. Without them nothing of OpenTelemetry is even loaded.
    """
    if not _asked_for(environ):
        return None
    protocol = _first(environ, PROTOCOLS) or "http/protobuf"
    exporter = _exporter(protocol, environ)

    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from processor.surfaces.tracing import Tracing
    from processor.surfaces.tracing_delivery import Delivery

    ours: dict[str, str] = {"service.name": settings.engine.application_id, "service.version": APPLICATION_VERSION}
    if settings.engine.instance_id is not None:
        ours["service.instance.id"] = settings.engine.instance_id
    # What the environment says of the resource wins over what we know.
    resource = Resource.create({**ours, **OTELResourceDetector().detect().attributes})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # at exit it would wait for 30 s
    try:
        provider.add_span_processor(BatchSpanProcessor(Delivery(exporter, EXPORTERS[protocol][1])))
    except ValueError as error:
        raise ConfigError(f"OTEL_BSP_*: {error}") from None
    return Tracing(settings, provider)


def _asked_for(environ: Mapping[str, str]) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter not in ("", "none", "otlp"):
        raise ConfigError(f"OTEL_TRACES_EXPORTER = {exporter!r} is not known here: otlp, or none for no traces")
    return exporter == "otlp" or (not exporter and _first(environ, ENDPOINTS) is not None)


def _first(environ: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((value for name in names if (value := environ.get(name, "").strip())), None)


def _exporter(protocol: str, environ: Mapping[str, str]) -> SpanExporter:
    if protocol not in EXPORTERS:
        raise ConfigError(f"OTEL_EXPORTER_OTLP_PROTOCOL = {protocol!r} is not known here: {' or '.join(EXPORTERS)}")
    for name in ENDPOINTS:
        given = environ.get(name, "").strip()
        if given and protocol != "grpc" and not _is_http(given):  # grpc also takes HOST:PORT
            raise ConfigError(f"{name} = {given!r} is no URL: http://HOST:PORT or https://HOST:PORT")
    try:
        module = importlib.import_module(EXPORTERS[protocol][0])
    except ModuleNotFoundError:
        package = f"opentelemetry-exporter-otlp-proto-{protocol.partition('/')[0]}"
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL = {protocol} needs the package {package}: install it"
            + ("" if protocol == "http/protobuf" else ", or set http/protobuf")
        ) from None
    exporter: SpanExporter = module.OTLPSpanExporter()
    return exporter


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
