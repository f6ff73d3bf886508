"""Composition root."""


def main() -> None:
    raise SystemExit("not yet")
