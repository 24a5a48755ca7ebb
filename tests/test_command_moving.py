"""The commands ``export``, ``import`` and ``adopt``."""

from __future__ import annotations

import json
import re

import pytest
from command_line import at_terminal
from langchain_core.messages import AIMessage, HumanMessage, convert_to_openai_messages

from conftest import IN_CI, SHARED_DATA
from langchain_redis_memory.samples import load_conversations

TALK = [HumanMessage("Hello"), AIMessage("Hi")]


@pytest.fixture
def remembered(memory):
    """Two conversations and a profile."""
    for user in ("alice", "bob"):
        memory.history("support", user, "s1").add_messages(TALK)
    memory.profile("alice").set({"a": 1})
    return memory


def test_what_was_exported_is_imported(run_command, remembered, server):
    """By the counts that are told; a second time adds nothing, and looking first stores nothing."""
    done = run_command("export", "all.jsonl.gz")
    assert done.out == "Exported 2 sessions with 4 messages, 1 profile.\n"
    some = run_command("export", "bob.jsonl", "--user", "bob", "--agent", "support", "--json")
    assert some.records()[0]["sessions"] == 1
    server.client.flushall()
    looked = run_command("import", "all.jsonl.gz", "--dry-run", "--json")
    assert server.client.dbsize() == 0
    done = run_command("import", "all.jsonl.gz", "--json")
    assert looked.records() == done.records()
    assert done.records()[0] == {
        "sessions": 2,
        "messages": 4,
        "profiles": 1,
        "unchanged": 0,
        "skipped": 0,
    }
    assert remembered.history("support", "bob", "s1").messages == TALK
    again = run_command("import", "all.jsonl.gz")
    assert again.out == "Imported nothing new, 3 already there.\n"


def test_a_conflict_is_told_before_and_dealt_with_as_was_said(run_command, remembered):
    """By stopping, by leaving what is there, or by replacing it."""
    run_command("export", "all.jsonl")
    history = remembered.history("support", "alice", "s1")
    history.clear()
    history.add_user_message("other")
    remembered.profile("alice").set({"a": 2})
    for options in ([], ["--dry-run"]):
        done = run_command("import", "all.jsonl", *options)
        assert (done.code, done.out) == (1, "")
        assert "agent:" in done.err
    for options in (["--dry-run"], []):
        done = run_command("import", "all.jsonl", "--on-conflict", "skip", *options)
        assert "2 left out" in done.out
    looked = run_command("import", "all.jsonl", "--on-conflict", "replace", "--dry-run")
    assert "1 session with 2 messages, 1 profile, 1 already there" in looked.out
    assert history.count() == 1
    run_command("import", "all.jsonl", "--on-conflict", "replace")
    assert history.messages == TALK
    assert remembered.profile("alice").get() == {"a": 1}


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["export", "no/such/directory.jsonl"], 1),
        (["import", "missing.jsonl"], 1),
        (["import", "broken.jsonl"], 2),
        (["adopt", "openai", "missing.jsonl", "--agent", "a"], 1),
        (["adopt", "openai", "broken.jsonl", "--agent", "a"], 2),
        (["adopt", "openai", "--agent", "a"], 2),
        (["adopt", "openai", "list.json", "--agent", "a"], 2),
        (["adopt", "openai", "lines.jsonl", "--agent", "a", "--session", "s"], 2),
        (["adopt", "openai", "list.json", "--agent", "a", "--session", "s", "--remove"], 2),
        (["adopt", "llama-index", "--agent", "a"], 2),
        (["adopt", "langchain-community", "list.json", "--agent", "a"], 2),
        (["adopt", "langchain-community", "--agent", "a", "--ids", "{user}"], 2),
    ],
)
def test_what_cannot_be_done_is_one_line(run_command, server, tmp_path, command, code):
    """With its exit code, without a word of what the file holds, and nothing is stored."""
    (tmp_path / "broken.jsonl").write_text('{"conversation": "hunter2", "messages": []}\n{hunter2')
    (tmp_path / "list.json").write_text('[{"role": "user", "content": "hunter2"}]')
    (tmp_path / "lines.jsonl").write_text('{"conversation": "c", "messages": []}')
    done = run_command(*command)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1
    assert "hunter2" not in done.err
    assert server.client.dbsize() == 0


def test_conversations_of_a_file_are_adopted(run_command, memory, tmp_path):
    """A line each, or one as a list; their user may stand there."""
    messages = convert_to_openai_messages(TALK)
    lines = [
        {"conversation": "c1", "messages": messages},
        {"conversation": "c2", "messages": messages, "user": "bob"},
    ]
    (tmp_path / "lines.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    (tmp_path / "list.json").write_text(json.dumps(messages), encoding="utf-8-sig")
    how = ("--agent", "support", "--user", "alice")
    looked = run_command("adopt", "openai", "lines.jsonl", *how, "--dry-run")
    assert looked.out == "This would adopt 2 sessions with 4 messages.\n"
    assert list(memory.agents()) == []
    assert run_command("adopt", "openai", "lines.jsonl", *how).code == 0
    done = run_command("adopt", "openai", "list.json", *how, "--session", "c3", "--json")
    assert done.records()[0]["messages"] == 2
    assert memory.history("support", "bob", "c2").messages == TALK
    assert sorted(info.session for info in memory.sessions("support", "alice")) == ["c1", "c3"]


def test_other_libraries_conversations_are_adopted_by_the_form_of_their_keys(
    run_command, memory, server
):
    """Keys of another form are left alone; what was adopted may be removed."""
    element = json.dumps({"type": "human", "data": {"content": "Hello", "type": "human"}})
    for key in ("app:alice/s1", "app:bob/a/b", "app:other", "message_store:s9"):
        server.client.rpush(key, element)
    how = ("adopt", "langchain-community", "--agent", "support")
    form = ("--prefix", "app:", "--ids", "{user}/{session}", "--remove")
    looked = run_command(*how, *form, "--dry-run")
    assert looked.out == "This would adopt 2 sessions with 2 messages.\n"
    assert run_command(*how, *form).out == "Adopted 2 sessions with 2 messages.\n"
    assert sorted(server.client.keys("app:*")) == [b"app:other"]
    assert memory.sessions("support", "bob")[0].session == "a/b"
    run_command(*how)
    assert memory.history("support", "default", "s9").count() == 1
    llama = json.dumps({"role": "user", "blocks": [{"block_type": "text", "text": "Hello"}]})
    server.client.rpush("chat:alice", llama)
    done = run_command("adopt", "llama-index", "--agent", "llama", "--prefix", "chat:")
    assert done.out == "Adopted 1 session with 1 message.\n"
    assert memory.history("llama", "default", "alice").messages == [HumanMessage("Hello")]


@pytest.mark.shared_data
def test_every_command_works_on_recorded_conversations(run_command, memory, server, tmp_path):
    """They are adopted, listed, shown, exported, forgotten and imported, and come back equal."""
    if not SHARED_DATA.exists():
        assert not IN_CI, f"{SHARED_DATA} is missing"
        pytest.skip(f"{SHARED_DATA} is missing")
    recorded = load_conversations(SHARED_DATA)
    how = ("--agent", "airline", "--user", "customer")
    done = run_command("adopt", "openai", SHARED_DATA.resolve(), *how, "--json")
    assert done.records()[0]["sessions"] == len(recorded) == 150
    assert run_command("users", "airline").out == "customer\n"
    listed = run_command("sessions", "airline", "customer", "--json").records()
    assert {one["session"]: one["messages"] for one in listed} == {
        name: len(messages) for name, messages in recorded.items()
    }
    show = ("show", "airline", "customer", "task00-trial0")
    with at_terminal(tmp_path, *show, REDIS_URL=server.url) as one:
        code, seen = one.ended()
    assert code == 0
    assert "→ get_user_details(user_id=" in seen
    seen = re.sub(r"\x1b\[[\d;]*m", "", seen)
    assert max(map(len, seen.splitlines())) <= 80
    run_command("export", "all.jsonl.gz")
    forgotten = run_command("forget", "customer", "--yes", "--json").records()[0]
    assert forgotten["messages"] == sum(map(len, recorded.values()))
    assert server.client.dbsize() == 0
    assert run_command("import", "all.jsonl.gz", "--json").records()[0]["sessions"] == 150
    for name, messages in recorded.items():
        assert memory.history("airline", "customer", name).messages == messages
