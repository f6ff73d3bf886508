"""Bad input is an ordinary value: a dead letter each, and the partition goes on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from aiokafka import AIOKafkaProducer

from processor.backends.embedded import EmbeddedKafka
from schemas.dead_letters import SOURCE_TOPIC
from tests.faults.stage import stage
from tests.integration.bad_inputs import OWN_HEADERS, bad_inputs, event
from tests.oracle import LoggedRecord, read_topic


async def test_every_bad_input_is_one_dead_letter_and_the_next_event_is_processed(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    inputs = list(bad_inputs())
    async with stage(kafka.bootstrap_servers, tmp_path, seed=101, partitions=1) as scenario:
        one = await scenario.start("one")
        offsets = {}
        for number, bad in enumerate(inputs):
            offsets[bad.name] = await scenario.load.send_raw(0, bad.key, bad.value, bad.headers)
            await scenario.load.send_raw(0, f"after-{number}".encode(), event(f"after-{number}"))
        await scenario.drained()

        topics = scenario.settings.topics
        letters = (await read_topic(kafka.bootstrap_servers, topics.dead_letters)).records[0]
        actions = (await read_topic(kafka.bootstrap_servers, topics.actions)).records[0]
        assert len(offsets) == len(inputs) == len(letters)
        for bad, letter in zip(inputs, letters, strict=True):
            assert (letter.key, letter.value) == (bad.key, bad.value), bad.name
            told = dict(letter.headers)
            assert told["error.code"] == bad.code.encode(), f"{bad.name}: {told}"
            assert told["error.message"], bad.name
            assert told[SOURCE_TOPIC] == topics.state.encode(), bad.name
            assert (told["source.partition"], told["source.offset"]) == (b"0", b"%d" % offsets[bad.name]), bad.name
            assert int(told["source.timestamp"]) > 1_600_000_000_000, bad.name
            assert set(bad.headers) <= set(letter.headers), bad.name

        answers = answered(actions)
        for number, bad in enumerate(inputs):
            [after] = answers[offsets[bad.name] + 1]
            assert after["session_id"] == f"after-{number}", bad.name
            assert "error" not in after, bad.name
            errors = [action.get("error") for action in answers.get(offsets[bad.name], [])]
            assert len(errors) == (1 if bad.answered else 0), f"{bad.name}: {errors}"
            assert all(errors), bad.name
        assert not one.lines("halted")
        await scenario.proven()


def answered(actions: list[LoggedRecord]) -> dict[int, list[dict[str, object]]]:
    """Actions by the offset of the event they answer."""
    answers: dict[int, list[dict[str, object]]] = {}
    for action in actions:
        offset = int(dict(action.headers)["source.offset"])
        answers.setdefault(offset, []).append(json.loads(action.value or b"null"))
    return answers


async def test_what_is_merely_unusual_is_accepted(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """Repeated JSON keys, ids with control characters and markup, large headers, a foreign partition."""
    unusual = {
        "twice": b'{"session_id": "wrong", "session_id": "twice", "state": {"novelty": 0.1, "novelty": 0.5}}',
        "\x00\x1f\x7f\u2028": event("\x00\x1f\x7f\u2028"),
        "<script>alert(1)</script>": event("<script>alert(1)</script>"),
        "x" * 256: event("x" * 256),
        "emergency": b'{"session_id": "emergency", "state": {"novelty": NaN, "emergency_override": true}}',
        "flat": b'{"session_id": "flat", "novelty": 0.4, "aesthetic_score": 0.5}',
    }
    async with stage(kafka.bootstrap_servers, tmp_path, seed=102, partitions=2) as scenario:
        await scenario.start("one")
        for session_id, value in unusual.items():
            # One of the two partitions is not the one that the key hashes to.
            for partition in (0, 1):
                headers = [*OWN_HEADERS, ("large", b"h" * 64 * 1024)]
                await scenario.load.send_raw(partition, session_id.encode(), value, headers)
        await scenario.drained()

        topics = scenario.settings.topics
        actions = await read_topic(kafka.bootstrap_servers, topics.actions)
        for partition in (0, 1):
            found = [json.loads(action.value or b"null") for action in actions.records[partition]]
            assert [action["session_id"] for action in found] == list(unusual)
            assert not [action for action in found if "error" in action]
            assert [action["action"] for action in found][4] == "emergency_halt"
            traces = {action.headers for action in actions.records[partition]}
            assert all(OWN_HEADERS[0] in headers for headers in traces)
        letters = await read_topic(kafka.bootstrap_servers, topics.dead_letters)
        assert Counter(len(records) for records in letters.records.values()) == {0: 2}
        await scenario.proven()


async def test_aborted_batches_and_holes_in_the_input_are_passed_over(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """A transactional producer of input: what it aborts is nobody's event, its markers take offsets."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=103, partitions=1) as scenario:
        one = await scenario.start("one")
        state = scenario.settings.topics.state
        producer = AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"{state}-foreign", enable_idempotence=True
        )
        await producer.start()
        try:
            for round_number in range(6):
                await producer.begin_transaction()
                for number in range(5):
                    session = f"{round_number}-{number}"
                    await producer.send_and_wait(state, event(session), session.encode(), 0)
                if round_number % 2:
                    await producer.commit_transaction()
                else:
                    await producer.abort_transaction()
        finally:
            await producer.stop()
        log = await read_topic(kafka.bootstrap_servers, state)
        assert len(log.records[0]) == 15
        # The last marker is behind the last record, and the position gets past it without a record.
        await scenario.until("behind the last marker", lambda: scenario.committed().get(0, 0) >= log.log_end[0])

        found = await read_topic(kafka.bootstrap_servers, scenario.settings.topics.actions)
        sessions = [json.loads(action.value or b"null")["session_id"] for action in found.records[0]]
        assert sessions == [f"{r}-{n}" for r in (1, 3, 5) for n in range(5)]
        assert not one.lines("halted")
        # What the transactional producer wrote was not the load's, so the input itself is not compared (O7).
        await scenario.proven(inputs=False)
