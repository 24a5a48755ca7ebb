"""The commands ``clear`` and ``forget``: asked first, and as wide as was said."""

from __future__ import annotations

import pytest
from command_line import at_terminal
from langchain_core.messages import HumanMessage

SESSION = ["clear", "support", "alice", "s1"]
FORGET = ["forget", "alice"]


@pytest.fixture
def remembered(memory):
    """Two users of two agents."""
    for agent in ("support", "sales"):
        for user in ("alice", "bob"):
            for session in ("s1", "s10"):
                memory.history(agent, user, session).add_messages([HumanMessage("x")] * 2)
        memory.profile("alice", agent=agent).set({"a": 1})
    memory.profile("alice").set({"a": 1})
    return memory


def sizes(memory):
    """Count the sessions of each agent's users."""
    return [memory.count_sessions(a, u) for a in ("support", "sales") for u in ("alice", "bob")]


@pytest.mark.parametrize(
    ("command", "left", "told"),
    [
        (SESSION, [1, 2, 2, 2], "1 session, 2 messages"),
        (["clear", "support", "alice", "--all-sessions"], [0, 2, 2, 2], "2 sessions, 4 messages"),
        (["clear", "support", "--all-users"], [0, 0, 2, 2], "4 sessions, 8 messages, 1 profile"),
        (FORGET, [0, 2, 0, 2], "4 sessions, 8 messages, 3 profiles, 2 lists of sessions"),
    ],
)
def test_what_is_removed_is_told_and_asked_for(run_command, remembered, command, left, told):
    """Nothing goes without a yes, and nothing else goes with it."""
    looked = run_command(*command, "--dry-run", piped="")
    assert looked.code == 0
    assert looked.out.startswith("This would remove ")
    assert told in looked.out
    for no in ("n\n", "\n", ""):
        refused = run_command(*command, typed=no)
        assert (refused.code, refused.out) == (1, "")
        assert refused.err.endswith("Nothing was removed.\n")
    assert sizes(remembered) == [2, 2, 2, 2]
    done = run_command(*command, typed="y\n")
    assert done.code == 0
    assert told in done.err
    assert remembered.address in done.err
    assert done.out.startswith("Removed ")
    assert sizes(remembered) == left
    again = run_command(*command, "--yes")
    assert (again.code, again.out[:27]) == (0, "There is nothing to remove ")
    assert run_command(*command, "--json").records()[0]["dry_run"] is False


@pytest.mark.parametrize("command", [SESSION, FORGET])
def test_where_nobody_can_be_asked_it_must_be_said(run_command, remembered, command):
    """By --yes; its JSON is the receipt."""
    done = run_command(*command, "--json", piped="y\n")
    assert (done.code, done.out) == (2, "")
    assert "--yes" in done.err
    assert sizes(remembered) == [2, 2, 2, 2]
    looked = run_command(*command, "--dry-run", "--json", piped="").records()
    done = run_command(*command, "--yes", "--json", piped="").records()
    assert [{**done[0], "dry_run": True}] == looked
    assert sizes(remembered)[0] < 2


@pytest.mark.parametrize(
    "command",
    [
        *(["clear", "support"], ["clear", "support", "alice"], ["clear", "support", ""]),
        *(["clear", "support", "alice", "--all-users"], [*SESSION, "--all-sessions"]),
        *(["clear", "support", "--all-sessions"], ["clear", "support", "alice", ""]),
        *(["clear", "", "--all-users"], ["forget", ""], ["clear", "support", "", "s1"]),
    ],
)
def test_a_vague_scope_is_refused(run_command, remembered, command):
    """What a variable that is not set leaves of a command removes nothing."""
    done = run_command(*command, "--yes")
    assert done.code == 2
    assert sizes(remembered) == [2, 2, 2, 2]


def test_profiles_for_the_agent_may_stay(run_command, remembered):
    """With --keep-profiles."""
    run_command("clear", "support", "alice", "--all-sessions", "--keep-profiles", "--yes")
    run_command("clear", "sales", "--all-users", "--keep-profiles", "--yes")
    assert remembered.profile("alice", agent="support").exists()
    assert remembered.profile("alice", agent="sales").exists()
    assert sizes(remembered) == [0, 2, 0, 0]


def test_a_person_is_asked_at_a_terminal(remembered, server, tmp_path):
    """And answers there; Ctrl-C removes nothing, says so, and ends with 130."""
    with at_terminal(tmp_path, *FORGET, REDIS_URL=server.url) as terminal:
        asked = terminal.wait_for("Remove it? [y/N] ")
        assert "4 sessions, 8 messages" in asked
        terminal.type("\x03")
        code, seen = terminal.ended()
    assert code == 130
    assert "Stopped. Nothing was removed." in seen
    assert sizes(remembered) == [2, 2, 2, 2]
    with at_terminal(tmp_path, *FORGET, REDIS_URL=server.url) as terminal:
        terminal.wait_for("Remove it? [y/N] ")
        terminal.type("y\n")
        code, seen = terminal.ended()
    assert code == 0
    assert "Removed all that is kept of" in seen
    assert sizes(remembered) == [0, 2, 0, 2]
