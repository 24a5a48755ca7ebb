"""The commands that look: ``agents``, ``users``, ``sessions``, ``show``."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess

import pytest
from command_line import COMMAND, SOURCE, at_terminal, environment
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_from_dict,
)

EVIL = "\x1b[2J\x1b]0;owned\x07[bold red]not markup[/] :smile: \u202eturned\u2028\x9b1m\r\ud800"
ACTIVE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800]")
TOOLS = [
    SystemMessage("You help.\n" + "All rules. " * 40),
    HumanMessage("Where is my order?"),
    AIMessage("", tool_calls=[{"name": "find", "args": {"order": 7, "by": "é"}, "id": "c1"}]),
    ToolMessage("on its way\n" * 30, tool_call_id="c1", name="find"),
    AIMessage([{"type": "text", "text": "It is on its way."}, {"type": "image", "url": "x"}]),
]


@pytest.fixture
def talk(memory):
    """A conversation with a tool call."""
    memory.history("support", "alice", "s1").add_messages(TOOLS)
    return memory


def test_names_are_listed(run_command, memory):
    """A line each, or a JSON object each."""
    for user in ("alice", "bob"):
        memory.history("support", user, "s1").add_user_message("Hello")
    memory.profile("carol").set({"a": 1})
    assert run_command("agents").out == "support\n"
    assert run_command("agents", "--json").records() == [{"agent": "support"}]
    assert sorted(run_command("users", "support").out.split()) == ["alice", "bob"]
    everyone = run_command("users", "--json").records()
    assert sorted(record["user"] for record in everyone) == ["alice", "bob", "carol"]
    none = run_command("users", "nobody")
    assert (none.code, none.out, none.err) == (0, "", f"There are no users in {memory.address}.\n")


def test_sessions_are_a_table_or_lines_of_json(run_command, memory):
    """With what the library tells of them."""
    for session, ttl in (("s1", 1000), ("s2", None)):
        memory.history("support", "alice", session, ttl=ttl).add_user_message("Hello")
    heading, newest, other = run_command("sessions", "support", "alice").out.splitlines()
    assert heading.split() == ["session", "messages", "last", "active", "(UTC)", "expires", "in"]
    assert re.match(r"s2 +1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  never", newest)
    assert re.search(r"s1 +1  .* 0:16:\d\d", other)
    done = run_command("sessions", "support", "alice", "--json")
    known = memory.sessions("support", "alice")
    assert [record["session"] for record in done.records()] == ["s2", "s1"]
    record = done.records()[1]
    assert {**record, "ttl": None} == {
        "agent": "support",
        "user": "alice",
        "session": "s1",
        "messages": 1,
        "last_active": known[1].last_active.isoformat(timespec="milliseconds"),
        "ttl": None,
    }
    assert 990 < record["ttl"] <= 1000
    limited = run_command("sessions", "support", "alice", "--limit", 1, "--json")
    assert len(limited.records()) == 1
    assert "There are more" in limited.err
    assert "no sessions" in run_command("sessions", "support", "bob").err


def test_a_conversation_is_shown_with_tools_folded(run_command, talk):
    """A line a call, a result, an instruction; the rest as it is; no line is wider than 80."""
    shown = run_command("show", "support", "alice", "s1").out
    assert shown.startswith("support / alice / s1\n5 messages\nlast active 20")
    assert "expires in 6 days, 23:59:5" in shown or "expires in 7 days" in shown
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line).rstrip() for line in shown.splitlines()[5:]]
    assert lines[0].startswith("system     You help. All rules.")
    assert lines[0].endswith("…")
    assert lines[1] == "user       Where is my order?"
    assert lines[2] == 'assistant  → find(order=7, by="é")'
    assert lines[3].startswith("tool       ← find: on its way on its way")
    assert lines[4] == "assistant  It is on its way."
    assert lines[5].strip() == "[image]"
    assert len(lines) == 6
    assert max(map(len, shown.splitlines())) <= 80


def test_what_other_programs_stored_is_shown_too(run_command, server):
    """Blocks of a strange type, and a call of which nothing is known."""
    content = [{"type": ["x"]}, {"type": None}, "text"]
    call = {"name": None, "args": None, "id": None, "error": None}
    element = {"type": "ai", "data": {"content": content, "invalid_tool_calls": [call]}}
    server.client.lpush("agent:memory:support:alice:s1", json.dumps(element))
    for options in ([], ["--full"], ["--json"]):
        done = run_command("show", "support", "alice", "s1", *options)
        assert (done.code, done.err) == (0, "")
    assert "→ a tool (no JSON)" in run_command("show", "support", "alice", "s1").out


def test_it_is_shown_whole_or_its_end(run_command, talk):
    """With --full and --last."""
    whole = run_command("show", "support", "alice", "s1", "--full").out
    assert whole.count("on its way") == 31
    assert whole.count("rules.") == 40
    assert '"order": 7' in whole
    end = run_command("show", "support", "alice", "s1", "--last", 2).out
    assert "the last 2 of 5 messages" in end
    assert "← find" in end
    assert "Where is my order?" not in end


def test_messages_come_back_equal_from_its_json(run_command, talk):
    """With the time at which each was stored, and nothing else on stdout."""
    records = run_command("show", "support", "alice", "s1", "--json").records()
    assert messages_from_dict(records) == TOOLS
    active = talk.sessions("support", "alice")[0].last_active.timestamp()
    assert all(record["stored"].endswith("+00:00") for record in records)
    assert active > 0


def test_looking_puts_off_no_expiry(run_command, memory, server):
    """Neither that of a session nor that of a profile."""
    memory.history("support", "alice", "s1", ttl=1000).add_user_message("Hello")
    memory.profile("alice", ttl=1000).set({"a": 1})
    keys = ("agent:memory:support:alice:s1", "agent:profile:alice")
    for key in keys:
        server.client.pexpire(key, 500_000)
    run_command("show", "support", "alice", "s1", MEMORY__THREAD_TTL_HOURS="1")
    run_command("profile", "get", "alice", MEMORY__USER_TTL_DAYS="1")
    assert all(0 < server.client.pttl(key) <= 500_000 for key in keys)


def test_what_is_stored_is_text(run_command, memory):
    """Control sequences, markup and what turns text around are shown, not acted on."""
    said = [
        HumanMessage(EVIL),
        AIMessage(EVIL, tool_calls=[{"name": EVIL, "args": {EVIL: EVIL}, "id": "1"}]),
        ToolMessage(EVIL, tool_call_id="1", name=EVIL),
        ChatMessage(EVIL, role=EVIL),
        AIMessage([{"type": EVIL}]),
    ]
    memory.history(EVIL, EVIL, EVIL).add_messages(said)
    memory.profile(EVIL).set({EVIL: EVIL})
    commands = [
        *(["agents"], ["users", EVIL], ["sessions", EVIL, EVIL], ["show", EVIL, EVIL, EVIL]),
        *(["show", EVIL, EVIL, EVIL, "--full"], ["profile", "get", EVIL], ["agents", "--json"]),
        *(["show", EVIL, EVIL, EVIL, "--json"], ["forget", EVIL, "--dry-run"]),
        *(["show", EVIL, EVIL, "other"], ["profile", "get", EVIL, "--agent", EVIL]),
    ]
    for command in commands:
        done = run_command(*command, NO_COLOR="", TERM="xterm")
        shown = re.sub(r"\x1b\[[\d;]*m", "", done.out + done.err)  # our own colours
        assert not ACTIVE.search(shown), command
        assert "[bo" in shown, command  # a column may break behind it


def test_an_id_stays_in_its_line_and_looks_like_no_other(run_command, memory):
    """Also in an error: what reads names line by line finds no name that is not there."""
    for session in ("s 1", "s\n1", "s\t1", "s  1"):
        memory.history("support", "x\nroot", session).add_user_message("Hello")
    assert run_command("users").out == "x\\nroot\n"
    listed = run_command("sessions", "support", "x\nroot").out.splitlines()[1:]
    assert {line[:6].strip() for line in listed} == {"s 1", r"s\n1", r"s\t1", "s  1"}
    assert r"x\nroot" in run_command("clear", "support", "x\nroot", "s 1", "--dry-run").out
    assert r"\u001b[2J" in run_command("import", "\x1b[2J").err


def test_a_terminal_gets_colours_unless_it_is_told_not_to(talk, server, tmp_path):
    """And lines of 80 columns."""
    show = ("show", "support", "alice", "s1")
    with at_terminal(tmp_path, *show, REDIS_URL=server.url) as terminal:
        code, coloured = terminal.ended()
    with at_terminal(tmp_path, *show, REDIS_URL=server.url, NO_COLOR="1") as terminal:
        _, plain = terminal.ended()
    assert code == 0
    assert "\x1b[1;36m" in coloured
    assert not re.search(r"\x1b\[[\d;]*3\dm", plain)
    bare = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert max(map(len, bare.splitlines())) <= 80


def test_what_is_not_there_is_told(run_command, talk):
    """With exit code 1, and nothing on stdout."""
    done = run_command("show", "support", "alice", "s2", "--json")
    assert (done.code, done.out) == (1, "")
    assert 'no session "s2" of "alice" with "support"' in done.err


def test_what_is_damaged_hides_nothing_else(run_command, talk, server):
    """It stands where it is, and is an error at the end; as JSON it has no line."""
    key = "agent:memory:support:alice:s1"
    whole = run_command("show", "support", "alice", "s1", "--json").out
    first, *rest = server.client.lrange(key, 0, -1)
    misshapen = {"type": "ai", "data": {"content": ""}, "apart": {"tool_calls": 5}}
    server.client.delete(key)
    server.client.rpush(key, first, "{", json.dumps(misshapen), "[" * 5000, *rest)
    done = run_command("show", "support", "alice", "s1")
    assert done.code == 1
    assert re.search(
        r"damaged +no stored message \(JSONDecodeError\), element 1 of the list", done.out
    )
    assert re.search(r"ai +\[a field is of an odd type \(TypeError\); --json shows it\]", done.out)
    assert re.search(f"elements 1, 3 of '{key}', .*LINDEX", done.err)
    done = run_command("show", "support", "alice", "s1", "--json")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert set(whole.splitlines()) < set(done.out.splitlines())


def test_one_damaged_message_is_told_with_its_remedy(run_command, talk, server):
    """What is only odd is none, and no failure."""
    key = "agent:memory:support:alice:s1"
    odd = {"type": "ai", "data": {"content": ""}, "apart": {"tool_calls": 5}}
    server.client.lpush(key, json.dumps(odd))
    assert run_command("show", "support", "alice", "s1").code == 0
    server.client.lpush(key, "{")
    done = run_command("show", "support", "alice", "s1", "--last", "1")
    assert (done.code, f"LINDEX '{key}' 0" in done.err) == (1, True)


def test_a_word_that_is_longer_than_the_line_is_shown_whole(run_command, memory):
    """Such as an address, in as many lines as it takes."""
    url = "https://example.org/" + "/".join(f"part{number:03}" for number in range(30))
    memory.history("support", "alice", "s").add_user_message(f"see {url}")
    shown = "".join(run_command("show", "support", "alice", "s").out.split())
    assert url in shown


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_it_works_where_a_stream_is_closed(server, talk, tmp_path, closed):
    """As some that start programs have it; nobody is asked then."""
    given = {"cwd": tmp_path, "env": environment(tmp_path, REDIS_URL=server.url)}
    for command, code in (("agents", 0), ("forget alice", 2)):
        done = subprocess.run(
            ["sh", "-c", f'"$@" {closed}>&-', "sh", *COMMAND, *command.split()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **given,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr


def test_names_are_not_mixed_with_the_bar(server, memory, tmp_path):
    """At a terminal it goes when the first is found."""
    for number in range(3):
        memory.history(f"agent{number}", "alice", "s").add_user_message("Hello")
    with at_terminal(tmp_path, "agents", REDIS_URL=server.url) as terminal:
        server.process.send_signal(signal.SIGSTOP)
        terminal.wait_for("Looking through all keys")
        server.process.send_signal(signal.SIGCONT)
        code, seen = terminal.ended()
    assert code == 0
    assert sorted(seen[seen.index("agent") :].split()) == ["agent0", "agent1", "agent2"]


def test_a_reader_that_leaves_ends_it_quietly(server, tmp_path):
    """As head does, also while much is still to come."""
    pipeline = server.client.pipeline()
    for number in range(20_000):
        pipeline.set(f"agent:memory:support:u{number}:s", "x")
    pipeline.execute()
    with subprocess.Popen(
        [*COMMAND, "users", "support", "--url", server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(tmp_path),
    ) as process:
        assert process.stdout.readline().startswith(b"u")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) in (0, 1)


def test_the_page_names_commands_that_there_are(run_command):
    """With their options; its outputs are printed by docs/images/command.py."""
    page = (SOURCE / "docs" / "command.md").read_text()
    commands = re.findall(r"^\$ langchain-redis-memory (.*)$", page, re.MULTILINE)
    assert len(commands) > 10
    for command in commands:
        assert run_command(*shlex.split(command), "--help").code == 0, command
