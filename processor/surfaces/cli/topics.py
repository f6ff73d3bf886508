"""``creative-feedback topics``: what the cluster must have, what it has, and the way there."""

from __future__ import annotations

import sys
from typing import Any, cast

import msgspec
import typer

from processor.config import Settings, declared_topology
from processor.errors import Refused
from processor.surfaces.cli.event_loop import run_async
from processor.surfaces.cli.exits import Difference
from processor.surfaces.cli.options import Config, Json, Overrides, gather_settings
from processor.surfaces.ports import Kafka
from topology import Plan, plan_text
from topology import plan as plan_from

topics_app = typer.Typer(
    name="topics",
    no_args_is_help=True,
    help="Create, alter and check the five topics. Nothing is ever deleted, no partition count changed.",
)


@topics_app.command("plan")
def show_plan(ctx: typer.Context, *, config: Config = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Show what apply would create and alter, and what it would refuse; changes nothing.

    Exits 0 also where there is something to do, 3 where something must be refused.
    """
    settings = gather_settings(config, overrides)
    planned = run_async(_planned(cast(Kafka, ctx.obj), settings))
    _show(planned, as_json)
    _refuse(planned)


@topics_app.command()
def apply(ctx: typer.Context, *, config: Config = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Create what is missing and alter what is not as declared. Repeating it changes nothing.

    Also writes the first progress record of every new changelog partition: without one a worker refuses to
    start.
    """
    settings = gather_settings(config, overrides)
    kafka = cast(Kafka, ctx.obj)

    async def apply_plan() -> Plan:
        async with kafka.topics(settings) as admin:
            planned = plan_from(declared_topology(settings), await admin.observe())
            if not planned.refusals:
                await admin.apply(planned)
            return planned

    planned = run_async(apply_plan())
    _show(planned, as_json)
    _refuse(planned)


@topics_app.command()
def check(ctx: typer.Context, *, config: Config = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Exit 0 where the topics are as declared, 1 where apply has something to do, 3 where it would refuse."""
    settings = gather_settings(config, overrides)
    planned = run_async(_planned(cast(Kafka, ctx.obj), settings))
    _show(planned, as_json)
    _refuse(planned)
    if not planned.up_to_date:
        raise Difference("the topics are not as declared: run creative-feedback topics apply")


async def _planned(kafka: Kafka, settings: Settings) -> Plan:
    async with kafka.topics(settings) as admin:
        return plan_from(declared_topology(settings), await admin.observe())


def _show(planned: Plan, as_json: bool) -> None:
    if as_json:
        shown: dict[str, Any] = msgspec.to_builtins(planned)
        shown["up_to_date"] = planned.up_to_date
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    else:
        sys.stdout.write(plan_text(planned))


def _refuse(planned: Plan) -> None:
    """One line for the first refusal; the plan, printed before, names them all."""
    if planned.refusals:
        first, *others = planned.refusals
        more = f" (and {len(others)} more refused)" if others else ""
        raise Refused(f"{first.name}: {first.message}{more}")
