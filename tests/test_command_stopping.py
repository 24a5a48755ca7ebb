"""Ctrl-C in what takes long: a real process gets the signal, and what it leaves is whole."""

from __future__ import annotations

import signal
import subprocess
from contextlib import contextmanager

import pytest
from command_line import COMMAND, at_terminal, environment
from langchain_core.messages import HumanMessage
from servers import wait_until

LONG = 1100
MANY = 30
"""So many that none of these commands is done before it is stopped, on a busy machine either."""
"""More messages than one request of an import carries."""


@contextmanager
def running(server, home, *arguments):
    """Run a command whose server may be held, and goes on in the end."""
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments), "--url", server.url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=home,
        env=environment(home),
    ) as process:
        try:
            yield process
        finally:
            server.process.send_signal(signal.SIGCONT)
            process.kill()


def stopped(server, process, times=1):
    """Press Ctrl-C while a request of the process is under way, and give what it said."""
    said = ""
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        said = said or process.stderr.readline() + process.stderr.readline()
    if times == 1:
        server.process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "Ctrl-C again stops at once" in said
    return err


@pytest.fixture
def archive(memory, server, tmp_path):
    """An export of long conversations."""
    said = [HumanMessage("x", id=str(number)) for number in range(LONG)]
    for number in range(MANY):
        memory.history("support", "alice", f"s{number:02}").add_messages(said)
    memory.export(tmp_path / "all.jsonl")
    server.client.flushall()
    return tmp_path / "all.jsonl"


@pytest.mark.parametrize("times", [1, 2])
def test_an_import_stops_between_two_conversations(server, memory, archive, tmp_path, times):
    """Each is there whole or not at all, and a second import brings the rest."""
    with running(server, tmp_path, "import", archive) as process:
        wait_until(server.client.dbsize, "something is stored")
        server.process.send_signal(signal.SIGSTOP)
        said = stopped(server, process, times)
    assert "Whole so far: " in said
    assert "repeat the command" in said
    counts = [info.messages for info in memory.sessions("support", "alice")]
    assert 0 < len(counts) < MANY
    if times == 1:
        assert set(counts) == {LONG}
    with running(server, tmp_path, "import", archive, "--json") as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f'"unchanged": {counts.count(LONG)}' in out
    assert {info.messages for info in memory.sessions("support", "alice")} == {LONG}


def test_an_export_leaves_no_file(server, memory, archive, tmp_path):
    """Neither a part of one nor the one it was to be made of, and an earlier one as it was."""
    memory.import_(archive)
    home = tmp_path / "home"
    home.mkdir()
    (home / "all.jsonl").write_text("earlier")
    with running(server, home, "export", "all.jsonl") as process:
        wait_until(lambda: list(home.glob(".export-*")), "it is being written")
        server.process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err == "Stopped. No file was written; one that was there is as it was.\n"
    assert [path.name for path in home.iterdir()] == ["all.jsonl"]
    assert (home / "all.jsonl").read_text() == "earlier"


def test_removing_stops_between_two_batches(server, memory, tmp_path):
    """What is gone is gone whole, what is left is listed as before, and a repeat removes it."""
    said, pipeline = memory.history("support", "alice", "s"), server.client.pipeline()
    said.add_user_message("Hello")
    (element,) = server.client.lrange(said.key, 0, -1)
    for number in range(3000):
        pipeline.lpush(f"agent:memory:support:user{number}:s", element)
        pipeline.zadd(f"agent:memory:support:user{number}:sessions", {"s": 1})
    pipeline.execute()
    before = server.client.dbsize()
    clear = ("clear", "support", "--all-users", "--yes")
    with running(server, tmp_path, *clear) as process:
        wait_until(lambda: server.client.dbsize() < before, "something is removed")
        server.process.send_signal(signal.SIGSTOP)
        said = stopped(server, process)
    assert "Removed so far: " in said
    assert "repeat the command" in said
    left = list(memory.users("support"))
    assert 0 < len(left) < 3000
    for user in left[:50]:
        assert memory.count_sessions("support", user) <= 1
    with running(server, tmp_path, *clear) as process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert server.client.dbsize() == 0


def test_a_command_that_only_looks_stops_at_once(server, tmp_path):
    """With 130, also while the server does not answer; at a terminal a bar shows meanwhile."""
    pipeline = server.client.pipeline()
    for number in range(3000):
        pipeline.lpush(f"agent:memory:support:user{number}:s", "x")
    pipeline.execute()
    with at_terminal(tmp_path, "forget", "user7", REDIS_URL=server.url) as terminal:
        server.process.send_signal(signal.SIGSTOP)
        terminal.wait_for("Looking through all keys")
        terminal.wait_for("0:00:01")
        terminal.type("\x03")
        code, seen = terminal.ended()
        server.process.send_signal(signal.SIGCONT)
    assert code == 130
    assert "Stopped. Nothing was removed." in seen
