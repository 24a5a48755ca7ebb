"""Which memory a command works on, and that no password is seen on the way."""

from __future__ import annotations

import pytest
from command_line import at_terminal
from servers import Node

from langchain_redis_memory import RedisMemory

SECRET = "hunter2"


@pytest.fixture
def remembered(memory):
    """Two agents, one of which is in a namespace of its own."""
    memory.history("here", "alice", "s1").add_user_message("Hello")
    return memory


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@localhost:6379/0",
        f"redis://alice:{SECRET}@localhost",
        f"redis://alice%3A{SECRET}@localhost",
        f"rediss://alice:{SECRET}/?#@[::1]:6379",
        f"redis://localhost?password={SECRET}",
        f"redis://localhost?pass%77ord={SECRET}",
        f"redis+sentinel://host:26379/service?sentinel_password={SECRET}",
        f"unix://alice:{SECRET}@/tmp/socket",
        f"alice:{SECRET}@localhost",
    ],
)
@pytest.mark.parametrize("command", [["agents"], ["chat"], ["forget", "alice", "--yes"]])
def test_a_url_with_a_password_is_refused(run_command, url, command):
    """It says what to do instead, and does not repeat the password."""
    done = run_command(*command, "--url", url)
    assert done.code == 2
    assert "REDIS_URL" in done.err
    assert "--ask-password" in done.err
    assert SECRET not in done.out + done.err


@pytest.mark.parametrize("url", ["redis://alice@127.0.0.1:1", "redis://[::1]:1/0", "127.0.0.1:1"])
def test_a_url_without_a_password_is_taken(run_command, url):
    """Or refused for what it is."""
    done = run_command("agents", "--url", url, MEMORY__RETRY__DEADLINE="0.2")
    assert done.code == (1 if "://" in url else 2)
    assert "password" not in done.err.partition("redis://user:password")[0]


def test_a_variable_that_is_not_set_names_no_server(run_command):
    """Its empty URL is not the default's embedded server, of which somebody may be forgotten."""
    done = run_command("forget", "alice", "--yes", "--url", "")
    assert (done.code, done.err) == (2, "Error: --url must not be empty\n")


def test_a_password_is_asked_for(tmp_path):
    """At a terminal, where it does not show; and the server takes it."""
    server = Node(tmp_path / "server")
    try:
        server.client.set("agent:memory:guarded:u:s", "x")
        server.client.config_set("requirepass", SECRET)
        url = f"redis://127.0.0.1:{server.port}/0"
        with at_terminal(tmp_path, "agents", "--url", url, "--ask-password") as terminal:
            terminal.wait_for("Password: ")
            terminal.type(f"{SECRET}\n")
            code, seen = terminal.ended()
        assert code == 0, seen
        assert "guarded" in seen
        assert SECRET not in seen
    finally:
        server.stop()


def test_nobody_is_asked_for_a_password_where_there_is_nobody(run_command, server):
    """Nor for that of an embedded server."""
    done = run_command("agents", "--ask-password", piped="")
    assert done.code == 2
    assert "terminal" in done.err
    assert run_command("agents", "--ask-password", "--embedded", "d").code == 2


def test_the_environment_names_the_server(run_command, remembered, server, tmp_path):
    """By REDIS_URL, or by REDIS__... with MEMORY__...; what is given by hand goes before both."""
    socket = {"REDIS_URL": "", "REDIS__SOCKET": server.socket}
    assert run_command("agents").out == "here\n"
    assert run_command("agents", **socket).out == "here\n"
    assert run_command("agents", **socket, MEMORY__NAMESPACE="acme").out == ""
    assert run_command("agents", MEMORY__NAMESPACE="acme").out == ""
    assert run_command("agents", "--namespace", "agent", MEMORY__NAMESPACE="acme").out == "here\n"
    assert run_command("agents", "--embedded", tmp_path / "data", **socket).out == ""
    away = {"REDIS_URL": "redis://127.0.0.1:1"}
    assert run_command("agents", "--url", server.url, **away).out == "here\n"


def test_two_servers_in_the_environment_are_one_too_many(run_command, server):
    """Nobody is to guess which of them is meant."""
    done = run_command("agents", REDIS__SOCKET=server.socket)
    assert done.code == 2
    assert "REDIS_URL" in done.err


def test_without_any_word_it_is_where_chat_has_it(run_command, tmp_path):
    """In the embedded server's directory of the user."""
    run_command("chat", piped="My name is Alice.\n", REDIS_URL="")
    assert run_command("sessions", "chat", "default", "--json", REDIS_URL="").records() != []
    with RedisMemory.embedded(tmp_path / ".local/share/langchain-redis-memory") as memory:
        assert memory.history("chat", "default", "default").count() == 2


def test_redis_away_is_never_nothing(run_command):
    """Also where agents go on without memory."""
    away = {"REDIS_URL": f"redis://:{SECRET}@127.0.0.1:1", "MEMORY__ON_UNAVAILABLE": "stateless"}
    for command in (["agents"], ["sessions", "a", "u"], ["show", "a", "u", "s"]):
        done = run_command(*command, **away, MEMORY__RETRY__DEADLINE="0.2")
        assert (done.code, done.out) == (1, "")
        assert "127.0.0.1:1" in done.err
        assert SECRET not in done.err


def test_wrong_settings_are_told_by_name(run_command):
    """And are a wrong call."""
    done = run_command("agents", MEMORY__WINDOW="many")
    assert done.code == 2
    assert "MEMORY__WINDOW" in done.err


@pytest.mark.parametrize(
    "command",
    [
        *("agents", "users", "sessions", "show", "clear", "forget", "export", "import", "adopt"),
        *("chat", "profile get", "profile set", "profile edit", "profile delete"),
    ],
)
def test_every_command_takes_the_same_options(run_command, command):
    """Its help names them, in 80 columns, and not what is in the environment."""
    done = run_command(*command.split(), "--help", REDIS_URL=f"redis://:{SECRET}@localhost")
    assert done.code == 0
    for option in ("--url", "--embedded", "--namespace", "--ask-password"):
        assert option in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    assert SECRET not in done.out


def test_a_shell_can_complete_it(run_command):
    """The script for it is printed, and it completes commands and options."""
    shown = run_command("--show-completion", "bash")
    assert "_LANGCHAIN_REDIS_MEMORY_COMPLETE" in shown.out
    words = {
        "_LANGCHAIN_REDIS_MEMORY_COMPLETE": "complete_bash",
        "COMP_WORDS": "langchain-redis-memory se",
        "COMP_CWORD": "1",
    }
    assert run_command(**words).out.split() == ["sessions"]
    words |= {"COMP_WORDS": "langchain-redis-memory sessions --emb", "COMP_CWORD": "2"}
    assert run_command(**words).out.split() == ["--embedded"]
