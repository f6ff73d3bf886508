"""``creative-feedback topics``: what the cluster must have, what it has, and the way there."""

from __future__ import annotations

import sys
from typing import Annotated, Any, cast

import msgspec
import typer

from processor.config import Settings, declared_topology
from processor.errors import ConfigError, Refused
from processor.surfaces.cli.event_loop import run_async
from processor.surfaces.cli.exits import Difference
from processor.surfaces.cli.options import Config, Json, Overrides, gather_settings
from processor.surfaces.ports import Kafka
from topology import DEFAULT_PRINCIPALS, PARTIES, PARTY_MEANING, Party, Plan, acl_commands, acls, plan_text
from topology import plan as plan_from

topics_app = typer.Typer(
    name="topics",
    no_args_is_help=True,
    help="Create, alter and check the five topics, and say who needs which ACLs. Nothing is ever deleted, no "
    "partition count changed.",
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


@topics_app.command("acls")
def show_acls(
    *,
    principal: Annotated[
        str | None,
        typer.Option(
            "--principal",
            metavar="TYPE:NAME",
            help="Who shall be allowed, e.g. User:worker, or User:CN=worker for a client certificate. By default "
            "each role has a principal of its own.",
            show_default=False,
        ),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="|".join(PARTIES), help="Only this role; may be repeated.", show_default=False),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Print the fewest ACLs that each role needs, as kafka-acls.sh commands; needs no broker.

    The roles are the processor, the topics job, the producer of state events, the readers of the output, the
    auditor, and whoever rebuilds a lost changelog.
    """
    settings = gather_settings(config, overrides)
    if principal is not None and not all(principal.partition(":")):
        raise ConfigError(f"--principal {principal}: write it as TYPE:NAME, e.g. User:worker")
    for name in role or ():
        if name not in PARTIES:
            raise ConfigError(f"--role {name}: no such role (known: {', '.join(PARTIES)})")
    kafka = settings.kafka
    shown: dict[Party, dict[str, Any]] = {}
    for party, allowed in acls(declared_topology(settings), settings.engine.application_id).items():
        if role and party not in role:
            continue
        who = principal or DEFAULT_PRINCIPALS[party]
        commands = acl_commands(
            allowed, who, kafka.bootstrap_servers, admin_config=kafka.encrypted or kafka.authenticated
        )
        shown[party] = {"principal": who, "acls": msgspec.to_builtins(allowed), "commands": commands}
    if as_json:
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    else:
        paragraphs = ["\n".join([f"# {PARTY_MEANING[party]}", *one["commands"]]) for party, one in shown.items()]
        sys.stdout.write("\n\n".join(paragraphs) + "\n")


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
