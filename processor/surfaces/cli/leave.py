"""``creative-feedback leave``: instances that do not come back are not waited for."""

from __future__ import annotations

import json
from typing import Annotated, cast

import typer

from processor.surfaces.cli.event_loop import run_async
from processor.surfaces.cli.options import Config, Json, Overrides, gather_settings
from processor.surfaces.ports import Kafka


def leave(
    ctx: typer.Context,
    *,
    instances: Annotated[list[str], typer.Argument(metavar="INSTANCE", help="Instance ids, as of run --instance.")],
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Take instances that do not come back out of the group: the others get their partitions at once.

    With engine.static_membership the partitions of an instance that has ended wait for its next start until
    engine.session_timeout_ms is over. That is right for a restart; after scaling down nobody comes. Only those who
    scale can tell the two apart, so they say it here, once the instance has ended.

    One that is named and runs joins again by itself: two rebalances, no harm. One that is no static member of the group
    (any more) is said, and is no error. It needs the login and the ACLs of the processor.

    Example: creative-feedback leave --config production.toml creative-feedback-2
    """
    settings = gather_settings(config, overrides)
    taken_out = run_async(cast(Kafka, ctx.obj).take_out(settings, instances))
    if as_json:
        print(
            json.dumps(
                {
                    "left": [name for name in instances if taken_out[name]],
                    "absent": [name for name in instances if not taken_out[name]],
                }
            )
        )
        return
    for name in instances:
        group = settings.engine.application_id
        print(f"{name}: left group {group}" if taken_out[name] else f"{name}: no static member of group {group}")
