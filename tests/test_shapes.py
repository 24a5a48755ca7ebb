"""Which messages an input, an output and a broken-off stream hold; no server is needed."""

from __future__ import annotations

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_memory.errors import ConfigurationError, RedisMemoryError
from langchain_redis_memory.interrupted import cut_short, sent_part
from langchain_redis_memory.reading import Reading
from langchain_redis_memory.shapes import Shapes, joined
from langchain_redis_memory.turn import Policy, Turn

SECRET = "the-text-of-a-message"
HI = HumanMessage("hi")
YO = AIMessage("yo")
CALL = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
RESULT = ToolMessage("1", tool_call_id="c1")


# Inputs


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        ({}, "hi", [HI]),
        ({}, "", [HumanMessage("")]),
        ({}, HI, [HI]),
        ({}, [HI, YO], [HI, YO]),
        ({}, (HI, YO), [HI, YO]),
        ({}, [[HI, YO]], [HI, YO]),
        ({}, [], []),
        ({}, [("human", "hi"), ("ai", "yo")], [HI, YO]),
        ({}, [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}], [HI, YO]),
        ({}, [[{"role": "user", "content": "hi"}]], [HI]),
        ({}, ["hi"], [HI]),
        ({}, {"anything": "hi"}, [HI]),
        ({}, {"input": [HI], "other": 1}, [HI]),
        ({"input_key": "question"}, {"question": "hi", "input": "no"}, [HI]),
        ({"input_key": "messages"}, {"messages": [HI, YO]}, [HI, YO]),
        ({"input_key": "question", "history_key": "past"}, {"question": HI, "x": 1}, [HI]),
        ({"history_key": "past"}, {"question": "hi"}, [HI]),
        ({"history_key": "past"}, {"input": "hi", "x": 1}, [HI]),
    ],
)
def test_every_input_shape(keys, value, expected):
    """Each input that LangChain's wrapper takes gives its messages."""
    assert Shapes(**keys).incoming(value) == expected


@pytest.mark.parametrize(
    ("keys", "value", "told"),
    [
        ({}, 5, "not int"),
        ({}, None, "not NoneType"),
        ({}, {"a": SECRET, "b": SECRET}, "'a', 'b'"),
        ({}, {}, "no keys"),
        ({"input_key": "question"}, {"input": SECRET}, "no key 'question'; it has 'input'"),
        ({"input_key": "question"}, SECRET, "must be a dict, not str"),
        ({"history_key": "past"}, [HumanMessage(SECRET)], "must be a dict, not list"),
        ({"input_key": "question"}, {"question": {"a": SECRET}}, "not dict"),
        (
            {},
            [HI, {"text": SECRET}],
            r"messages\[1\] of the input is no message: a dict with 'text'",
        ),
        ({}, [{"role": SECRET, "content": "a"}], r"messages\[0\] .* a dict with 'role', 'content'"),
        ({}, [(SECRET,)], r"messages\[0\] of the input is no message: a tuple"),
        ({}, [b"bytes"], r"messages\[0\]"),
        ({}, [5], r"messages\[0\] of the input is no message: a int"),
        ({}, [[HI], [HI]], r"messages\[0\]"),
        ({}, [[{"role": "tool", "content": SECRET}]], r"messages\[0\]"),
    ],
)
def test_a_wrong_input_is_named_without_its_text(keys, value, told):
    """What is wrong is told by type and keys; neither the error nor a cause quotes a message."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        Shapes(**keys).incoming(value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        ({}, "hi", [YO, HI]),
        ({}, {"anything": "hi"}, [YO, HI]),
        ({"input_key": "q"}, {"q": "hi", "x": 1}, {"q": [YO, HI], "x": 1}),
        ({"input_key": "q", "history_key": "h"}, {"q": "hi"}, {"q": "hi", "h": [YO]}),
        ({"history_key": "h"}, {"q": "hi"}, {"q": "hi", "h": [YO]}),
        ({"history_key": "h"}, {"q": "hi", "h": "stale"}, {"q": "hi", "h": [YO]}),
    ],
)
def test_what_the_runnable_is_given(keys, value, expected):
    """Earlier messages stand before the new ones, or under their own key."""
    before = dict(value) if isinstance(value, dict) else value
    assert Shapes(**keys).given(value, [YO], [HI]) == expected
    assert value == before


def test_resent_messages_are_replaced_in_the_input():
    """With a history key, the messages that are stored already leave the input too."""
    old, new = HumanMessage("old", id="1"), HumanMessage("new", id="2")
    turn = _turn({"q": [old, new]}, Shapes("q", None, "h"))
    turn.begin(Reading([old, YO], frozenset({"1"})))
    assert turn.given == {"q": [new], "h": [old, YO]}
    assert turn.new == [new]


# Outputs


@pytest.mark.parametrize(
    ("keys", "output", "expected"),
    [
        ({}, "yo", [YO]),
        ({}, YO, [YO]),
        ({}, [YO, RESULT], [YO, RESULT]),
        ({}, (YO,), [YO]),
        ({}, [], []),
        ({}, AIMessageChunk("yo", chunk_position="last"), [YO]),
        ({}, [AIMessageChunk("yo"), HumanMessageChunk("hi")], [YO, HI]),
        ({}, {"anything": "yo"}, [YO]),
        ({}, {"output": YO, "other": 1}, [YO]),
        ({}, {"messages": [YO]}, [YO]),
        ({"output_key": "answer"}, {"answer": "yo", "output": "no"}, [YO]),
        ({"output_key": "answer"}, {"answer": [YO]}, [YO]),
        ({"output_key": "answer"}, "yo", [YO]),
    ],
)
def test_every_output_shape(keys, output, expected):
    """Each output that LangChain's wrapper takes gives its messages, and none is a chunk."""
    messages = Shapes(**keys).outgoing(output, [HI])
    assert messages == expected
    assert list(map(type, messages)) == list(map(type, expected))


@pytest.mark.parametrize(
    ("keys", "output", "told"),
    [
        ({}, 5, "not int"),
        ({}, None, "not NoneType"),
        ({}, [SECRET], "not list"),
        ({}, {"a": SECRET, "b": SECRET}, "no key 'output'; it has 'a', 'b'"),
        ({"output_key": "answer"}, {"text": SECRET}, "no key 'answer'; it has 'text'"),
        ({"output_key": "answer"}, {"answer": {"text": SECRET}}, "not dict"),
    ],
)
def test_a_wrong_output_is_named_without_its_text(keys, output, told):
    """What is wrong is told by type and keys; the text is not quoted."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        Shapes(**keys).outgoing(output, [])
    assert SECRET not in str(caught.value)


def test_an_agents_state_gives_only_what_is_new():
    """Messages that went in and come back in the state are not stored again."""
    with_id, copied = HumanMessage("a", id="1"), HumanMessage("a", id="1")
    state = {"messages": [HI, copied, YO, RESULT]}
    assert Shapes(output_key="messages").outgoing(state, [HI, with_id]) == [YO, RESULT]


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ([HI], [HumanMessage("hi", id="new")]),
        ([HI, YO, HI], [HI, YO, HumanMessage("hi", id="new")]),
        ([HI, YO, HI], [SystemMessage("be kind"), *map(HI.__class__.model_copy, [HI, YO, HI])]),
        ([SystemMessage("a"), HI], [SystemMessage("b"), SystemMessage("a"), HI]),
    ],
)
def test_an_agents_state_may_hold_copies(given, state):
    """A state that begins with all that went in is known, whatever ids and prompts it has."""
    reply = [AIMessage("yo", id="r1"), RESULT, YO]
    assert Shapes().outgoing([*state, *reply], given) == reply
    assert Shapes().outgoing(state, given) == []


def test_a_shortened_state_gives_what_has_no_known_id():
    """An agent may drop or summarise what it was given; what comes back of it is still known."""
    old = [HumanMessage("a", id="1"), AIMessage("b", id="2"), HumanMessage("c", id="3")]
    state = [AIMessage("summary", id="4"), HumanMessage("c", id="3"), YO]
    assert Shapes().outgoing(state, old) == [AIMessage("summary", id="4"), YO]


def test_a_reply_that_repeats_is_kept():
    """A list that does not begin with all that went in is a reply, equal messages and all."""
    assert Shapes().outgoing([HumanMessage("hi"), YO.model_copy()], [HI, HI]) == [HI, YO]
    assert Shapes().outgoing([AIMessage("yo"), HumanMessage("hi")], [HI]) == [YO, HI]
    assert Shapes().outgoing([HI, YO], []) == [HI, YO]


def test_a_single_reply_is_new_whatever_its_id():
    """A model's cache gives the same message, with its id, for the same question again."""
    cached = AIMessage("yo", id="run-1")
    assert Shapes().outgoing(cached, [HI, cached]) == [cached]


# Pieces of streams


def test_strings_chunks_and_dicts_are_joined():
    """Pieces that can be added up are, and of others the last one counts."""
    call = {"name": "add", "args": '{"a"', "id": "c1", "index": 0, "type": "tool_call_chunk"}
    rest = {"name": None, "args": ": 1}", "id": None, "index": 0, "type": "tool_call_chunk"}
    whole = joined(
        [
            AIMessageChunk("a", id="1"),
            AIMessageChunk("b", id="1", tool_call_chunks=[call]),
            AIMessageChunk("", id="1", tool_call_chunks=[rest], chunk_position="last"),
        ]
    )
    assert (whole.content, whole.id, whole.tool_calls) == ("ab", "1", [CALL])
    assert joined([]) == []
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "abc"
    assert joined([[YO], [RESULT]]) == [YO, RESULT]
    assert joined([{"output": "a"}, {"output": "b"}]) == {"output": "b"}
    assert joined([HumanMessageChunk("a"), HumanMessageChunk("b")]).content == "ab"


def test_whole_messages_of_a_stream_stay_apart():
    """A stream of finished messages, or of chunks between them, is a list of messages."""
    asks = AIMessage("", tool_calls=[CALL])
    assert joined([asks, RESULT, YO]) == [asks, RESULT, YO]
    chunks = [AIMessageChunk("y"), AIMessageChunk("o")]
    assert Shapes().outgoing(joined([asks, RESULT, *chunks]), []) == [asks, RESULT, YO]


def test_chunks_that_cannot_be_added_are_all_kept():
    """Metadata that LangChain cannot merge costs no text."""
    pieces = [AIMessageChunk(text, additional_kwargs={"x": float(text)}) for text in "12"]
    with pytest.raises(TypeError):
        pieces[0] + pieces[1]
    assert [m.content for m in Shapes().outgoing(joined(pieces), [])] == ["1", "2"]


def test_ten_thousand_chunks_are_one_sum():
    """The pieces of a long reply are added at once, not one after the other."""
    added = []

    class Chunk(AIMessageChunk):
        def __add__(self, other):
            added.append(other)
            return super().__add__(other)

    assert joined([Chunk("x") for _ in range(10_000)]).content == "x" * 10_000
    assert len(added) == 1


# What is left of a stream that its reader abandoned


def test_text_that_was_cut_is_marked():
    """The part of a reply that was sent is kept, and says that it is a part."""
    (part,) = cut_short([AIMessage("half of it", id="1", response_metadata={"model": "m"})])
    assert part == AIMessage(
        "half of it", id="1", response_metadata={"model": "m", "interrupted": True}
    )


def test_the_message_that_is_marked_is_a_copy():
    """The pieces that the reader holds do not change."""
    whole = AIMessage("half")
    cut_short([whole])
    assert whole.response_metadata == {}


@pytest.mark.parametrize("content", ["", [], [{"type": "thinking", "thinking": "hm"}]])
def test_nothing_is_kept_of_a_reply_without_text(content):
    """An empty message, which chat models refuse, is not stored."""
    assert cut_short([AIMessage(content)]) == []
    assert cut_short([]) == []


@pytest.mark.parametrize(
    "calls",
    [
        {"tool_calls": [CALL]},
        {"tool_calls": [CALL, {**CALL, "id": None}]},
        {
            "invalid_tool_calls": [
                {**CALL, "args": '{"a"', "type": "invalid_tool_call", "error": ""}
            ]
        },
    ],
)
def test_unanswered_calls_are_cut(calls):
    """A call without its result goes, and what the agent said with it stays."""
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    asks = AIMessage("let me see", id="1", name="bot", usage_metadata=usage, **calls)
    assert cut_short([asks]) == [
        AIMessage(
            "let me see",
            id="1",
            name="bot",
            usage_metadata=usage,
            response_metadata={"interrupted": True},
        )
    ]
    assert cut_short([AIMessage("", **calls)]) == []


@pytest.mark.parametrize("arguments", ["", '{"a', '{"a": 1', '{"a": 1}'])
def test_half_a_call_is_cut(arguments):
    """A call whose arguments are still on their way goes, as text and as content blocks."""
    call = {"name": "add", "args": arguments, "id": "c1", "index": 1}
    pieces = [
        AIMessageChunk([{"type": "text", "text": "let ", "index": 0}]),
        AIMessageChunk([{"type": "text", "text": "me", "index": 0}]),
        AIMessageChunk(
            [{"type": "tool_use", "id": "c1", "name": "add", "input": {}, "index": 1}],
            tool_call_chunks=[{**call, "args": ""}],
        ),
        AIMessageChunk(
            [{"type": "input_json_delta", "partial_json": arguments, "index": 1}],
            tool_call_chunks=[{**call, "id": None, "name": None}],
        ),
    ]
    (part,) = cut_short(sent_part(pieces, Shapes(), []))
    assert part.text == "let me"
    assert [block["type"] for block in part.content] == ["text"]
    assert not part.tool_calls
    assert not part.invalid_tool_calls
    plain = AIMessageChunk("let me", tool_call_chunks=[call])
    (part,) = cut_short(sent_part([plain], Shapes(), []))
    assert (part.content, part.tool_calls, part.invalid_tool_calls) == ("let me", [], [])


def test_blocks_without_their_end_are_cut():
    """Only the last blocks can be half, and a thought or a server's tool call may not be."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    text = {"type": "text", "text": "so"}
    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    (part,) = cut_short([AIMessage([thought, text, search])])
    assert part.content == [thought, text]
    (part,) = cut_short([AIMessage([search, {"type": "web_search_tool_result"}, text])])
    assert len(part.content) == 3
    (part,) = cut_short([AIMessage(["so", {"type": "thinking", "thinking": "h"}])])
    assert part.content == ["so"]


def test_answered_calls_are_kept():
    """Calls with their results stay, and the text that was cut after them is what is marked."""
    asks = AIMessage("", tool_calls=[CALL])
    *rest, last = cut_short([asks, RESULT, AIMessage("half")])
    assert rest == [asks, RESULT]
    assert last.response_metadata == {"interrupted": True}


def test_a_reply_that_ends_in_a_result_is_marked_at_the_call():
    """The mark is on the last message of the agent, also where a result came after it."""
    asks, result = cut_short([AIMessage("", tool_calls=[CALL]), RESULT])
    assert (asks.tool_calls, asks.response_metadata) == ([CALL], {"interrupted": True})
    assert result == RESULT
    again = AIMessage("", tool_calls=[{**CALL, "id": "c2"}])
    assert cut_short([AIMessage("", tool_calls=[CALL]), RESULT, again]) == [asks, RESULT]


def test_calls_that_are_answered_in_part_go_with_their_results():
    """One of two results is not enough for a chat model."""
    asks = AIMessage("both", tool_calls=[CALL, {**CALL, "id": "c2"}])
    (part,) = cut_short([asks, RESULT])
    assert (part.content, part.tool_calls) == ("both", [])


@pytest.mark.parametrize(
    ("keys", "pieces", "expected"),
    [
        ({}, [], []),
        ({}, ["a", "b"], [AIMessage("ab")]),
        ({"output_key": "out"}, [{"in": "hi"}], []),
        ({"output_key": "out"}, [{"out": "a"}], [AIMessage("a")]),
        ({}, [object()], []),
        ({"output_key": "messages"}, [{"model": {"messages": [YO]}}, {"tools": None}], [YO]),
        ({}, [{"model": {"messages": [YO]}}, {"tools": {"messages": [RESULT]}}], [YO, RESULT]),
        ({}, [{"trim": {"messages": [RemoveMessage(id="1"), HI]}, "b": {"messages": [YO]}}], [YO]),
    ],
)
def test_the_pieces_of_an_unfinished_stream(keys, pieces, expected):
    """What can be told of a reply is, also from the updates of a graph's nodes."""
    assert sent_part(pieces, Shapes(**keys), [HI]) == expected


# Turns and policies


def _turn(value, shapes=None, policy=None):
    shapes = shapes or Shapes()
    return Turn(None, shapes, policy or Policy(), value, shapes.incoming(value))


def test_a_turn_gives_and_records():
    """The runnable is given history and input; the input and the reply are recorded."""
    turn = _turn("hi")
    turn.begin(Reading([SystemMessage("be kind")]))
    assert turn.given == [SystemMessage("be kind"), HI]
    assert turn.record("yo") == [HI, YO]
    assert turn.ids == []


def test_a_turn_leaves_out_what_is_stored():
    """Messages with known ids are new neither to the runnable nor to the history."""
    known, twice = HumanMessage("a", id="1"), HumanMessage("b", id="2")
    turn = _turn([known, twice, twice, HI, HI])
    assert turn.ids == ["1", "2", "2"]
    turn.begin(Reading([YO], frozenset({"1"})))  # the window does not reach back to it
    assert turn.given == [YO, twice, HI, HI]
    assert turn.record(AIMessage("x")) == [twice, HI, HI, AIMessage("x")]


def test_what_a_policy_keeps_of_a_turn():
    """Of an abandoned turn both sides stay or none; of a failed one nothing or the input."""
    keep = _turn("hi", policy=Policy(keep_failed_input=True))
    drop = _turn("hi", policy=Policy(on_interrupted="discard"))
    part = AIMessage("y", response_metadata={"interrupted": True})
    assert keep.record_part(["y"]) == [HI, part]
    assert keep.record_part([]) == [HI]
    assert keep.record_failed() == [HI]
    assert drop.record_part(["y"]) == []
    assert drop.record_failed() == []


def test_every_turn_has_a_token_of_its_own():
    """Two turns are never taken for one."""
    assert _turn("hi").token != _turn("hi").token


def test_an_unsaved_turn_is_handed_back_without_foreign_texts():
    """Our own errors are quoted; of others only the class, since they may quote a message."""
    turn = _turn("hi")
    ours = turn.not_saved(RedisMemoryError("no space"), "yo", [HI, YO])
    assert "no space" in str(ours)
    assert (ours.reply, ours.messages, ours.token) == ("yo", [HI, YO], turn.token)
    theirs = turn.not_saved(ValueError(SECRET), "yo", [])
    assert "ValueError" in str(theirs)
    assert SECRET not in str(theirs)
    assert (theirs.messages, theirs.token) == ([HI], None)


@pytest.mark.parametrize("options", [{"on_save_error": "no"}, {"on_interrupted": None}])
def test_an_unknown_policy_is_refused(options):
    """A misspelt option is told together with the ones there are."""
    ((name, _),) = options.items()
    with pytest.raises(ConfigurationError, match=f"{name} must be '.*' or '.*', not"):
        Policy(**options)
