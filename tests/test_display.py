"""What a notebook and a terminal show of memories, conversations, profiles and sessions."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import redis.asyncio
from hypothesis import example, given
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic import BaseModel

from langchain_redis_memory import (
    ConfigurationError,
    RedisChatMessageHistory,
    RedisMemory,
    RetryPolicy,
    SummaryPolicy,
)
from langchain_redis_memory.display import as_html, as_text, html, plain
from langchain_redis_memory.display.cards import Card, Fold, Note, Said, Table, Tree, Twig, Words
from langchain_redis_memory.display.words import lasting, seen

TAGS = {
    *("div", "span", "bdi", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"style", "class", "dir", "open"}
URL = re.compile(r"url\(|expression|@import", re.IGNORECASE)


class Page(HTMLParser):
    """What a browser makes of HTML: elements, attributes, text."""

    def __init__(self, markup):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = set(), set(), "", []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        assert not any(URL.search(value or "") for _, value in attrs)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def page_of(markup):
    """Read HTML, having seen that it holds nothing but ours."""
    page = Page(markup)
    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES
    assert page.open == []
    return page


def body(shown):
    """Give what stands below the head of a card's text."""
    return as_text(shown).partition("\n\n")[2]


@pytest.fixture
def history(memory):
    """A conversation with a call of a tool."""
    history = memory.history("support", "alice", "s1")
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1"}
    history.add_messages(
        [
            SystemMessage("You help."),
            HumanMessage("1 + 2?\nQuick!"),
            AIMessage("", tool_calls=[call]),
            ToolMessage("3", tool_call_id="c1"),
            AIMessage("It is 3."),
        ]
    )
    return history


def without_times(text):
    return re.sub(r"  (\d{4}-\d\d-\d\d )?\d\d:\d\d$", "", text, flags=re.MULTILINE)


def test_a_conversation_is_shown_with_roles_calls_and_results(history):
    """Whose it is, how long it lives, and each message; what a tool gave stands at its call."""
    head, _, said = without_times(as_text(history)).partition("\n\n")
    assert head.splitlines() == [
        "Conversation s1",
        "agent support · user alice · 5 messages · expires in 7 days",
        "key agent:memory:support:alice:s1",
    ]
    assert said.split("\n\n") == [
        "System\n  You help.",
        "User\n  1 + 2?\n  Quick!",
        'Assistant\n  > add({"a": 1, "b": 2}) → 3',
        "Assistant\n  It is 3.",
    ]
    page = page_of(as_html(history))
    assert "1 + 2?\nQuick!" in page.text
    assert "details" in page.tags
    assert as_html(history.conversation) == as_html(history)
    # MathJax would make links of what is between dollars.
    assert 'class="tex2jax_ignore mathjax_ignore"' in as_html(history)


def test_times_are_those_of_storing(history, server):
    """The first with its day, in UTC; what another library stored has none."""
    assert re.search(r"^System  \d{4}-\d\d-\d\d \d\d:\d\d$", as_text(history), re.MULTILINE)
    server.client.lpush(history.key, '{"type": "human", "data": {"content": "old"}}')
    assert as_text(history).endswith("User\n  old")


@pytest.mark.parametrize("append", [5, "x", "f" * 32, None, [1]])
def test_a_token_that_is_none_gives_no_time(memory, server, append):
    """Nor an error: another program may have its own idea of the name."""
    element = {"type": "human", "data": {"content": "old"}, "append": append}
    server.client.lpush("agent:memory:a:b:c", json.dumps(element))
    assert body(memory.history("a", "b", "c")) == "User\n  old"


def test_showing_changes_nothing(history, memory, server):
    """No expiry is put off, neither of the list nor of the index, the summary or a profile."""
    profile = memory.profile("alice")
    profile.set({"a": 1})
    keys = [history.key, "agent:memory:support:alice:sessions", profile.key]
    for key in keys:
        server.client.pexpire(key, 60_000)
    before = {key: server.client.dump(key) for key in server.client.scan_iter()}
    for shown in (history, profile, memory):
        as_html(shown)
    assert all(0 < server.client.pttl(key) <= 60_000 for key in keys)
    assert {key: server.client.dump(key) for key in server.client.scan_iter()} == before


def test_a_profile_that_reads_keep_alive_is_not_kept_alive(server):
    """Although `get` would do so."""
    with RedisMemory.from_url(server.url, profile_ttl=3600) as memory:
        profile = memory.profile("alice")
        profile.set({"a": 1})
        server.client.pexpire(profile.key, 60_000)
        assert "expires in 1 min" in as_text(profile)
        assert server.client.pttl(profile.key) <= 60_000


def test_ipython_is_given_both_forms_by_one_round_trip(history, memory):
    """As its own formatters choose; within a list it prints what holds nobody's words."""
    formatter = DisplayFormatter()
    for shown in (history, history.conversation, memory.profile("alice")):
        trips = memory.round_trips
        data, _ = formatter.format(shown)
        assert memory.round_trips == trips + 1
        assert set(data) == {"text/plain", "text/html"}
        assert data == {"text/plain": as_text(shown), "text/html": as_html(shown)}
        plain_alone, _ = formatter.format(shown, include={"text/plain"})
        assert set(plain_alone) == {"text/plain"}
        (nested, _), trips = formatter.format([shown]), memory.round_trips
        assert nested == {"text/plain": f"[{shown!r}]"}
        assert memory.round_trips == trips
        assert "3." not in repr(shown)


def test_a_terminal_shows_text_without_the_control_of_it(memory):
    """IPython itself, as a process: escapes that a message holds are seen and not obeyed."""
    memory.history("a", "b", "c").add_messages([HumanMessage("\x1b[31mred\x07\r\x9b2J")])
    code = "\n".join(
        [
            "from langchain_redis_memory import RedisMemory",
            f"memory = RedisMemory.from_url({memory.address!r})",
            "memory.history('a', 'b', 'c')",
        ]
    )
    options = ["--simple-prompt", "--colors=nocolor", "--no-banner", "--quick"]
    done = subprocess.run(
        [sys.executable, "-m", "IPython", *options],
        input=code + "\n",
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "IPYTHONDIR": "/nonexistent", "TERM": "dumb"},
    )
    assert r"\u001b[31mred\u0007\r\u009b2J" in done.stdout


def test_only_the_newest_messages_are_shown(memory, server):
    """And how many are left out is told; no more are fetched."""
    history = memory.history("a", "b", "c", window=2)
    history.add_messages([HumanMessage(f"m{i}") for i in range(1060)])
    text = as_text(history)
    assert "1,010 older messages not shown" in text
    assert re.findall(r"m\d+", text) == [f"m{i}" for i in range(1010, 1060)]


def test_long_texts_are_cut(memory):
    """A message of a megabyte does not fill the page."""
    history = memory.history("a", "b", "c")
    history.add_messages([HumanMessage("x" * 1_000_000)])
    assert "and 996,000 characters more" in body(history)
    call = {"name": "f" * 100_000, "args": {"a": "x" * 100_000}, "id": "i" * 100_000}
    many = [{"type": "image", "url": "u" * 1000}] * 1000
    history.add_messages(
        [
            HumanMessage(many, name="n" * 100_000),
            AIMessage("", tool_calls=[call]),
            ToolMessage("x" * 100_000, tool_call_id="j" * 100_000),
        ]
    )
    assert "and 900 blocks more" in body(history)
    assert len(as_html(history)) < 60_000


CALL = {"name": "f", "args": {}, "id": "1"}


@pytest.mark.parametrize(
    ("messages", "shown"),
    [
        ([AIMessage("", tool_calls=[CALL])], "Assistant\n  > f() no result"),
        (
            [AIMessage("", tool_calls=[CALL]), ToolMessage("x", tool_call_id="1", status="error")],
            "Assistant\n  > f() failed\n      result\n      x",
        ),
        (
            [
                AIMessage("", tool_calls=[{**CALL, "id": "1"}, {**CALL, "id": "2"}]),
                ToolMessage("two", tool_call_id="2"),
                ToolMessage("one", tool_call_id="1"),
            ],
            "Assistant\n  > f() → one\n  > f() → two",
        ),
        (
            [  # a provider that counts its calls anew in each turn
                *(AIMessage("", tool_calls=[CALL]), ToolMessage("one", tool_call_id="1")),
                *(AIMessage("", tool_calls=[CALL]), ToolMessage("two", tool_call_id="1")),
            ],
            "Assistant\n  > f() → one\n\nAssistant\n  > f() → two",
        ),
        (
            [ToolMessage("x", tool_call_id="7", name="f")],
            "Tool f\n  The call 7 is not among these messages.\n  x",
        ),
        (
            [
                AIMessage("", tool_calls=[CALL]),
                ToolMessage("x", tool_call_id="1", artifact=1),
            ],
            "Assistant\n  > f() → x\n      result\n      x\n      > Artifact\n          1",
        ),
        (
            [
                AIMessage(
                    "",
                    invalid_tool_calls=[
                        {"name": "f", "args": "{", "id": "1", "error": "no JSON", "type": "x"}
                    ],
                )
            ],
            "Assistant\n  > f({) no result\n      arguments\n      {\n      ! no JSON",
        ),
        ([ChatMessage("hi", role="user")], "User\n  hi"),
        ([ChatMessage("hi", role="critic")], "critic\n  hi"),
        ([HumanMessage("hi", name="bob")], "User (bob)\n  hi"),
        ([FunctionMessage("hi", name="f")], "Tool f\n  hi"),
        (
            [AIMessage("half", response_metadata={"interrupted": True})],
            "Assistant\n  half\n  ! stopped before its end",
        ),
        (
            [AIMessage("so", additional_kwargs={"reasoning_content": "why"})],
            "Assistant\n  > Reasoning\n      why\n  so",
        ),
    ],
)
def test_messages_of_each_kind(memory, messages, shown):
    """Each by its role; calls with their results, whatever their order."""
    history = memory.history("a", "b", "c")
    history.add_messages(messages)
    assert without_times(body(history)) == shown
    page_of(as_html(history))


PNG = "data:image/png;base64," + "A" * 100


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        ("text", "text"),
        ({"type": "text", "text": "text"}, "text"),
        ({"type": "output_text", "text": "text"}, "text"),
        ({"type": "text"}, None),
        ({"type": "reasoning", "reasoning": "why"}, "> Reasoning\n      why"),
        ({"type": "thinking", "thinking": "why", "signature": "s"}, "> Reasoning\n      why"),
        (
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "why"}]},
            "> Reasoning\n      why",
        ),
        ({"type": "redacted_thinking", "data": "xx"}, "reasoning, not readable"),
        ({"type": "image_url", "image_url": {"url": PNG}}, "image: image/png, 75 bytes"),
        ({"type": "image_url", "image_url": "http://a.b/c"}, "image: at http://a.b/c"),
        ({"type": "image", "url": "//" + "c" * 99}, f"image: at\n  //{'c' * 78}…"),
        (
            {"type": "image", "base64": "AAAA", "mime_type": "image/gif"},
            "image: image/gif, 3 bytes",
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "a/b", "data": "AA"}},
            "image: a/b, 1 byte",
        ),
        ({"type": "file", "file_id": "f1"}, "file: of no known type, f1"),
        ({"type": "input_audio", "input_audio": {}}, "audio: of no known type"),
        ({"type": "tool_use", "id": "1", "name": "f", "input": {}}, None),
        (
            {"type": "odd", "x": 1},
            '> odd\n      {\n        "type": "odd",\n        "x": 1\n      }',
        ),
        ({"x": 1}, '> block\n      {\n        "x": 1\n      }'),
        ({"type": "text", "text": ["a"]}, None),
        ({"type": "image", "url": 5, "source": 3, "image_url": []}, "image: of no known type"),
        ({"type": "reasoning", "summary": [1, {"text": 2}]}, "reasoning, not readable"),
    ],
)
def test_content_blocks(memory, block, shown):
    """Text and reasoning as such, pictures by what they are, the rest as it is stored."""
    history = memory.history("a", "b", "c")
    history.add_messages([AIMessage([block, {"type": "text", "text": "end"}])])
    before = "" if shown is None else f"  {shown}\n"
    assert without_times(body(history)) == f"Assistant\n{before}  end"
    page_of(as_html(history))


def test_what_is_damaged_is_shown_among_the_rest(history, server):
    """With its position, and not what it says."""
    server.client.lset(history.key, 1, b'{"secret')
    text = as_text(history)
    assert "Damaged\n  ! element 1 of 'agent:memory:support:alice:s1'" in text
    assert "It is 3." in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("kind", "apart"),
    [
        *[("ai", {"content": wrong}) for wrong in (5, None, [5], {"a": 1}, [[]], [None])],
        *[("ai", {"tool_calls": wrong}) for wrong in (5, [5], [{}], [{**CALL, "id": [1]}])],
        *[("ai", {"invalid_tool_calls": wrong}) for wrong in (5, [{"id": "1"}])],
        *[("ai", {name: 5}) for name in ("additional_kwargs", "response_metadata", "name", "id")],
        *[("tool", {name: [5]}) for name in ("tool_call_id", "content", "status", "name")],
        *[("chat", {"role": wrong}) for wrong in (5, None, [1])],
    ],
)
def test_fields_of_odd_types_are_no_error(memory, server, kind, apart):
    """An element may hold fields that no class has checked; the others are shown in any case."""
    data = {"content": "", "tool_call_id": "1", "role": "r"}
    element = {"type": kind, "data": data, "apart": apart}
    history = memory.history("a", "b", "c")
    history.add_messages([AIMessage("", tool_calls=[CALL])])
    server.client.lpush(history.key, json.dumps(element))
    history.add_messages([HumanMessage("after")])
    assert as_text(history).endswith("after")
    page_of(as_html(history))


def test_what_a_memory_holds_is_shown(memory):
    """By kind and expiry, with whose it is, and what is largest."""
    assert as_text(memory.stats()).splitlines()[-1] == "It holds nothing yet."
    memory.history("support", "alice", "s1").add_messages([HumanMessage("1 + 2?"), AIMessage("3")])
    memory.history("support", "<b>bob", "s1", ttl=3600).add_user_message("secret")
    memory.profile("alice").set({"name": "secret"})
    stats = memory.stats()
    text = as_text(stats)
    assert "2 sessions · 3 messages · 5 keys" in text
    assert re.search(r"sessions +2 +\d+ B +1 +1\n", text)
    assert re.search(r"profiles +1 +\d+ B +1\n", text)
    assert re.search(r"agent +sessions +messages +size\nsupport +2 +3 +[\d.]+ K?i?B\n", text)
    assert re.search(r"\nalice +1 +2 +\d+ B\n<b>bob +1 +1 +", text)
    assert re.search(r"support +alice +s1 +2 +\d+ B +7 days\n", text)
    assert "secret" not in text
    assert "<b>bob" in page_of(as_html(stats)).text


def test_what_is_wrong_is_shown_with_its_remedy(memory, history, server):
    """What is grave stands out."""
    server.client.lset(history.key, 1, "{")
    found = memory.doctor()
    text = as_text(found)
    assert "Doctor\n1 problem" in text
    assert re.search(r"^! content \(problem\): [^!]*LINDEX", text, re.MULTILINE)
    assert "connection: " in text
    page_of(as_html(found))


def test_what_is_no_conversation_is_told(memory, server):
    """A key of another type, and one that is not there."""
    server.client.set("agent:memory:a:b:c", "x")
    assert "! " in as_text(memory.history("a", "b", "c"))
    text = as_text(memory.history("a", "b", "none"))
    assert "0 messages · key" in text
    assert text.endswith("Nothing is stored here.")


def test_a_summary_is_shown_if_it_ends_here(memory, server):
    """One that was left behind by another conversation is not."""
    policy = SummaryPolicy(lambda _: "They greeted.", after=4, keep=2)
    chat = memory.with_history(lambda _: AIMessage("Hi."), agent="a", summary=policy)
    for _ in range(4):
        chat.invoke("Hello", config={"configurable": {"user_id": "b", "session_id": "c"}})
    history = memory.history("a", "b", "c")
    assert re.search(r"> Summary of \d messages\n    They greeted\.", as_text(history))
    server.client.delete(history.key)
    history.add_messages([HumanMessage("anew")])
    assert "They greeted" not in as_text(history)


def test_the_drop_in_shows_itself(server):
    """By its key; its ids are in no index."""
    history = RedisChatMessageHistory("s1", url=server.url)
    history.add_messages([HumanMessage("hi")])
    assert as_text(history).startswith(
        "Conversation\n1 message · never expires · key message_store:s1\n\nUser"
    )


def test_odd_ids_are_told_as_they_were_given(memory):
    """And what could not be seen is escaped."""
    history = memory.history("a:b", "profile", "s%\u202e\ud800\n")
    history.add_messages([HumanMessage("hi")])
    assert as_text(history).startswith("Conversation s%\\u202e\\ud800\\n\nagent a:b · user profile")
    page_of(as_html(history)).text.encode()


class Person(BaseModel):
    name: str


def test_a_profile_is_shown_as_a_tree(memory):
    """Also one that a model of its user's does not fit."""
    data = {"name": "Al", "tags": ["x", {}], "home": {"city": "Bern", "zip": None}, "n": "12"}
    memory.profile("alice").set(data)
    for profile in (memory.profile("alice"), memory.profile("alice", model=Person)):
        assert as_text(profile).splitlines() == [
            "Profile alice",
            "for all agents · never expires · key agent:profile:alice",
            "",
            "├─ name: Al",
            "├─ tags: 2 items",
            "│  ├─ 1: x",
            "│  └─ 2: {}",
            "├─ home: 2 entries",
            "│  ├─ city: Bern",
            "│  └─ zip: null",
            '└─ n: "12"',
        ]
    page_of(as_html(profile))


def test_an_agents_own_profile_names_the_agent(memory):
    """And its user, whatever their ids are."""
    profile = memory.profile("pro:file", agent="profile", ttl=5400)
    assert as_text(profile).endswith("There is none.")
    profile.set({})
    first, facts, key, empty = as_text(profile).splitlines()
    assert (first, empty) == ("Profile pro:file", "It is empty.")
    assert facts == "for agent profile · expires in 1 h 30 min"
    assert key == f"key {profile.key}"


@pytest.mark.parametrize("stored", [b"{", b"[1]", b"null", b"\xff", b"[" * 100_000])
def test_a_damaged_profile_is_told(memory, server, stored):
    """With its key, and not what it says."""
    profile = memory.profile("alice")
    server.client.set(profile.key, stored)
    assert "! the value of 'agent:profile:alice' is damaged" in as_text(profile)


def test_a_large_profile_is_shown_in_part(memory):
    """Wide, deep, long, or with many entries in all."""
    deep = value = {}
    for _ in range(100):
        value["deeper"] = {}
        value = value["deeper"]
    wide = list(range(1000))
    memory.profile("alice").set({"wide": wide, "long": "x" * 10_000, "deep": deep})
    text = as_text(memory.profile("alice"))
    assert "…: 900 more entries" in text
    assert "… and 9,500 characters more" in text
    assert "1 entry, deeper than is shown" in text
    memory.profile("alice").set({str(i): {str(k): k for k in range(100)} for i in range(50)})
    assert len(as_text(memory.profile("alice")).splitlines()) < 1100


def test_sessions_are_shown_as_a_table(memory, history):
    """The one that was active last first; that there are more is told."""
    memory.history("support", "alice", "s<2>", ttl=None).add_messages([HumanMessage("hi")])
    text = re.sub(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "(a time)", as_text(memory.sessions("support", "alice"))
    )
    assert [line.split() for line in text.splitlines()] == [
        ["Sessions"],
        ["2", "sessions"],
        [],
        ["session", "messages", "last", "active", "(UTC)", "expires", "in"],
        ["s<2>", "1", "(a", "time)", "never"],
        ["s1", "5", "(a", "time)", "7", "days"],
    ]
    page = memory.sessions("support", "alice", limit=1)
    assert "after=page.next" in as_text(page)
    assert as_text(page[0]).startswith("Session s<2>\n")
    assert "s<2>" in page_of(as_html(page)).text
    assert as_text(memory.sessions("support", "bob")) == "Sessions\n0 sessions\nThere are none."


def test_many_sessions_are_shown_in_part(memory):
    """All are in the table of pandas."""
    for i in range(130):
        memory.conversation("a", "b", str(i)).append([HumanMessage("hi")])
    page = memory.sessions("a", "b")
    assert as_text(page).endswith("and 30 sessions more; see to_pandas()")
    assert len(page.to_pandas()) == 130


def test_sessions_as_a_table_of_pandas(memory):
    """Columns of the right types, exact to the millisecond; NaT for what never expires."""
    import pandas as pd

    for session, ttl in (("s1", 60.0), ("s2", None), ("\ud800", 1)):
        memory.conversation("a", "b", session, ttl=ttl).append([HumanMessage("hi")])
    page = memory.sessions("a", "b")
    table = page.to_pandas()
    assert list(table["session"]) == [info.session for info in page]
    assert list(table["messages"]) == [1, 1, 1]
    assert [when.to_pydatetime() for when in table["last_active"]] == [i.last_active for i in page]
    for info, ttl in zip(page, table["ttl"], strict=True):
        assert (info.ttl is None and ttl is pd.NaT) or ttl == pd.Timedelta(info.ttl, unit="s")
    empty = memory.sessions("a", "nobody").to_pandas()
    assert len(empty) == 0
    expected = ["object", "int64", "datetime64[us, UTC]", "timedelta64[ms]"]
    for each in (table, empty):
        assert [str(kind) for kind in each.dtypes] == expected
    assert pd.concat([empty, table])["ttl"].max() <= pd.Timedelta(minutes=1)


def test_without_pandas_the_extra_is_named():
    """By an error of the package's own."""
    code = """
import sys
sys.modules["pandas"] = None
from langchain_redis_memory import ConfigurationError, SessionPage
try:
    SessionPage(()).to_pandas()
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "langchain-redis-memory[pandas]"' in done.stdout


def test_a_memory_tells_where_it_is_and_what_it_holds(server, history):
    """And how it behaves."""
    with RedisMemory.from_url(
        server.url, ttl=None, profile_ttl=3600, window=20, max_messages=500
    ) as memory:
        memory.profile("bob").set({})
        lines = as_text(memory).splitlines()
        assert lines[0] == f"Memory {server.url}"
        assert lines[1:4] == [
            "namespace agent · conversations never expire · profiles expire after 1 h idle",
            "window 20 messages · kept 500 messages at most · without Redis raises an error",
            "The server answers.",
        ]
        assert [line.split() for line in lines[5:]] == [
            *(["it", "holds"], ["agents", "1"], ["users", "2"]),
            *(["sessions", "1"], ["profiles", "1"]),
        ]
        page_of(as_html(memory))
    with RedisMemory.from_url(server.url, namespace="other") as memory:
        assert as_text(memory).endswith("It holds nothing yet.")


def test_a_large_server_is_asked_no_more_than_a_small_one(memory, server):
    """Ten requests at most, and that this is not all is told."""
    for begin in range(0, 40_000, 10_000):
        server.client.mset({f"other:{i}": "" for i in range(begin, begin + 10_000)})
    trips = memory.round_trips
    assert "Not all" in as_text(memory)
    assert memory.round_trips <= trips + 10


def test_on_a_cluster_all_nodes_are_asked(cluster_servers):
    """And what it holds is told whole."""
    with RedisMemory.from_url(cluster_servers.url, namespace="shown") as memory:
        for i in range(20):
            memory.history("a", str(i), "s").add_messages([HumanMessage("hi")])
        assert re.search(r"sessions +20\n?", as_text(memory))
        assert body(memory.history("a", "1", "s")).endswith("  hi")
        assert "Not all" not in as_text(memory)


FAST = RetryPolicy(deadline=0.5)


def everything(memory):
    """All that reads when it is shown."""
    return memory, memory.history("a", "b", "c"), memory.profile("alice")


@pytest.mark.parametrize(("accepted", "told"), [("s3cret", "The server answers."), ("x", "! ")])
def test_no_password_is_shown(start_server, accepted, told):
    """Neither where it is connected nor where it is refused."""
    server = start_server()
    server.client.config_set("requirepass", accepted)
    with RedisMemory.from_url(f"unix://:s3cret@{server.socket}", retry=FAST) as memory:
        for shown in everything(memory):
            assert "s3cret" not in as_text(shown) + as_html(shown) + repr(shown)
        assert told in as_text(memory)


@pytest.mark.parametrize("on_unavailable", ["error", "stateless"])
def test_a_server_that_is_away_is_told(on_unavailable):
    """Also by a memory that goes on without: an empty conversation would be a lie."""
    with RedisMemory.from_url(
        "redis://127.0.0.1:1/0", retry=FAST, on_unavailable=on_unavailable
    ) as memory:
        for shown in everything(memory):
            assert "! " in as_text(shown)
            assert "127.0.0.1:1/0" in as_text(shown)
            page_of(as_html(shown))


def test_going_on_without_redis_is_told():
    """With how much was lost by it."""
    url = "redis://127.0.0.1:1/0"
    with RedisMemory.from_url(url, retry=FAST, on_unavailable="stateless") as memory:
        memory.history("a", "b", "c").add_messages([HumanMessage("hi")])
        text = as_text(memory)
        assert "going on without memory" in text
        assert "1 write dropped so far" in text
        assert "goes on without memory" in text


@pytest.mark.parametrize("show", [as_html, as_text])
def test_what_does_not_show_itself_is_refused(memory, show):
    """Such as the summary of a session that has none."""
    with pytest.raises(ConfigurationError, match="a NoneType cannot be shown; give a memory"):
        show(memory.summary("support", "alice", "s1"))


def test_a_server_that_hangs_is_told_of(start_server):
    """Within the time that the memory gives it."""
    server = start_server()
    with RedisMemory.from_url(server.url, retry=FAST) as memory:
        memory.ping()
        server.process.send_signal(signal.SIGSTOP)
        try:
            for shown in everything(memory):
                assert "! " in as_text(shown)
        finally:
            server.process.send_signal(signal.SIGCONT)


def test_a_cluster_that_hangs_is_asked_no_more_often(caplog):
    """Finding its nodes is part of looking: it is tried twice, as the rest."""
    caplog.set_level("INFO", "langchain_redis_memory")
    policy = RetryPolicy(initial=0.001, deadline=2, attempts=9)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis+cluster://127.0.0.1:{silent.getsockname()[1]}"
        with RedisMemory.from_url(url, retry=policy, socket_timeout=0.1) as memory:
            assert "! " in as_text(memory)
    retries = [r.operation for r in caplog.records if getattr(r, "event", "") == "retry"]
    assert retries == ["finding the nodes"]


def test_a_restarted_server_is_shown_at_the_first_look(start_server):
    """The connection that broke is replaced, as for any other request."""
    server = start_server()
    with RedisMemory.from_url(server.url) as memory:
        memory.ping()
        server.kill()
        server.start()
        assert "The server answers." in as_text(memory)


def test_after_close_everything_says_so(memory):
    """And opens nothing again."""
    shown = everything(memory)
    memory.close()
    for each in shown:
        assert "closed" in as_text(each)
        assert "closed" in page_of(as_html(each)).text


async def test_on_an_event_loop_and_with_an_async_client_alone(server, memory_here):
    """As in a notebook: the synchronous client is used, and its absence is told."""
    await memory_here.history("a", "b", "c").aadd_messages([HumanMessage("hi")])
    assert as_text(memory_here.history("a", "b", "c")).endswith("  hi")
    client = redis.asyncio.Redis(unix_socket_path=server.socket)
    async with RedisMemory(async_client=client) as memory:
        for shown in everything(memory):
            assert "pass client= for synchronous use" in " ".join(as_text(shown).split())
    await client.aclose()


def test_receipts_transfers_and_summaries_are_shown(memory, history, tmp_path):
    """What was counted, without zeros."""
    transfer = memory.export(tmp_path / "memory.jsonl", "support")
    assert as_text(transfer).splitlines()[0] == "Transfer"
    assert re.search(r"messages +5", as_text(transfer))
    assert as_text(memory.forget_user("alice", dry_run=True)).startswith("Would be removed\n")
    receipt = memory.forget_user("alice")
    assert [line.split() for line in as_text(receipt).splitlines()] == [
        *(["Removed"], [], ["what", "how", "many"]),
        *(["sessions", "1"], ["messages", "5"], ["indexes", "1"]),
    ]
    assert "There was nothing to remove." in as_text(memory.forget_user("alice"))
    page_of(as_html(receipt))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "less than 1 s"),
        (1, "1 s"),
        (59.7, "1 min"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (7260, "2 h 1 min"),
        (86_400, "1 day"),
        (7 * 86_400 - 1, "7 days"),
        (6.9 * 86_400, "6 days 22 h"),
    ],
)
def test_how_long_something_lives(seconds, text):
    """In its two largest units."""
    assert lasting(seconds) == text


HOSTILE = [
    "<script>ran()</script>",
    "</details></div><script>ran()</script>",
    "<img src=x onerror=ran()>",
    '" onmouseover="ran()" x="',
    "' style='background:url(//evil)",
    "<!-- --><style>*{display:none}</style>]]>&lt;&#60;&amp;",
    "javascript:ran()",
    "\u202eevil\u202c \x00 \x1b[2J \ud800 \u2028 \U000e0041",
]

texts = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=())),
    st.text("<>&\"'/= \n\t\r\\ab`!-;:"),
)
cards = st.builds(
    lambda t, u, v: Card(
        t,
        u,
        ((t, u), ("key", v)),
        (
            Note(t, "warning"),
            Said("user", u, v, (Words(t), Words(u, is_code=True), Fold(t, (Words(u),), v))),
            Said(t, t, t, (Note(v),)),
            Table((t, u), ((u, v), (v, t)), frozenset({1})),
            Tree((Twig(t, u, (Twig(u, v),)), Twig(v, t))),
        ),
    ),
    *(texts, texts, texts),
)


@given(cards)
@example(
    Card(*HOSTILE[:2], tuple(zip(HOSTILE, HOSTILE, strict=True)), (Words("\r\n".join(HOSTILE)),))
)
def test_whatever_is_stored_is_text(card):
    """In HTML no element and no attribute comes of it; in neither form anything unseen."""
    page = page_of(html.written(card))
    text = plain.written(card)
    for written in (page.text, text):
        written.encode()
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", written)


@given(st.text().filter(lambda text: seen(text) == text))
def test_what_can_be_seen_comes_out_as_it_is(text):
    """No character is lost or added; in a terminal, lines are broken at blanks."""
    card = Card("", body=(Words(text),))
    assert page_of(html.written(card)).text == text
    assert plain.written(card).split() == text.split()
