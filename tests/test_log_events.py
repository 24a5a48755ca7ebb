"""Events in the log: each retry, and the beginning and the end of an outage."""

from __future__ import annotations

import json
import logging

import pytest

from langchain_redis_memory import OfflineChatModel, RedisMemory, RetryPolicy, StorageUnavailable
from langchain_redis_memory.storage.availability import Availability

CONFIG = {"configurable": {"session_id": "session-4711", "user_id": "alice-4711"}}
QUICK = RetryPolicy(attempts=3, initial=0.001, maximum=0.001, deadline=2)
PLAIN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


@pytest.fixture
def mortal(start_server):
    """A server to be killed and started again."""
    return start_server("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def events(caplog):
    """Give the events so far: level, name, and the other fields as JSON gives them back."""
    caplog.set_level(logging.DEBUG, "langchain_redis_memory")

    def told():
        found = []
        for record in caplog.records:
            fields = {k: v for k, v in vars(record).items() if k not in PLAIN}
            if "event" in fields:
                fields = json.loads(json.dumps(fields))
                found.append((record.levelname, fields.pop("event"), fields))
        return found

    return told


async def test_each_retry_is_an_event(mortal, events, do):
    """With what was to be done, where, the number of the attempt, the pause, and the error."""
    async with RedisMemory.from_url(mortal.url, retry=QUICK) as memory:
        await do(memory, "ping")
        mortal.kill()
        with pytest.raises(StorageUnavailable):
            await do(memory.history("a", "u", "s"), "count")
        mortal.start()
    told = [fields for _, name, fields in events() if name == "retry"]
    assert {level for level, name, _ in events() if name == "retry"} == {"INFO"}
    assert [fields["attempt"] for fields in told] == [1, 2]
    for fields in told:
        assert fields["operation"] == "counting messages"
        assert fields["server"] == mortal.url
        assert 0 < fields["delay"] < 1
        assert fields["error_type"].endswith("Error")


@pytest.mark.parametrize("stateless", [True, False])
async def test_an_outage_is_two_events(mortal, events, do, stateless):
    """Going on without memory or raising errors, however many callers meet it."""
    options = {"on_unavailable": "stateless" if stateless else "error"}
    async with RedisMemory.from_url(mortal.url, retry=QUICK, **options) as memory:
        history = memory.history("a", "u", "s")
        await do(history, "count")
        mortal.kill()
        for _ in range(3):
            try:
                assert await do(history, "count") == 0
            except StorageUnavailable:
                assert not stateless
        mortal.start()
        assert await do(memory, "ping")
        assert memory.available
    began, ended = (event for event in events() if event[1].startswith("outage"))
    level = "WARNING" if stateless else "INFO"  # an error tells its caller
    assert began[:2] == (level, "outage_began")
    kind = began[2].pop("error_type")
    assert kind.endswith("Error")
    assert began[2] == {"server": mortal.url, "stateless": stateless}
    assert ended[:2] == (level, "outage_ended")
    assert 0 < ended[2].pop("seconds") < 600
    assert ended[2] == {"server": mortal.url, "stateless": stateless, "dropped_writes": 0}


def test_the_length_of_an_outage_is_from_its_first_failure_to_the_next_success(events):
    """Whatever happens in between, also in a forked child."""
    availability = Availability(pause=5, deadline=2)
    for now in (100, 105, 112):
        availability.failed(now, "here")
    child = availability.copy()
    for one in (availability, child):
        one.succeeded("here", clock=lambda: 130)
        one.succeeded("here", clock=lambda: 140)
    assert [fields["seconds"] for _, name, fields in events() if name == "outage_ended"] == [30, 30]


async def test_no_event_holds_an_id_or_a_text(mortal, caplog, do):
    """Nor any other line of the log, in a turn that meets an outage."""
    caplog.set_level(logging.DEBUG)
    async with RedisMemory.from_url(mortal.url, retry=QUICK, on_unavailable="stateless") as memory:
        chat = memory.with_history(OfflineChatModel(), agent="agent-4711")
        await do(chat, "invoke", "My name is Alice-4711.", CONFIG)
        mortal.kill()
        await do(chat, "invoke", "My name is Alice-4711.", CONFIG)
        mortal.start()
        await do(memory, "ping")
    ours = [r for r in caplog.records if r.name == "langchain_redis_memory"]
    assert len(ours) >= 4
    assert "4711" not in "\n".join(f"{vars(record)} {record.getMessage()}" for record in ours)
