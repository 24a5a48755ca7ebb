"""Where the chat service's memory is, and how it behaves: options, variables, and its defaults."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chat_services import ChatService, environment

from examples.chat_service.memory import open_memory
from langchain_redis_memory import ConfigurationError, MemorySettings, RetryPolicy

PASSWORD = "p@ss: word"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """No variable, no file."""
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def guarded(start_server):
    """A server with a password."""
    server = start_server()
    server.client.config_set("requirepass", PASSWORD)
    return server


def made(**options):
    """Make a memory, and tell what has become of the options."""
    with open_memory(**options) as memory:
        connection, limits = memory._connection, memory._limits
        return {
            "address": memory.address,
            "window": limits.window,
            "max_messages": limits.max_messages,
            "ttl": limits.ttl,
            "retry": connection.policy,
            "stateless": connection._stateless,
            "pause": connection.availability._pause,
        }


EMBEDDED = "unix://{here}/memory/server.sock"
OTHER = "unix://{here}/other/server.sock"


@pytest.mark.parametrize(
    ("variables", "options", "address"),
    [
        ({}, {}, EMBEDDED),
        ({"REDIS__HOST": "", "MEMORY__NAMESPACE": "acme", "REDIS__QUEUE": "jobs"}, {}, EMBEDDED),
        ({"REDIS__URL": "redis://h:1/2"}, {}, "h:1/2"),
        ({"REDIS__HOST": "h"}, {}, "h:6379/0"),
        ({"REDIS__PASSWORD": PASSWORD}, {}, "localhost:6379/0"),
        ({"REDIS__EMBEDDED": "other"}, {}, OTHER),
        ({}, {"url": "redis://h"}, "h:6379/0"),
        ({}, {"directory": Path("other")}, OTHER),
        ({"REDIS__HOST": "a", "REDIS__PASSWORD": PASSWORD}, {"url": "redis://b"}, "b:6379/0"),
        ({"REDIS__URL": "redis://a", "REDIS__DB": "1"}, {"directory": Path("other")}, OTHER),
    ],
)
@pytest.mark.parametrize("as_file", [False, True])
def test_where_it_is(monkeypatch, variables, options, address, as_file):
    """Where the option says, or else the environment, or else the file, or else embedded."""
    if as_file:
        Path(".env").write_text("".join(f"{n}='{value}'\n" for n, value in variables.items()))
    else:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
    assert made(**options)["address"] == address.format(here=os.path.realpath("."))


def test_its_defaults_are_its_own():
    """Those that a service wants; the others are the library's."""
    assert made() == {
        **made(url="redis://localhost"),
        "address": EMBEDDED.format(here=os.path.realpath(".")),
        "window": 50,
        "max_messages": 1000,
        "ttl": 7 * 24 * 3600,
        "retry": RetryPolicy(deadline=2),
        "stateless": True,
        "pause": 1,
    }


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"WINDOW": "none"}, {"window": None}),
        ({"MAX_THREAD_MESSAGES": "20"}, {"max_messages": 20}),
        ({"THREAD_TTL_HOURS": "1"}, {"ttl": 3600}),
        ({"OUTAGE_PAUSE": "5"}, {"pause": 5}),
        ({"ON_UNAVAILABLE": "error"}, {"stateless": False, "pause": 0}),
        ({"RETRY__ATTEMPTS": "4"}, {"retry": RetryPolicy(deadline=2, attempts=4)}),
        ({"RETRY__DEADLINE": "10"}, {"retry": RetryPolicy(deadline=10)}),
    ],
)
def test_variables_replace_them_one_by_one(monkeypatch, variables, expected):
    """Also where they say what the library's own default is."""
    before = made()
    for name, value in variables.items():
        monkeypatch.setenv(f"MEMORY__{name}", value)
    assert made() == {**before, **expected}


def test_options_replace_variables(monkeypatch):
    """And leave what they do not say."""
    monkeypatch.setenv("MEMORY__ON_UNAVAILABLE", "error")
    monkeypatch.setenv("MEMORY__RETRY__DEADLINE", "10")
    monkeypatch.setenv("MEMORY__RETRY__ATTEMPTS", "4")
    found = made(on_unavailable="stateless", deadline=3)
    assert (found["stateless"], found["retry"]) == (True, RetryPolicy(deadline=3, attempts=4))


def test_each_default_is_that_of_a_variable():
    """Otherwise it would be passed over without a word."""
    from examples.chat_service.memory import _DEFAULTS

    assert MemorySettings(**_DEFAULTS).model_fields_set == _DEFAULTS.keys()


@pytest.mark.parametrize("wrong", [{"deadline": 0}, {"on_unavailable": "x"}, {"url": "http://h"}])
def test_what_cannot_be_used_is_refused(wrong):
    """Before anything connects."""
    with pytest.raises(ConfigurationError):
        open_memory(**wrong)


async def test_a_password_comes_from_a_file_among_the_secrets(guarded, tmp_path, monkeypatch):
    """So that it stands in no command line and in no environment."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "redis__password").write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("REDIS__URL", guarded.url)
    async with open_memory(secrets_dir=secrets) as memory:
        assert await memory.aping()


def test_the_command_is_set_up_by_variables_and_a_file(guarded, tmp_path):
    """The server from the environment, its password and the rest from ``.env``."""
    (tmp_path / ".env").write_text(f"REDIS__PASSWORD='{PASSWORD}'\nMEMORY__NAMESPACE=acme\n")
    service = ChatService(tmp_path, "--delay", "0", REDIS__URL=guarded.url)
    try:
        assert service.health() == "memory"
        assert service.run("My name is Alice.")["memory"]
        assert PASSWORD not in service.log.read_text()
    finally:
        service.stop()
    assert guarded.client.exists("acme:memory:assistant:alice:t1")
