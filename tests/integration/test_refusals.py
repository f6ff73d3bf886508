"""What makes work impossible is refused at once: one line with the remedy, an exit code, nothing written."""

from __future__ import annotations

import pytest

from processor.backends.embedded import EmbeddedKafka
from processor.backends.embedded.ports import free_ports
from processor.backends.embedded.standin import StandInBroker
from tests.faults.stage import create_topics, scenario_settings
from tests.integration.command import CLUSTER, USAGE, expect_refusal, run_command


async def test_a_missing_broker_is_named_within_seconds() -> None:
    [port] = free_ports(1)
    settings = scenario_settings(f"127.0.0.1:{port}", 1, {})

    ended = await run_command(settings)

    expect_refusal(ended, CLUSTER, f"127.0.0.1:{port}", "start it, or correct kafka.bootstrap_servers")


async def test_missing_topics_are_named_with_the_command_that_makes_them(kafka: EmbeddedKafka) -> None:
    settings = scenario_settings(kafka.bootstrap_servers, 1, {})

    ended = await run_command(settings)

    expect_refusal(ended, CLUSTER, settings.topics.state, settings.topics.changelog, "creative-feedback topics apply")


async def test_a_broker_that_cannot_verify_partitions_is_too_old() -> None:
    """The stand-in of the demo answers like a Kafka before 3.6."""
    with StandInBroker("it is old") as broker:
        settings = scenario_settings(broker.bootstrap_servers, 1, {})

        ended = await run_command(settings)

    expect_refusal(ended, CLUSTER, broker.bootstrap_servers, "too old", "use Kafka 3.6 or newer")


async def test_another_partition_count_is_refused(kafka: EmbeddedKafka) -> None:
    settings = scenario_settings(kafka.bootstrap_servers, 2, {})
    await create_topics(settings)

    ended = await run_command(settings, CREATIVE_FEEDBACK__TOPICS__PARTITIONS="3")

    expect_refusal(ended, CLUSTER, settings.topics.state, "2", "3", "partition")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LOOP__RECOVERY_STEPS", "-1", ("loop.recovery_steps", "-1")),
        ("LOOP__NOVELTY_HIGH", "NaN", ("loop.novelty_high",)),
        ("LOOP__MAX_EXPLORATION_STEPS", "5", ("loop.max_exploration_steps", "loop.min_exploration_steps")),
        ("LOOP__NO_SUCH_KEY", "1", ("CREATIVE_FEEDBACK__LOOP__NO_SUCH_KEY", "no such setting")),
        ("ENGINE__COMMIT_INTERVAL_MS", "fast", ("engine.commit_interval_ms",)),
        ("ENGINE__TRANSACTION_TIMEOUT_MS", "600000", ("engine.transaction_timeout_ms", "session")),
        ("PROFILES__SELECTION", "unheard-of", ("profiles.selection", "unheard-of")),
    ],
)
async def test_a_bad_setting_is_named(variable: str, value: str, words: tuple[str, ...]) -> None:
    settings = scenario_settings("127.0.0.1:9", 1, {})

    ended = await run_command(settings, **{f"CREATIVE_FEEDBACK__{variable}": value})

    expect_refusal(ended, USAGE, *words)
    assert len(ended.said.splitlines()) == 1
