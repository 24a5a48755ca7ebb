"""The commands ``profile get``, ``set``, ``edit`` and ``delete``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest


@pytest.fixture
def editor(tmp_path):
    """Write an editor: a program in Python that changes the text of the file in ``text``."""

    def write(body, before=""):
        program = tmp_path / "editor.py"
        program.write_text(
            f"import sys, json\npath = sys.argv[1]\ntext = open(path).read()\n{before}\n"
            f"{body}\nopen(path, 'w').write(text)\n"
        )
        return {"EDITOR": f"{sys.executable} {program}", "VISUAL": ""}

    return write


def kept(done):
    """Give the file that keeps what was written, and remove it."""
    path = Path(done.err.partition("is in ")[2].strip().removesuffix("."))
    text = path.read_text()
    path.unlink()
    return text


def test_a_profile_is_set_merged_replaced_and_printed(run_command, memory):
    """Whoever's it is, for all agents or for one."""
    done = run_command("profile", "set", "alice", '{"a": {"b": 1, "c": 2}}')
    assert json.loads(done.out) == {"a": {"b": 1, "c": 2}}
    done = run_command("profile", "set", "alice", "-", "--json", piped='{"a": {"b": null}, "é": 2}')
    assert done.records() == [{"a": {"c": 2}, "é": 2}]
    assert done.out.isascii()
    assert json.loads(run_command("profile", "get", "alice").out) == memory.profile("alice").get()
    run_command("profile", "set", "alice", '{"new": null}', "--replace")
    assert memory.profile("alice").get() == {"new": None}
    run_command("profile", "set", "alice", '{"x": 1}', "--agent", "support")
    got = run_command("profile", "get", "alice", "--agent", "support", "--json")
    assert got.records() == [{"x": 1}] == [memory.profile("alice", agent="support").get()]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        *(("[1]", "no object"), ("{", "line 1"), ("", "line 1"), ("hunter2", "line 1")),
        (b'{"a": "\xe9"}', "utf-8"),
        *(('{"a": 1, "a": 2}', "twice"), ('{"a": NaN}', "NaN"), ("{" * 9999, "")),
    ],
)
def test_what_is_no_object_is_refused(run_command, memory, value, reason):
    """Without a word of it, and nothing is written."""
    for replace in ([], ["--replace"]):
        done = run_command("profile", "set", "alice", "-", *replace, piped=value)
        assert done.code in (1, 2)
        assert reason in done.err
        assert "hunter2" not in done.err
    assert not memory.profile("alice").exists()


def test_a_profile_that_is_not_there_is_a_failure(run_command):
    """Of get; while delete finds nothing to do."""
    done = run_command("profile", "get", "alice", "--json")
    assert (done.code, done.out) == (1, "")
    assert 'no profile of "alice"' in done.err
    done = run_command("profile", "delete", "alice", "--yes")
    assert (done.code, done.out) == (0, 'There is no profile of "alice".\n')


def test_a_profile_is_edited(run_command, memory, editor):
    """As JSON that a person reads; what could not be read is edited again."""
    memory.profile("alice").set({"city": "Zürich", "old": 1})
    change = editor("text = text.replace('Zürich', 'Bern')", "assert '  \"city\"' in text")
    done = run_command("profile", "edit", "alice", **change)
    assert (done.code, done.err) == (0, "")
    assert memory.profile("alice").get() == {"city": "Bern", "old": 1}
    twice = editor("text = '{' if 'Bern' in text else '{\"third\": 1}'")
    done = run_command("profile", "edit", "alice", typed="y\n", **twice)
    assert done.code == 0
    assert "line 1" in done.err
    assert memory.profile("alice").get() == {"third": 1}
    done = run_command("profile", "edit", "alice", **editor(""))
    assert (done.code, done.out) == (0, "Nothing was changed.\n")


def test_a_new_profile_is_edited(run_command, memory, editor):
    """From an empty object on."""
    change = editor("text = '{\"a\": 1}'", "assert json.loads(text) == {}")
    assert run_command("profile", "edit", "bob", "--agent", "support", **change).code == 0
    assert memory.profile("bob", agent="support").get() == {"a": 1}


def test_a_change_that_others_made_meanwhile_is_not_overwritten(
    run_command, memory, server, editor, tmp_path
):
    """And what was written in the editor is kept, readable by its owner alone."""
    memory.profile("alice").set({"city": "Zürich"})
    others = (
        f"import redis; redis.Redis(unix_socket_path={server.socket!r})"
        ".set('agent:profile:alice', '{\"theirs\": 1}')"
    )
    done = run_command("profile", "edit", "alice", **editor("text = '{\"mine\": 1}'", others))
    assert done.code == 1
    assert "changed meanwhile; nothing was written" in done.err
    assert memory.profile("alice").get() == {"theirs": 1}
    assert json.loads(kept_path(done).read_text()) == {"mine": 1}
    assert kept_path(done).stat().st_mode & 0o777 == 0o600
    kept_path(done).unlink()


def kept_path(done):
    """Name the file that keeps what was written."""
    (line,) = [line for line in done.err.splitlines() if "is in " in line]
    return Path(line.partition("is in ")[2].removesuffix("."))


def test_what_an_editor_leaves_is_read_as_utf_8(run_command, memory, editor):
    """Another encoding is refused, and not guessed at."""
    latin = editor("open(path, 'wb').write(b'{\"a\": \"\\xe9\"}'); sys.exit()")
    done = run_command("profile", "edit", "alice", typed="n\n", **latin)
    assert done.code == 1
    assert "utf-8" in done.err
    assert not memory.profile("alice").exists()
    kept_path(done).unlink()


@pytest.mark.parametrize("body", ["text = '{'", "text = '{'; sys.stdin.close()", "sys.exit(3)"])
def test_an_editor_that_fails_changes_nothing(run_command, memory, editor, body):
    """Nor one that leaves what cannot be read."""
    memory.profile("alice").set({"a": 1})
    done = run_command("profile", "edit", "alice", typed="n\n", **editor(body))
    assert done.code == 1
    assert "nothing was written" in done.err
    assert memory.profile("alice").get() == {"a": 1}
    if "'{'" in body:
        assert kept_path(done).read_text() == "{"
        kept_path(done).unlink()


def test_no_editor_is_told(run_command):
    """With the variable that names one."""
    done = run_command("profile", "edit", "alice", EDITOR="/no/such/editor", VISUAL="")
    assert done.code == 1
    assert "EDITOR" in done.err


@pytest.mark.parametrize("arguments", [["set", "alice", '{"b": 2}'], ["edit", "alice"]])
def test_a_profile_goes_on_expiring(run_command, memory, editor, arguments):
    """When it would have, or as the settings say."""
    memory.profile("alice", ttl=1000).set({"a": 1})
    change = editor('text = text.replace("1", "2")')
    assert run_command("profile", *arguments, **change).code == 0
    assert 990 < memory.profile("alice").connection.run(left("agent:profile:alice")) <= 1000
    assert run_command("profile", "set", "alice", "{}", MEMORY__USER_TTL_DAYS="1").code == 0
    assert 86_000 < memory.profile("alice").connection.run(left("agent:profile:alice")) <= 86_400


def left(key):
    """Ask for the seconds that a key still lives."""
    from langchain_redis_memory.profiles.versioned import time_to_live

    return time_to_live(key)


def test_a_profile_is_deleted_when_that_is_agreed(run_command, memory):
    """And not otherwise."""
    memory.profile("alice").set({"a": 1})
    assert run_command("profile", "delete", "alice", piped="").code == 2
    assert "would remove" in run_command("profile", "delete", "alice", "--dry-run", piped="").out
    assert run_command("profile", "delete", "alice", typed="n\n").code == 1
    assert memory.profile("alice").exists()
    done = run_command("profile", "delete", "alice", typed="y\n")
    assert (done.code, done.out) == (0, 'Removed the profile of "alice".\n')
    assert memory.address in done.err
    assert not memory.profile("alice").exists()
