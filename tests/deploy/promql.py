"""Which series a PromQL expression asks for: enough of its grammar to find every selector and every label.

What is not known to be something else counts as a metric, so that a mistake of this reader shows as an unknown metric.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"|(?P<range>\[[^\]]*\])"
    r"|(?P<number>(?<![\w:])\d[\w.]*)"
    r"|(?P<word>[a-zA-Z_:][\w:]*)"
    r"|(?P<operator>=~|!~|!=|==|<=|>=|[-+*/%^=<>(){},@])"
    r"|(?P<space>\s+)"
)
LABELLING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
KEYWORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


@dataclass
class Selector:
    """A metric's name with its matchers: label, operator, value."""

    metric: str
    matchers: list[tuple[str, str, str]] = field(default_factory=list)

    def selects(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether it selects that series."""
        return name == self.metric and all(_matches(labels.get(label, ""), *rest) for label, *rest in self.matchers)


@dataclass
class Asked:
    """What an expression asks for: selectors, and the labels that it groups or joins by."""

    selectors: list[Selector] = field(default_factory=list)
    grouping: set[str] = field(default_factory=set)


def asked(expression: str) -> Asked:
    """Read an expression; raises `ValueError` at a character that PromQL does not have."""
    tokens = list(_tokens(expression))
    found = Asked()
    at = 0
    while at < len(tokens):
        kind, token = tokens[at]
        follower = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        at += 1
        if kind != "word" or token.lower() in KEYWORDS:
            if token == "{":
                raise ValueError(f"a selector without a name: {expression}")
            continue
        if token in LABELLING:
            if follower == "(":
                end = _closing(tokens, at, ")")
                found.grouping.update(word for kind, word in tokens[at:end] if kind == "word")
                at = end
            continue
        if follower in {"(", "by", "without"}:
            continue  # a function, an aggregation
        selector = Selector(token)
        found.selectors.append(selector)
        if follower == "{":
            end = _closing(tokens, at, "}")
            inside = [word for _, word in tokens[at + 1 : end] if word != ","]
            for label, operator, value in zip(inside[::3], inside[1::3], inside[2::3], strict=True):
                selector.matchers.append((label, operator, re.sub(r"\\(.)", r"\1", value[1:-1])))
            at = end + 1
    return found


def _tokens(expression: str) -> Iterable[tuple[str, str]]:
    at = 0
    while at < len(expression):
        match = TOKEN.match(expression, at)
        if match is None:
            raise ValueError(f"not PromQL at {expression[at:]!r}")
        at = match.end()
        assert match.lastgroup is not None
        if match.lastgroup != "space":
            yield match.lastgroup, match.group()


def _closing(tokens: list[tuple[str, str]], at: int, bracket: str) -> int:
    return next(place for place in range(at, len(tokens)) if tokens[place][1] == bracket)


def _matches(value: str, operator: str, wanted: str) -> bool:
    match operator:
        case "=":
            return value == wanted
        case "!=":
            return value != wanted
        case "=~":
            return re.fullmatch(wanted, value) is not None
        case _:
            return re.fullmatch(wanted, value) is None
