"""The transition function: one state event in, one action and perhaps a metric out.

The order of the checks is the table of modes: an emergency first, then the row of the mode on arrival.
Answers outside exploring differ in a few words only and are built in one place; how explorations begin and end is
in `injection`, metrics are in `metrics`.
"""

from __future__ import annotations

import sys
from typing import Literal

from msgspec import UNSET

from processor.loop.experiment import group_of, unit_of
from processor.loop.injection import Injector, abort, complete, performance
from processor.loop.intake import Reading, fields_of, read_state
from processor.loop.metrics import MetricWriter
from processor.loop.quality import QualityModel
from processor.loop.rules import Rules
from processor.loop.session import EMERGENCY, EXPLORING, RECOVERING, STABLE, Exploration, Session
from schemas.actions import Action, ActionName, CompletedInjection, Experiment, Mode, Reason
from schemas.events import StateEvent, StateFields
from schemas.metrics import Metric

_LARGEST = sys.float_info.max

# Outside exploring, where it follows the current factor.
_LAMBDA_MULTIPLIERS = {STABLE: 1.0, RECOVERING: 0.9, EMERGENCY: 0.5}


class FeedbackLoop:
    """The loop over any number of independent sessions, under one configuration.

    `shared_model` is the model of all of them where ``quality.scope`` is "shared".
    """

    def __init__(self, rules: Rules, shared_model: QualityModel | None = None) -> None:
        settings = rules.settings
        self.rules = rules
        self.injector = Injector(rules, shared_model)
        self.metrics = MetricWriter(rules)
        self.emergency_limit = rules.emergency_limit
        self.novelty_high = settings.loop.novelty_high
        self.novelty_low = settings.loop.novelty_low
        self.patience_steps = rules.patience_steps
        self.recovery_steps = settings.loop.recovery_steps
        self.stability_threshold = settings.loop.stability_threshold
        self.prune_patience_steps = settings.loop.prune_patience_steps
        self.interval_steps = settings.streaming.interval_steps
        self.point_capacity = rules.point_capacity
        self.keeps_history = rules.keeps_history
        self.experiment = settings.experiment if settings.experiment.mode != "off" else None

    def step(self, session: Session, event: StateEvent) -> tuple[Action, Metric | None]:
        """Advance `session` by `event`; raises `StateRefused`, and then nothing has changed."""
        state = event.state
        warnings: list[str] | None = None
        reported = True
        if isinstance(state, StateFields):
            # The shortcut: all scores given (volatility may be absent) and in range, nothing to warn about.
            n = state.novelty
            if n is None:
                n = state.novelty_score
            a = state.aesthetic_score
            v = state.volatility
            if v is None:
                v = 0.0
            lam = state.lambda_max
            if lam is None:
                lam = 0.0
            override = state.emergency_override
            force = state.force_inject
            if not (
                n is not None
                and a is not None
                and 0.0 <= n <= 1.0
                and 0.0 <= a <= 1.0
                and 0.0 <= v <= 1.0
                and -_LARGEST <= lam <= _LARGEST
            ):
                n, a, v, lam, override, force, reported, warnings = read_state(state)
        else:
            n, a, v, lam, override, force, reported, warnings = read_state(state)

        step = session.step = session.step + 1
        steps = session.steps_in_mode + 1
        mode = session.mode
        points = session.points
        capacity = self.point_capacity
        if step <= capacity:
            points.append(n)
            points.append(a)
        else:
            slot = (step - 1) % capacity * 2
            points[slot] = n
            points[slot + 1] = a
        if self.keeps_history:
            self._stamp(session, event.timestamp)
        if self.experiment is not None and session.group is None:
            user_id = fields_of(state).get("user_id")
            session.group = group_of(self.experiment, unit_of(user_id, session.session_id))
        if force and mode != STABLE:
            warnings = [*(warnings or ()), "force_inject_ignored"]

        sequence = UNSET if event.sequence is None else event.sequence
        timestamp = UNSET if event.timestamp is None else event.timestamp
        action: Action | None = None  # what exploring answers; every other answer is built at the end
        name: ActionName
        reason: Reason
        after: Mode = mode
        completed: CompletedInjection | None = None
        if override or lam > self.emergency_limit:
            name = "emergency_halt"
            reason = "emergency_override" if override else "lambda_max"
            if mode != EMERGENCY:
                after = EMERGENCY
                session.emergency_stops += 1
                session.ledger_dirty = True
                if mode == EXPLORING:
                    completed = abort(session, steps)
        elif mode == EXPLORING:
            exploration: Exploration = session.exploration  # type: ignore[assignment]  # there is one while exploring
            end_reason: Literal["duration_reached", "aesthetic_below_baseline"] | None = None
            if steps >= exploration.duration_steps:
                end_reason = "duration_reached"
            elif reported and session.baseline is not None:
                if a >= self.stability_threshold * session.baseline:
                    session.streak = 0
                else:
                    session.streak += 1
                    if session.streak >= self.prune_patience_steps:
                        end_reason = "aesthetic_below_baseline"
            if end_reason is not None:
                name, reason, after = "end_exploration", end_reason, RECOVERING
                completed = complete(session, steps, end_reason, performance(self.rules.weights, n, a, v))
                self.injector.learn(session, exploration)
            else:
                session.steps_in_mode = steps
                table = exploration.multipliers
                if table is not None:
                    factor = exploration.entropy_factor * table[steps]
                else:
                    multiplier, warning = self.injector.multiplier(exploration, steps)
                    factor = exploration.entropy_factor * multiplier
                    if warning is not None:
                        warnings = [*(warnings or ()), warning]
                factor = 0.0 if factor < 0.0 else (1.0 if factor > 1.0 else factor)
                action = Action(
                    session.session_id,
                    "continue_exploration",
                    EXPLORING,
                    steps,
                    step,
                    sequence,
                    timestamp,
                    "exploring",
                    factor,
                    1.0 + 0.5 * factor,
                    exploration.injection_id,
                    exploration.profile,
                    exploration.params,
                    exploration.entropy_factor,
                    steps / exploration.duration_steps,
                )
        elif mode == STABLE:
            if reported and session.baseline is None:
                session.baseline = a
            if force or n > self.novelty_high or n < self.novelty_low or steps >= self.patience_steps:
                after = EXPLORING
                reading = Reading(n, a, v, lam, False, bool(force), reported, warnings)
                action, warnings = self.injector.inject(session, event, reading, steps)
            else:
                name, reason = "maintain", "no_trigger"
        elif mode == RECOVERING:
            if steps >= self.recovery_steps:
                name, reason, after = "maintain", "recovery_complete", STABLE
            else:
                name, reason = "recover", "recovering"
        elif lam >= self.rules.emergency_exit:
            name, reason = "emergency_halt", "emergency_hysteresis"
        else:
            name, reason, after = "recover", "emergency_cleared", RECOVERING

        changed = after != mode
        if action is None:
            if changed:
                session.mode = after
                steps = 0
            session.steps_in_mode = steps
            action = Action(
                session.session_id,
                name,
                after,
                steps,
                step,
                sequence,
                timestamp,
                reason,
                0.0,
                _LAMBDA_MULTIPLIERS[after],
            )
            if changed:
                action.mode_changed = True
                action.previous_mode = mode
                if completed is not None:
                    action.completed_injection = completed
        if warnings is not None:
            action.warnings = warnings
        if self.experiment is not None:
            action.experiment = Experiment(self.experiment.mode, session.group)  # type: ignore[arg-type]
        interval = self.interval_steps
        if interval and (changed or step % interval == 0):
            return action, self.metrics.metric(session, action)
        return action, None

    def refusal(self, session: Session | None, event: StateEvent, error: str) -> Action:
        """The answer to a refused state; `session` is None where there is none yet, and stays so."""
        sequence, timestamp = event.sequence, event.timestamp
        return Action(
            event.session_id,
            "maintain",
            STABLE if session is None else session.mode,
            0 if session is None else session.steps_in_mode,
            0 if session is None else session.step,
            UNSET if sequence is None else sequence,
            UNSET if timestamp is None else timestamp,
            error=error,
        )

    def _stamp(self, session: Session, timestamp: str | None) -> None:
        if session.step <= self.point_capacity:
            session.stamps.append(timestamp)
        else:
            session.stamps[(session.step - 1) % self.point_capacity] = timestamp
