"""Adopting: what other libraries wrote is taken over as it is, once, or refused with its place."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest
from followed import conversations, kill_after, repeat_each, watch
from hypothesis import HealthCheck, given, settings
from langchain_core.messages import (
    AIMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_openai_messages,
)
from places import FEW
from test_codec import equal

from conftest import IN_CI, SHARED_DATA
from langchain_redis_memory import (
    ConfigurationError,
    ImportConflictError,
    RedisChatMessageHistory,
    RedisMemory,
    Transfer,
    UnstorableError,
)
from langchain_redis_memory.samples import load_conversations
from langchain_redis_memory.storage.operation import Operation

Community = RedisChatMessageHistory.__mro__[1]
WRITTEN = [
    json.loads(line)
    for line in Path(__file__).with_name("llama_index_elements.jsonl").read_text().splitlines()
]
"""What llama-index's RedisChatStore wrote: each line names the versions. The last tool call went
through `from_openai_message` of llama-index-llms-openai 0.8.3."""

CALL = {"name": "look", "args": {"at": 7}, "id": "c1"}
TALK = [
    SystemMessage("Be kind."),
    HumanMessage("Where is it? 🙂\u2028", id="m1", name="alice"),
    AIMessage("", tool_calls=[CALL], response_metadata={"model": "m"}),
    ToolMessage("found", tool_call_id="c1", artifact={"rows": [1.5]}, status="error"),
    AIMessage([{"type": "text", "text": "Here."}], additional_kwargs={"x": 1}),
]


def read(memory, session="s1", user="default", agent="support"):
    return memory.history(agent, user, session).messages


def lists(client, pattern="*"):
    """All lists of a server or a cluster."""
    keys = client.scan_iter(match=pattern, count=1000, _type="list")
    return {key: client.lrange(key, 0, -1) for key in keys}


@pytest.fixture
def community(server):
    """Writes conversations as langchain-community's class does."""
    made = []

    def write(session, messages, **options):
        history = Community(session, server.url, **options)
        made.append(history)
        for message in messages:
            history.add_message(message)
        return history

    yield write
    for history in made:
        history.redis_client.close()


def put(client, key, elements, *, oldest_first=False):
    """Store elements under a key of another library."""
    for element in elements:
        (client.rpush if oldest_first else client.lpush)(key, element)


def by_community(messages):
    return [json.dumps({"type": m.type, "data": m.model_dump()}) for m in messages]


# langchain-community


async def test_what_langchain_community_wrote_is_adopted_and_equal(memory, do, server, community):
    """Message by message, as its own class reads it; and it stays where it was."""
    theirs = {name: community(name, TALK[: number + 1]) for number, name in enumerate("abc")}
    theirs["a:b %*"] = community("a:b %*", TALK, ttl=100)
    before = lists(server.client)
    done = await do(memory, "adopt", "langchain-community", agent="support")
    assert done == Transfer(sessions=4, messages=1 + 2 + 3 + 5)
    for name, history in theirs.items():
        assert read(memory, name) == history.messages
    assert before.items() <= lists(server.client).items()
    assert 604_000 < memory.conversation("support", "default", "a:b %*").time_to_live() <= 604_800
    index = server.client.zrange("agent:memory:support:default:sessions", 0, -1)
    assert sorted(index) == [b"a", b"a%3Ab%20%25%2A", b"b", b"c"]
    assert await do(memory, "adopt", "langchain-community", agent="support") == Transfer(
        unchanged=4
    )


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(conversations())
def test_any_conversation_of_langchain_community_is_adopted(memory, server, community, messages):
    """Whatever its class could write and read."""
    server.client.flushall()
    try:
        history = community("s1", messages)
        theirs = history.messages
    except (TypeError, ValueError, KeyError, AttributeError):
        return
    assert memory.adopt("langchain-community", agent="support").messages == len(messages)
    assert all(map(equal, read(memory), theirs))


async def test_what_went_on_there_is_added(memory, do, community):
    """As long as the old class is in use somewhere."""
    community("s1", TALK[:2])
    await do(memory, "adopt", "langchain-community", agent="support")
    community("s1", TALK[2:])
    done = await do(memory, "adopt", "langchain-community", agent="support")
    assert done == Transfer(sessions=1, messages=3)
    assert read(memory) == TALK
    memory.history("support", "default", "s1").add_user_message("more")
    done = await do(memory, "adopt", "langchain-community", agent="support")
    assert done == Transfer(unchanged=1)


@FEW
async def test_adopting_works_everywhere(place, do):
    """On clusters, with clients that decode, and as the documented user."""
    names = [f"mine:[a]:{number}" for number in range(40)]
    for name in names:
        put(place.client, name, by_community(TALK))
    put(place.client, "mine:a:0", ["no message"])
    place.client.set("mine:[a]:text", "no list")
    async with place.memory() as memory:
        how = {"agent": "support", "prefix": "mine:[a]:"}
        done = await do(memory, "adopt", "langchain-community", **how)
        assert done == Transfer(sessions=40, messages=200)
        assert all(read(memory, str(number)) == TALK for number in range(40))
        done = await do(memory, "adopt", "langchain-community", **how, remove=True)
        assert done == Transfer(unchanged=40)
        assert lists(place.client, "mine:*") == {b"mine:a:0": [b"no message"]}
        done = await do(memory, "adopt", TALK, agent="support", session="list")
        assert done == Transfer(sessions=1, messages=5)


@pytest.mark.parametrize(
    "prefix", ["*", "a?", "[ab]", "^a", "\\", "\\*", "a-b", "é🙂", "x:\\[", " "]
)
async def test_a_prefix_is_taken_as_it_stands(memory, server, do, prefix):
    """Whatever it would mean in a pattern."""
    names = ["*", "a?", "[ab]", "^a", "\\", "\\*", "a-b", "é🙂", "x:\\[", " ", "a", "b", "ab", "ax"]
    for name in names:
        put(server.client, f"{name}s1", by_community([HumanMessage(name)]))
    done = await do(memory, "adopt", "langchain-community", agent="support", prefix=prefix)
    expected = [name for name in names if f"{name}s1".startswith(prefix)]
    assert done.sessions == len(expected)
    assert [message.content for message in read(memory)] == [prefix]


async def test_ids_say_whose_a_conversation_is(memory, do, community):
    """Or that it is nobody's; the default takes what follows the prefix as the session."""
    for name in ("alice/1", "bob/1", "test"):
        community(name, TALK[:2], key_prefix="app:")
    asked = []

    def ids(rest):
        asked.append(rest)
        return tuple(rest.split("/")) if "/" in rest else None

    how = {"agent": "support", "prefix": "app:", "ids": ids}
    done = await do(memory, "adopt", "langchain-community", **how)
    assert done == Transfer(sessions=2, messages=4)
    assert sorted(asked) == ["alice/1", "bob/1", "test"]
    assert read(memory, "1", "alice") == read(memory, "1", "bob") == TALK[:2]


async def test_without_a_prefix_ids_must_choose(memory, server, do):
    """And the memory's own conversations are not asked about."""
    put(server.client, "s1", by_community(TALK))
    put(server.client, b"\xff\xfe", by_community(TALK[:1]))
    server.client.rpush("jobs", "a job")
    memory.history("support", "alice", "s1").add_user_message("hello")
    for library in ("langchain-community", "llama-index"):
        with pytest.raises(ConfigurationError, match="ids="):
            await do(memory, "adopt", library, agent="support", prefix="")
    asked = []

    def ids(rest):
        asked.append(rest)
        return None if rest == "jobs" else ("bob", rest)

    how = {"agent": "support", "prefix": "", "ids": ids}
    done = await do(memory, "adopt", "langchain-community", **how)
    assert done == Transfer(sessions=2, messages=6)
    assert sorted(asked) == ["jobs", "s1", "\udcff\udcfe"]
    assert read(memory, "\udcff\udcfe", "bob") == TALK[:1]


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (lambda rest: rest, "must give"),
        (lambda rest: (rest,), "must give"),
        (lambda rest: ("alice", ""), "gives no session"),
        (lambda rest: (None, rest), "gives no user"),
        (None, "gives no session"),
    ],
)
async def test_ids_that_cannot_be_are_refused(memory, server, do, ids, told):
    """With the key that they were for."""
    put(server.client, "app:", by_community(TALK))
    before = lists(server.client)
    with pytest.raises(ConfigurationError, match=f"'app:'.*{told}|{told}.*'app:'"):
        await do(memory, "adopt", "langchain-community", agent="a", prefix="app:", ids=ids)
    assert lists(server.client) == before


# Removing


async def test_what_was_adopted_may_be_removed(memory, server, do, community):
    """When it is stored, and nothing else."""
    community("s1", TALK)
    community("s2", TALK[:1])
    memory.history("support", "default", "s2").add_user_message("other")
    for _ in range(2):
        done = await do(
            memory, "adopt", "langchain-community", agent="support", remove=True, on_conflict="skip"
        )
    assert done == Transfer(skipped=1)
    assert list(lists(server.client, "message_store:*")) == [b"message_store:s2"]
    assert read(memory) == TALK
    before = lists(server.client)
    how = {"agent": "x", "remove": True, "dry_run": True}
    await do(memory, "adopt", "langchain-community", **how)
    assert lists(server.client) == before


@pytest.mark.parametrize("library", ["langchain-community", "llama-index"])
def test_what_is_written_while_it_is_removed_is_not_lost(memory, server, library):
    """The old program may still be running: also the last message comes along."""
    community = library == "langchain-community"
    elements = by_community(TALK[:2]) if community else WRITTEN[1]["elements"][:2]
    more = by_community(TALK[2:3]) if community else WRITTEN[1]["elements"][2:3]
    put(server.client, "app:s1", elements, oldest_first=not community)

    def interfere(operation):
        if operation.name.startswith("removing") and more:
            put(server.client, "app:s1", [more.pop()], oldest_first=not community)

    steps = memory._adopting(library, "support", prefix="app:", remove=True)
    assert watch(memory, steps, interfere) == Transfer(sessions=1, messages=3)
    assert len(read(memory)) == 3
    assert lists(server.client, "app:*") == {}


def test_an_adoption_that_is_killed_is_completed_by_the_next(memory, server):
    """After whichever request; nothing is lost, and nothing stored twice."""
    for count in range(100):
        server.client.flushall()
        for session in ("s1", "s2"):
            put(server.client, f"app:{session}", by_community(TALK))
        how = {"prefix": "app:", "remove": True}
        killed = kill_after(memory, memory._adopting("langchain-community", "a", **how), count)
        memory.adopt("langchain-community", agent="a", **how)
        for session in ("s1", "s2"):
            assert read(memory, session, agent="a") == TALK
        assert lists(server.client, "app:*") == {}
        if not killed:
            break
    assert count > 10


def test_lost_answers_do_no_harm(memory, server):
    """Each request is applied, its answer is lost, and it is sent again."""
    put(server.client, "app:s1", by_community(TALK))
    steps = memory._adopting("langchain-community", "support", prefix="app:", remove=True)
    assert repeat_each(memory, steps) == Transfer(sessions=1, messages=5)
    assert read(memory) == TALK
    assert lists(server.client, "app:*") == {}


def test_a_key_that_is_listed_twice_is_adopted_once(memory, server):
    """SCAN may do that."""
    from langchain_redis_memory.moving.adoption import _Rules, _Stored, _Target
    from langchain_redis_memory.storage.steps import follow

    put(server.client, "app:s1", by_community(TALK))
    rules = _Rules("error", dry_run=False, progress=lambda _: None)
    target = _Target(memory._keys, "support", 0)
    work = _Stored(target, rules, "langchain-community", prefix="app:")
    for _ in range(2):
        follow(memory._connection, work.on([b"app:s1", b"app:s1"]))
    assert work.done == Transfer(sessions=1, messages=5)


# Conflicts, looking first, progress


async def test_a_conflict_is_an_error_unless_said_otherwise(memory, do, community):
    """As with an import."""
    community("s1", TALK)
    ours = memory.history("support", "default", "s1")
    ours.add_user_message("other")
    with pytest.raises(ImportConflictError) as caught:
        await do(memory, "adopt", "langchain-community", agent="support")
    assert caught.value.key == "agent:memory:support:default:s1"
    assert ours.count() == 1
    how = {"agent": "support", "on_conflict": "skip"}
    assert await do(memory, "adopt", "langchain-community", **how) == Transfer(skipped=1)
    how["on_conflict"] = "replace"
    done = await do(memory, "adopt", "langchain-community", **how)
    assert done == Transfer(sessions=1, messages=5)
    assert ours.messages == TALK


async def test_a_dry_run_tells_and_stores_nothing(memory, server, do, community):
    """What is new, what is there, what differs."""
    for name in ("new", "there", "partly", "other"):
        community(name, TALK)
    how = {"agent": "support", "session": "there"}
    memory.adopt(TALK, **how)
    memory.adopt(TALK[:2], agent="support", session="partly")
    memory.adopt(TALK[1:], agent="support", session="other")
    before = lists(server.client)
    told = []
    how = {"agent": "support", "on_conflict": "skip", "dry_run": True, "progress": told.append}
    expected = Transfer(sessions=2, messages=8, unchanged=1, skipped=1)
    assert await do(memory, "adopt", "langchain-community", **how) == expected
    assert told[-1] == expected
    assert len(told) == 4
    assert lists(server.client) == before
    assert await do(memory, "adopt", TALK, **how, session="x") == Transfer(sessions=1, messages=5)
    assert lists(server.client) == before


# llama-index

FULL_CALL = {"name": "find_order", "args": {"order": 7, "full": True}, "id": "c1"}


def an_order(*, name):
    """The conversation `chat:old`; only some versions' tool results had a name in the file."""
    return [
        SystemMessage("Be kind."),
        HumanMessage("Where is my order? Grüße 🙂\u2028\n"),
        AIMessage("", tool_calls=[FULL_CALL]),
        ToolMessage("on its way", tool_call_id="c1", name=name),
        AIMessage("It is on its way."),
        AIMessage("", additional_kwargs={"refusal": "no"}),
    ]


THINKING = AIMessage(
    [
        {
            "type": "reasoning",
            "reasoning": "A cactus needs little.",
            "extras": {"signature": "s1", "num_tokens": 5},
        },
        {"type": "text", "text": "It needs little water."},
        {"type": "tool_call", "id": "c4", "name": "water", "args": {}},
    ],
    tool_calls=[{"name": "water", "args": {}, "id": "c4"}],
    response_metadata={"output_version": "v1"},
)
BLOCKS = [
    HumanMessage(
        [
            {"type": "text", "text": "What is this?"},
            {
                "type": "image",
                "url": "https://example.com/a.png",
                "mime_type": "image/png",
                "extras": {"detail": "low"},
            },
            {"type": "image", "base64": "iVBORw0KGgowMA==", "mime_type": "image/png"},
        ]
    ),
    HumanMessage(
        [
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b"},
            {"type": "audio", "base64": "UklGRgAAAABXQVZF", "mime_type": "audio/wav"},
        ]
    ),
    HumanMessage(
        [
            {
                "type": "file",
                "base64": "JVBERi0xLjQ=",
                "mime_type": "application/pdf",
                "extras": {"filename": "t.pdf"},
            }
        ]
    ),
    AIMessage(
        "I look.",
        tool_calls=[
            {"name": "find_order", "args": {"order": 7}, "id": "c2"},
            {"name": "find_order", "args": {"order": 8}, "id": "c3"},
        ],
    ),
    ToolMessage("a cactus", tool_call_id="c2"),
    ToolMessage("a fern", tool_call_id="c3"),
    THINKING,
    ToolMessage("done", tool_call_id="c4"),
    AIMessage("", tool_calls=[FULL_CALL | {"id": "c5"}]),
    ToolMessage("done", tool_call_id="c5"),
]


@pytest.mark.parametrize(
    "written", WRITTEN, ids=lambda w: f"{w['written_by']['llama-index-core']} {w['key']}"
)
async def test_what_llama_index_wrote_is_adopted(memory, server, do, written):
    """By versions from before there were blocks, and since; it stays where it was."""
    put(server.client, written["key"], written["elements"], oldest_first=True)
    expected = BLOCKS if written["key"] == "chat:blocks" else an_order(name="find_order")
    how = {"agent": "support", "prefix": "chat:"}
    done = await do(memory, "adopt", "llama-index", **how)
    assert done == Transfer(sessions=1, messages=len(expected))
    assert read(memory, written["key"].removeprefix("chat:")) == expected
    assert len(server.client.lrange(written["key"], 0, -1)) == len(expected)
    assert await do(memory, "adopt", "llama-index", **how) == Transfer(unchanged=1)
    assert await do(memory, "adopt", "llama-index", **how, remove=True) == Transfer(unchanged=1)
    assert not server.client.exists(written["key"])


def test_content_blocks_are_those_of_langchain():
    """Providers take them from there; see langchain_core.messages.content."""
    assert [block["type"] for block in THINKING.content_blocks] == [
        "reasoning",
        "text",
        "tool_call",
    ]
    image = convert_to_openai_messages(BLOCKS[0])["content"][1]
    assert image["image_url"]["url"] == "https://example.com/a.png"
    told = convert_to_openai_messages(BLOCKS[2])["content"][0]
    assert told["file"]["filename"] == "t.pdf"


def said(role="assistant", kwargs=None, **fields):
    return {"role": role, "additional_kwargs": kwargs or {}, **fields}


def text(words):
    return {"block_type": "text", "text": words}


def called(id_, kwargs):
    return {
        "block_type": "tool_call",
        "tool_call_id": id_,
        "tool_name": "look",
        "tool_kwargs": kwargs,
    }


ANTHROPIC_CALL = {"id": "c1", "input": {"at": 7}, "name": "look", "type": "tool_use"}
STREAMED_CALL = {
    "index": 0,
    "id": "c1",
    "type": None,
    "function": {"name": "look", "arguments": '{"at": 7}'},
}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (said("chatbot", content="Hi"), AIMessage("Hi")),
        (said("user", blocks=[]), HumanMessage("")),
        (said("user", content=None), HumanMessage("")),
        (
            said("user", {"mood": 1}, content="Hi"),
            HumanMessage("Hi", additional_kwargs={"mood": 1}),
        ),
        (
            said("user", blocks=[text("a"), text("b")]),
            HumanMessage([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        ),
        (
            said("developer", content="Hi"),
            SystemMessage("Hi", additional_kwargs={"__openai_role__": "developer"}),
        ),
        (said("function", {"name": "f"}, content="1"), FunctionMessage("1", name="f")),
        (
            said("function", {"name": "f", "tool_call_id": "c1"}, content="1"),
            ToolMessage("1", name="f", tool_call_id="c1"),
        ),
        (said(kwargs={"tool_calls": [ANTHROPIC_CALL]}), AIMessage("", tool_calls=[CALL])),
        (said(kwargs={"tool_calls": [STREAMED_CALL]}), AIMessage("", tool_calls=[CALL])),
        (
            said(kwargs={"function_call": {"name": "f"}}, content=None),
            AIMessage("", additional_kwargs={"function_call": {"name": "f"}}),
        ),
        (
            said("assistant", {"tool_call_id": "c1"}, content="42"),
            AIMessage("42", additional_kwargs={"tool_call_id": "c1"}),
        ),
        (
            said(blocks=[called("c1", {"at": 7}), text("Wait.")]),
            AIMessage(
                [
                    {"type": "tool_call", "id": "c1", "name": "look", "args": {"at": 7}},
                    {"type": "text", "text": "Wait."},
                ],
                tool_calls=[CALL],
                response_metadata={"output_version": "v1"},
            ),
        ),
        (
            said(blocks=[called("c1", "{broken")]),
            AIMessage(
                "",
                invalid_tool_calls=[
                    {
                        "name": "look",
                        "args": "{broken",
                        "id": "c1",
                        "error": "arguments are no JSON object",
                    }
                ],
            ),
        ),
        (
            said(
                "user",
                blocks=[{"block_type": "video", "video": "AAAA", "video_mimetype": "video/mp4"}],
            ),
            HumanMessage([{"type": "video", "base64": "AAAA", "mime_type": "video/mp4"}]),
        ),
    ],
)
def test_every_kind_of_llama_index_message_has_its_equal(memory, server, stored, expected):
    """Roles of other vendors, calls in the forms of other providers, blocks."""
    server.client.rpush("chat:s1", json.dumps(stored))
    memory.adopt("llama-index", agent="support", prefix="chat:")
    assert read(memory) == [expected]


@pytest.mark.parametrize(
    ("stored", "place", "told"),
    [
        ("SECRET", "", "no message of llama-index"),
        (["SECRET"], "", "no message of llama-index"),
        ({"content": "SECRET"}, "", "no message of llama-index"),
        (said(["SECRET"], content=""), "", "no message of llama-index"),
        (said("SECRET", content="SECRET"), "", "no message of llama-index"),
        (said(content="", more="SECRET"), "['more']", "no place for it"),
        (said(content={"SECRET": 1}), ".content", "must be a string"),
        (said(content=[["SECRET"]]), ".content", "must be a string"),
        (said(content="", kwargs=["SECRET"]), ".additional_kwargs", "must be an object"),
        (said("user", {"images": ["SECRET"]}, content=""), ".additional_kwargs['images']", "none"),
        (said("tool", content="SECRET"), "", "tool_call_id"),
        (said("tool", {"tool_call_id": 5}, content="SECRET"), "", "tool_call_id"),
        (said("function", content="SECRET"), "", "takes it for no message"),
        (said("user", {"tool_calls": [ANTHROPIC_CALL]}, content=""), ".tool_calls", "assistant"),
        (said(kwargs={"tool_calls": "SECRET"}), ".tool_calls", "must be a list"),
        (said(kwargs={"tool_calls": ["SECRET"]}), ".tool_calls[0]", "no call of a function"),
        (said(kwargs={"tool_calls": [CALL]}), ".tool_calls[0]", "no call of a function"),
        (said(content="SECRET", blocks=[]), ".blocks", "the only content"),
        (said(blocks="SECRET"), ".blocks", "must be a list"),
        (said(blocks=["SECRET"]), ".blocks[0]", "no content like"),
        (said(blocks=[text("a"), {"block_type": ["SECRET"]}]), ".blocks[1]", "no content like"),
        (said(blocks=[text(5)]), ".blocks[0]", "no content like"),
        (said(blocks=[text("") | {"more": 1}]), ".blocks[0]['more']", "no place"),
        (said(blocks=[{"block_type": "cache", "cache_control": {}}]), ".blocks[0]", "'cache'"),
        (said(blocks=[{"block_type": "citation", "source": "SECRET"}]), ".blocks[0]", "'citation'"),
        (said(blocks=[called("c1", ["SECRET"])]), ".blocks[0].function", "needs a name"),
        (said(blocks=[called(5, {})]), ".blocks[0].id", "must be a string"),
        (
            said(blocks=[called("c2", {})], kwargs={"tool_calls": [ANTHROPIC_CALL]}),
            ".blocks",
            "other tool calls",
        ),
        (
            said("user", blocks=[{"block_type": "image", "path": "/SECRET"}]),
            ".blocks[0]['path']",
            "no place",
        ),
        (said("user", blocks=[{"block_type": "image"}]), ".blocks[0]", "either image or url"),
        (
            said("user", blocks=[{"block_type": "audio", "audio": "SECRET", "url": "x"}]),
            ".blocks[0]",
            "either audio or url",
        ),
        (
            said(blocks=[{"block_type": "thinking", "additional_information": ["SECRET"]}]),
            ".blocks[0].additional_information",
            "must be an object",
        ),
    ],
)
async def test_what_has_no_equal_is_refused(server, refused, stored, place, told):
    """With key and position, before anything of its conversation is stored, and unquoted."""
    for element in (WRITTEN[1]["elements"][0], json.dumps(stored)):
        server.client.rpush("chat:s1", element)
    error = await refused("llama-index", prefix="chat:")
    assert error.field == f"'chat:s1'[1]{place}"
    assert told in error.reason


async def test_what_json_cannot_hold_is_refused_with_its_key(memory, server, do):
    """By the codec, which knows messages by their number only."""
    server.client.rpush("chat:s1", json.dumps(said("user", {"deep": nested(250)}, content="")))
    with pytest.raises(UnstorableError, match=r"'chat:s1'\[0\]\.additional_kwargs"):
        await do(memory, "adopt", "llama-index", agent="support", prefix="chat:")


def nested(levels):
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("element", [b"SECRET", b"\xff", b'{"type": "human"}', b"[]", b"{" * 9999])
@pytest.mark.parametrize("library", ["langchain-community", "llama-index"])
async def test_damage_is_told_with_its_place(server, refused, library, element):
    """And nothing of that conversation is stored."""
    put(server.client, "app:s1", [element, *by_community(TALK[:1])])
    error = await refused(library, prefix="app:")
    assert error.field == f"'app:s1'[{int(library == 'langchain-community')}]"
    assert "no message of" in error.reason


@pytest.fixture
def refused(memory, server, do):
    """Adopts what is to be refused, and gives the error."""

    async def check(*args, **kwargs):
        before = lists(server.client)
        with pytest.raises(UnstorableError) as caught:
            await do(memory, "adopt", *args, agent="support", **kwargs)
        assert lists(server.client) == before
        assert_secret_is_kept(caught.value)
        return caught.value

    return check


def assert_secret_is_kept(error):
    while error is not None:
        assert "SECRET" not in "".join(traceback.format_exception(error)) + repr(vars(error))
        error = error.__context__


# Messages in OpenAI's format

LOOK = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 7}'}}
PICTURE = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"}},
]
OPENAI = [
    {"role": "system", "content": "Be kind."},
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": PICTURE, "name": "alice"},
    {"role": "assistant", "content": "I look.", "tool_calls": [LOOK, LOOK | {"id": "c2"}]},
    {"role": "tool", "content": "a cactus", "tool_call_id": "c1"},
    {"role": "tool", "content": "", "tool_call_id": "c2", "name": "look"},
    {"role": "assistant", "content": "", "refusal": "I must not tell."},
    {"role": "function", "content": "1", "name": "f"},
]


async def test_messages_in_openais_format_are_adopted(memory, do):
    """What comes back is, in OpenAI's format, what went in."""
    how = {"agent": "support", "user": "alice", "session": "a:1"}
    assert await do(memory, "adopt", OPENAI, **how) == Transfer(sessions=1, messages=8)
    found = read(memory, "a:1", "alice")
    assert convert_to_openai_messages(found) == OPENAI
    assert found[3].tool_calls[0]["args"] == {"at": 7}
    assert await do(memory, "adopt", tuple(OPENAI), **how) == Transfer(unchanged=1)
    more = [*OPENAI, {"role": "user", "content": "Bye."}]
    assert await do(memory, "adopt", more, **how) == Transfer(sessions=1, messages=1)
    with pytest.raises(ImportConflictError):
        await do(memory, "adopt", OPENAI[1:], **how)


@pytest.mark.shared_data
def test_the_recorded_conversations_are_adopted(memory):
    """As LangChain itself takes them, and equal when they are in OpenAI's format again."""
    if not SHARED_DATA.exists():
        assert not IN_CI, f"{SHARED_DATA} is missing"
        pytest.skip(f"{SHARED_DATA} is missing: the recorded conversations are not tested")
    expected = load_conversations(SHARED_DATA)
    for line in SHARED_DATA.read_text().splitlines():
        recorded = json.loads(line)
        name, messages = recorded["conversation"], recorded["messages"]
        memory.adopt(messages, agent="airline", session=name)
        found = read(memory, name, agent="airline")
        assert found == expected[name]
        assert convert_to_openai_messages(found) == [without_spaces(m) for m in messages]


def without_spaces(message):
    """Write the arguments of calls as Python does: JSON has many forms for one value."""
    calls = [
        {**call, "function": {**call["function"], "arguments": again(call["function"])}}
        for call in message.get("tool_calls", ())
    ]
    return {**message, **({"tool_calls": calls} if calls else {})}


def again(function):
    return json.dumps(json.loads(function["arguments"]), ensure_ascii=False)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "assistant", "tool_calls": [LOOK]}, AIMessage("", tool_calls=[CALL])),
        ({"role": "assistant", "content": None, "tool_calls": None}, AIMessage("")),
        ({"role": "user", "content": "Hi", "id": "m1"}, HumanMessage("Hi", id="m1")),
        (
            {"role": "assistant", "content": None, "audio": {"id": "a1"}},
            AIMessage("", additional_kwargs={"audio": {"id": "a1"}}),
        ),
        (
            {"role": "assistant", "content": "x", "reasoning_content": "hm"},
            AIMessage("x", additional_kwargs={"reasoning_content": "hm"}),
        ),
        (
            {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
            AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
        ),
    ],
)
def test_what_openai_leaves_out_or_adds_is_kept(memory, message, expected):
    """Content that is none is empty in LangChain."""
    memory.adopt([message], agent="support", session="s1")
    assert read(memory) == [expected]


@pytest.mark.parametrize("arguments", ["{", "[1]", "null", '"text"', '{"a": 1}}'])
def test_arguments_that_are_no_object_are_kept_as_they_are(memory, arguments):
    """Where LangChain has them; models do write such."""
    call = {**LOOK, "function": {"name": "look", "arguments": arguments}}
    memory.adopt(
        [{"role": "assistant", "content": "", "tool_calls": [LOOK, call]}],
        agent="support",
        session="s1",
    )
    (message,) = read(memory)
    assert message.tool_calls == [{**CALL, "type": "tool_call"}]
    assert message.invalid_tool_calls == [
        {
            "type": "invalid_tool_call",
            "id": "c1",
            "name": "look",
            "args": arguments,
            "error": "arguments are no JSON object",
        }
    ]


def test_messages_of_langchain_are_adopted_too(memory):
    """Equal, and mixed with OpenAI's as one likes."""
    memory.adopt([*TALK, {"role": "user", "content": "Bye."}], agent="support", session="s1")
    assert read(memory) == [*TALK, HumanMessage("Bye.")]


def with_call(**changes):
    return {"role": "assistant", "content": "", "tool_calls": [{**LOOK, **changes}]}


@pytest.mark.parametrize(
    ("message", "place", "told"),
    [
        ("SECRET", "", "neither OpenAI's"),
        (("user", "SECRET"), "", "neither OpenAI's"),
        ({"content": "SECRET"}, "", "neither OpenAI's"),
        ({"role": "SECRET", "content": "SECRET"}, "", "neither OpenAI's"),
        ({"role": ["user"], "content": "SECRET"}, "", "neither OpenAI's"),
        ({"type": "human", "content": "SECRET"}, "", "neither OpenAI's"),
        ({"role": "user", "content": 5}, ".content", "must be a string"),
        ({"role": "user", "content": {"SECRET": 1}}, ".content", "must be a string"),
        ({"role": "user", "content": [5]}, ".content", "must be a string"),
        ({"role": "user", "content": "SECRET", "name": 5}, "", "no message"),
        ({"role": "user", "content": "SECRET", "message_type": "x"}, "", "no message"),
        ({"role": "user", "content": "SECRET", "tool_calls": [LOOK]}, ".tool_calls", "assistant"),
        ({"role": "tool", "content": "SECRET"}, "", "tool_call_id"),
        ({"role": "function", "content": "SECRET"}, "", "no message"),
        ({"role": "assistant", "tool_calls": {"SECRET": 1}}, ".tool_calls", "must be a list"),
        (with_call(function=None, custom={}), ".tool_calls[0]", "no call of a function"),
        (with_call(extra="SECRET"), ".tool_calls[0]['extra']", "no place"),
        (with_call(id=5), ".tool_calls[0].id", "must be a string"),
        (with_call(function={"name": "f"}), ".tool_calls[0].function", "needs a name"),
        (
            with_call(function={**LOOK["function"], "more": 1}),
            ".tool_calls[0].function['more']",
            "no place",
        ),
        ({"role": "user", "content": "SECRET", "x": b""}, ".additional_kwargs['x']", "no bytes"),
    ],
)
async def test_messages_that_cannot_be_are_refused(refused, message, place, told):
    """With their number and field, unquoted, and nothing is stored."""
    error = await refused([{"role": "user", "content": "Hi"}, message], session="s1")
    assert error.field == f"messages[1]{place}"
    assert told in error.reason


# Arguments


@pytest.mark.parametrize(
    ("source", "options", "told"),
    [
        ("langchain-comunity", {}, "'langchain-community', 'llama-index'"),
        ("llama-index", {}, "with which prefix="),
        ("langchain-community", {"prefix": ""}, "prefix=''"),
        ("langchain-community", {"prefix": b"x"}, "prefix="),
        ("langchain-community", {"prefix": "agent:"}, "own namespace"),
        ("langchain-community", {"prefix": "agent:memory:a:"}, "own namespace"),
        ("langchain-community", {"prefix": "\ud800"}, "UTF-8"),
        ("langchain-community", {"session": "s1"}, "list of messages"),
        ("langchain-community", {"user": "alice"}, "list of messages"),
        ("langchain-community", {"on_conflict": "merge"}, "on_conflict"),
        ("langchain-community", {"agent": ""}, "agent must not be empty"),
        ("langchain-community", {"agent": None}, "agent must be a string"),
        (TALK, {}, "session="),
        (TALK, {"session": ""}, "session_id must not be empty"),
        (TALK, {"session": "s1", "user": ""}, "user_id must not be empty"),
        (TALK, {"session": "s1", "prefix": "x"}, "prefix is not for a list"),
        (TALK, {"session": "s1", "remove": True}, "remove is not for a list"),
        (TALK[0], {"session": "s1"}, "pass a list of messages"),
        ({}, {"session": "s1"}, "pass a list of messages"),
        (None, {"session": "s1"}, "pass a list of messages"),
        (iter(TALK), {"session": "s1"}, "pass a list of messages"),
    ],
)
async def test_arguments_that_cannot_be_are_refused(memory, do, source, options, told):
    """Before anything is sent."""
    before = memory.round_trips
    with pytest.raises(ConfigurationError, match=told):
        await do(memory, "adopt", source, **{"agent": "support", **options})
    assert memory.round_trips == before


async def test_an_unknown_option_is_a_type_error(memory, do):
    """As of any function."""
    with pytest.raises(TypeError, match="prefx"):
        await do(memory, "adopt", "langchain-community", agent="support", prefx="x")


async def test_no_messages_are_no_conversation(memory, do):
    """There is nothing to be stored."""
    before = memory.round_trips
    assert await do(memory, "adopt", [], agent="support", session="s1") == Transfer()
    assert memory.round_trips == before


async def test_an_adopted_conversation_expires_by_the_memorys_ttl(server, do):
    """Whichever the source had."""
    for ttl in (100, None):
        async with RedisMemory.from_url(server.url, ttl=ttl, namespace=f"ttl{ttl}") as memory:
            await do(memory, "adopt", TALK, agent="support", session="s1")
            left = memory.history("support", "default", "s1").time_to_live()
            assert left is None if ttl is None else 90 < left <= 100


def test_requests_show_no_words():
    """What is sent is not in what is printed of it."""
    from langchain_redis_memory.companions import SessionEntry
    from langchain_redis_memory.moving.restoring import Restorable, _push

    session = Restorable("key", SessionEntry("index", "s1"), [b"SECRET"], 0)
    operation = _push(session, session.elements, (0, b"SECRET", 0))
    assert isinstance(operation, Operation)
    assert "SECRET" not in repr(operation) + repr(session)


@pytest.mark.parametrize("ttl", [None, 100, 10**7])
async def test_a_conversation_lives_as_long_as_it_would_have(memory, do, server, ttl):
    """One that was to stay for ever is not gone a week later."""
    put(server.client, "message_store:s1", by_community(TALK))
    if ttl is not None:
        server.client.expire("message_store:s1", ttl)
    await do(memory, "adopt", "langchain-community", agent="support")
    left = server.client.ttl("agent:memory:support:default:s1")
    assert left == -1 if ttl is None else ttl - 5 < left <= ttl


@pytest.mark.parametrize("options", [{}, {"dry_run": True}, {"on_conflict": "replace"}])
async def test_two_conversations_do_not_become_one(memory, do, server, options):
    """The second would replace the first, or go where the first begins it; both stay."""
    for name in ("u/1", "u/2"):
        put(server.client, f"message_store:{name}", by_community(TALK))
    with pytest.raises(ConfigurationError, match="same session as another"):
        await do(
            memory,
            "adopt",
            "langchain-community",
            agent="support",
            ids=lambda rest: (rest[0], "main"),
            remove=True,
            **options,
        )
    assert server.client.exists("message_store:u/1") + server.client.exists("message_store:u/2")


def test_a_call_without_arguments_is_a_call(memory):
    """Some providers write an empty text for them."""
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}
    messages = [{"role": "assistant", "content": "", "tool_calls": [call]}]
    memory.adopt(messages, agent="support", user="alice", session="s1")
    (found,) = memory.history("support", "alice", "s1").messages
    assert found.tool_calls == [{"type": "tool_call", "id": "c1", "name": "look", "args": {}}]
