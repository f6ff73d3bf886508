"""The reference of all metrics, for the README."""

from __future__ import annotations

from processor.surfaces.prometheus.names import ALL


def metrics_markdown() -> str:
    """One table: name with its labels, kind, meaning."""
    lines = ["| metric | kind | meaning |", "|---|---|---|"]
    for metric in ALL:
        labels = "{" + ", ".join(metric.labels) + "}" if metric.labels else ""
        lines.append(f"| `{metric.name}{labels}` | {metric.kind} | {metric.meaning.removesuffix('.')} |")
    return "\n".join(lines) + "\n"
