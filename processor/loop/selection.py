"""Which profile an exploration gets.

Precedence: experiment group, configured profile, custom selector, hints, automatic rule.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, NamedTuple

from processor.loop.experiment import Group
from processor.loop.intake import finite_number
from processor.loop.profiles import CONSTANT

Selector = Callable[[Mapping[str, Any]], Any]


class Choice(NamedTuple):
    """A profile's name, the rule that chose it, and a warning code where the rule failed."""

    profile: str
    rule: str
    warning: str | None = None


class SelectionRules(NamedTuple):
    """What takes part in the choice; `known` are the names of all profiles."""

    configured: str | None
    selector: Selector | None
    hints: bool
    known: Container[str]


def choose_profile(
    rules: SelectionRules, group: Group | None, novelty: float, volatility: float, signals: Mapping[str, Any] | None
) -> Choice:
    """The profile for one injection; `signals` is the state as a mapping (None where no rule needs it)."""
    if group in ("control", "default"):
        return Choice(CONSTANT, f"group_{group}")
    if rules.configured is not None:
        return Choice(rules.configured, "configured")
    if rules.selector is not None:
        return _selected(rules.selector, rules.known, dict(signals or ()))
    if rules.hints and signals is not None:
        hinted = _hinted(signals)
        if hinted is not None:
            return hinted
    return automatic_choice(novelty, volatility)


def automatic_choice(novelty: float, volatility: float) -> Choice:
    """The seeds' rule; every comparison is strict."""
    if volatility > 0.7:
        return Choice("exponential_decay", "high_volatility")
    if novelty < 0.3:
        return Choice("pulse", "low_novelty")
    if 0.4 < novelty < 0.7:
        return Choice("cosine_ramp", "mid_novelty")
    return Choice(CONSTANT, "default")


def _hinted(signals: Mapping[str, Any]) -> Choice | None:
    if signals.get("conversation_stalled") is True:
        return Choice("pulse", "hint_conversation_stalled")
    temperature = finite_number(signals.get("temperature"))
    if temperature is not None and temperature > 0.8:
        return Choice("exponential_decay", "hint_temperature")
    comfort = finite_number(signals.get("user_comfort"))
    if comfort is not None and comfort < 0.5:
        return Choice("cosine_ramp", "hint_user_comfort")
    return None


def _selected(selector: Selector, known: Container[str], signals: dict[str, Any]) -> Choice:
    try:
        name = selector(signals)
    except MemoryError:  # says nothing about the event: the partition must stop instead
        raise
    except Exception:
        return Choice(CONSTANT, "selector", "selector_error")
    if not isinstance(name, str) or name not in known:
        return Choice(CONSTANT, "selector", "selector_error")
    return Choice(name, "selector")
