"""The plan: create, alter, refuse; never delete; nothing to do when done."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from topology import (
    AlterSetting,
    ObservedCluster,
    ObservedTopic,
    Plan,
    Topology,
    declare,
    plan,
    plan_text,
)


def applied(observed: ObservedCluster, steps: Plan) -> ObservedCluster:
    """The cluster after the plan's steps."""
    topics = dict(observed.topics)
    for create in steps.creations:
        topics[create.name] = ObservedTopic(create.name, create.partitions, create.replication_factor, create.settings)
    for alter in steps.alterations:
        found = topics[alter.name]
        settings = {**found.settings, alter.setting: alter.wanted}
        topics[alter.name] = msgspec.structs.replace(found, settings=settings)
    return msgspec.structs.replace(observed, topics=topics)


def complete(topology: Topology, brokers: int = 3) -> ObservedCluster:
    empty = ObservedCluster(brokers, {})
    return applied(empty, plan(topology, empty))


def changed(observed: ObservedCluster, name: str, **changes: object) -> ObservedCluster:
    topic = msgspec.structs.replace(observed.topics[name], **changes)
    return msgspec.structs.replace(observed, topics={**observed.topics, name: topic})


def with_setting(observed: ObservedCluster, name: str, setting: str, value: str) -> ObservedCluster:
    return changed(observed, name, settings={**observed.topics[name].settings, setting: value})


def lacking(observed: ObservedCluster, name: str) -> ObservedCluster:
    topics = {found: topic for found, topic in observed.topics.items() if found != name}
    return msgspec.structs.replace(observed, topics=topics)


def test_an_empty_cluster_gets_all_five() -> None:
    topology = declare(partitions=4)
    steps = plan(topology, ObservedCluster(3, {}))
    assert [create.name for create in steps.creations] == [topic.name for topic in topology.topics]
    assert {(create.partitions, create.replication_factor) for create in steps.creations} == {(4, 3)}
    assert not steps.alterations
    assert not steps.refusals
    assert not steps.notices
    assert not steps.up_to_date


def test_a_cluster_as_declared_needs_nothing() -> None:
    topology = declare()
    steps = plan(topology, complete(topology))
    assert steps.up_to_date
    assert "up to date" in plan_text(steps)


def test_another_partition_count_is_refused_with_both_numbers_and_the_remedy() -> None:
    topology = declare(partitions=8)
    steps = plan(topology, changed(complete(topology), "tori.actions", partitions=4))
    (refusal,) = steps.refusals
    assert "it has 4 partitions, 8 are declared" in refusal.message
    assert "topics.partitions = 4" in refusal.message
    assert refusal.name == "tori.actions"
    assert not steps.up_to_date
    assert plan_text(steps).startswith("refuse tori.actions: ")


def test_outputs_hold_the_declared_size_though_the_input_topic_allows_less() -> None:
    """A compressed batch within that limit may hold an event above it."""
    topology = declare()
    observed = with_setting(complete(topology), "tori.state", "max.message.bytes", "1000")
    assert plan(topology, observed).alterations == ()


def test_outputs_grow_with_what_the_input_lets_in() -> None:
    topology = declare()
    observed = with_setting(complete(topology), "tori.state", "max.message.bytes", "8000000")
    steps = plan(topology, observed)
    assert {(alter.name, alter.setting, alter.wanted) for alter in steps.alterations} == {
        (topic.name, "max.message.bytes", "8131072") for topic in topology.topics if topic.role != "state"
    }
    assert plan(topology, applied(observed, steps)).up_to_date


def test_a_new_output_fits_the_existing_input() -> None:
    topology = declare()
    observed = with_setting(complete(topology), "tori.state", "max.message.bytes", "9000000")
    (create,) = plan(topology, lacking(observed, "tori.metrics")).creations
    assert create.settings["max.message.bytes"] == "9131072"


def test_a_larger_output_is_left_alone() -> None:
    topology = declare()
    observed = with_setting(complete(topology), "tori.actions", "max.message.bytes", "99000000")
    assert plan(topology, observed).up_to_date


def test_a_changelog_that_forgets_is_altered() -> None:
    topology = declare()
    name = "tori.creative-feedback.changelog"
    for policy in ("delete", "compact,delete"):
        steps = plan(topology, with_setting(complete(topology), name, "cleanup.policy", policy))
        (alter,) = steps.alterations
        assert alter == AlterSetting(name, "cleanup.policy", policy, "compact", alter.why)


def test_an_input_that_forgets_events_is_its_owners_to_change() -> None:
    topology = declare()
    steps = plan(topology, with_setting(complete(topology), "tori.state", "cleanup.policy", "compact"))
    assert not steps.alterations
    assert "cleanup.policy is compact" in steps.refusals[0].message


def test_timestamps_far_ahead_are_shut_out_of_the_input() -> None:
    topology = declare()
    setting = "message.timestamp.after.max.ms"
    observed = with_setting(complete(topology), "tori.state", setting, "9223372036854775807")
    (alter,) = plan(topology, observed).alterations
    assert (alter.name, alter.setting, alter.wanted) == ("tori.state", setting, "3600000")
    assert plan(topology, with_setting(observed, "tori.state", setting, "60000")).up_to_date


def test_durability_is_demanded() -> None:
    topology = declare()
    observed = with_setting(complete(topology), "tori.state", "min.insync.replicas", "1")
    observed = with_setting(observed, "tori.metrics", "unclean.leader.election.enable", "true")
    wanted = {(alter.name, alter.setting, alter.wanted) for alter in plan(topology, observed).alterations}
    assert wanted == {
        ("tori.state", "min.insync.replicas", "2"),
        ("tori.metrics", "unclean.leader.election.enable", "false"),
    }


def test_more_in_sync_than_replicas_is_corrected() -> None:
    topology = declare(replication_factor=1)
    observed = with_setting(complete(topology, 1), "tori.state", "min.insync.replicas", "2")
    (alter,) = plan(topology, observed).alterations
    assert (alter.setting, alter.wanted) == ("min.insync.replicas", "1")


def test_few_replicas_are_named_but_stop_nobody() -> None:
    topology = declare(replication_factor=1)
    steps = plan(topology, ObservedCluster(1, {}))
    assert not steps.refusals
    assert len(steps.notices) == 5
    after = plan(topology, complete(topology, 1))
    assert after.up_to_date
    assert "notice tori.state: replication factor 1" in plan_text(after)


def test_more_replicas_than_brokers_are_refused_with_the_remedy() -> None:
    steps = plan(declare(replication_factor=3), ObservedCluster(1, {}))
    assert len(steps.refusals) == 5
    assert "set topics.replication_factor = 1 or add brokers" in steps.refusals[0].message


def test_a_setting_the_cluster_does_not_report_is_named() -> None:
    topology = declare()
    observed = changed(complete(topology), "tori.state", settings={})
    steps = plan(topology, observed)
    assert steps.up_to_date
    assert any("does not report cleanup.policy" in notice for notice in steps.notices)


def test_every_step_is_one_line() -> None:
    topology = declare()
    observed = with_setting(complete(topology), "tori.metrics", "cleanup.policy", "compact")
    text = plan_text(plan(topology, lacking(observed, "tori.actions")))
    assert [line.split()[0] for line in text.splitlines()] == ["create", "alter"]


@given(
    st.dictionaries(
        st.sampled_from([topic.name for topic in declare().topics]),
        st.fixed_dictionaries(
            {},
            optional={
                "cleanup.policy": st.sampled_from(["delete", "compact", "compact,delete"]),
                "max.message.bytes": st.integers(0, 2**31 - 1).map(str),
                "min.insync.replicas": st.integers(1, 4).map(str),
                "unclean.leader.election.enable": st.sampled_from(["true", "false"]),
                "message.timestamp.after.max.ms": st.integers(0, 2**63 - 1).map(str),
            },
        ),
    ),
    st.integers(1, 5),
)
def test_applying_a_plan_without_refusals_leaves_nothing_to_do(
    settings: dict[str, dict[str, str]], replicas: int
) -> None:
    topology = declare(partitions=2, replication_factor=replicas)
    topics = {name: ObservedTopic(name, 2, replicas, found) for name, found in settings.items()}
    observed = ObservedCluster(5, topics)
    steps = plan(topology, observed)
    after = plan(topology, applied(observed, steps))
    assert not after.creations
    assert not after.alterations
    assert after.refusals == steps.refusals
