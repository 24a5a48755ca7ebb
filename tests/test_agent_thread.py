"""Which of the messages in an agent's state are of its turn, as data."""

from __future__ import annotations

from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_redis_memory.agents.thread import (
    Record,
    asked,
    closed,
    complete,
    ended,
    identified,
    said,
)
from langchain_redis_memory.reading import Reading


def human(name):
    return HumanMessage(name, id=name)


def ai(name, *calls):
    return AIMessage(
        name, id=name, tool_calls=[{"name": "x", "args": {}, "id": call} for call in calls]
    )


def tool(call):
    return ToolMessage("result", id=f"result {call}", tool_call_id=call)


def record(*messages, after=None, token="t"):
    return Record(user="u", session="s", token=token, after=after, said=list(messages), profile="")


def ids(messages):
    return [message.id for message in messages]


OLD = [human("u0"), ai("a0")]
TURN = [human("u1"), ai("a1", "c1"), tool("c1"), ai("a2", "c2"), tool("c2"), ai("a3")]
SUMMARY = human("summary")


@pytest.mark.parametrize(
    ("sent", "may"),
    [
        ([], False),
        ([HumanMessage("hi")], False),
        ([HumanMessage("hi", id=str(uuid4()))], False),
        ([SystemMessage("hi", id=str(uuid4())), HumanMessage("hi", id=str(uuid4()))], False),
        ([HumanMessage("hi", id="m1")], True),
        ([HumanMessage("hi", id="12345678-1234-7234-8234-123456789abc")], True),
        ([AIMessage("hi", id=str(uuid4())), HumanMessage("hi", id=str(uuid4()))], True),
    ],
)
def test_ids_are_looked_for_where_a_client_may_have_given_them(sent, may):
    """And the whole conversation is not read for the sake of an id that LangGraph made up."""
    assert bool(asked(sent, None, keep_failed=False).ids) is may


def test_a_thread_goes_on_behind_its_last_turn():
    """What stands behind it was sent; what others stored since comes in between."""
    known = closed(record(), OLD)
    thread = asked([*OLD, human("u1")], known, keep_failed=False)
    others = [human("x"), ai("y")]
    joined = thread.join(Reading([*OLD, *others]), "key")
    assert ids(joined.before) == ["u0", "a0", "x", "y"]
    assert joined.sent == joined.new == [human("u1")]


def test_a_thread_that_lost_its_mark_is_one_that_was_sent():
    """As when an application has put other messages in its place."""
    thread = asked([human("u1")], closed(record(), OLD), keep_failed=False)
    assert (thread.earlier, thread.sent) == ([], [human("u1")])


@pytest.mark.parametrize("end", range(1, len(TURN) + 1))
@pytest.mark.parametrize("noted", range(1, len(TURN) + 1))
def test_what_was_taken_out_was_said(end, noted):
    """However much of the turn was noted before, and whatever of that a summary took away."""
    if noted > end:
        return
    so_far = record(*TURN[:noted], after="a0")
    whole = TURN[:end]
    assert said(so_far, [*OLD, *whole]) == whole
    for cut in range(noted):
        assert said(so_far, [SUMMARY, *whole[cut:]]) == whole


def test_without_any_mark_the_last_step_is_new():
    """The summary that took the place of all else was not said."""
    assert said(record(TURN[0], after="a0"), [SUMMARY, *TURN[1:3]]) == TURN[:3]
    assert said(record(TURN[0], after="a0"), [SUMMARY]) == TURN[:1]


def test_what_was_rewritten_is_said_as_rewritten():
    """Where the state still has it."""
    hidden = HumanMessage("***", id="u1")
    assert said(record(TURN[0], after="a0"), [*OLD, hidden, ai("a1")]) == [hidden, ai("a1")]


def test_calls_that_were_taken_back_were_never_made():
    """Those that stand in the state stay, answered or not."""
    taken, partly = ai("a1", "c1"), ai("a2", "c2", "c3")
    turn = record(human("u1"), taken, partly, tool("c2"))
    assert ids(ended(turn, [human("u1"), ai("a3")])) == ["u1", "a3"]
    assert ids(ended(turn, [human("u1"), taken, ai("a3")])) == ["u1", "a1", "a3"]


def test_steps_are_complete_with_all_their_results():
    """The first call without a result ends what is kept."""
    both = ai("a1", "c1", "c2")
    assert complete([human("u1"), both, tool("c1")]) == [human("u1")]
    assert complete([human("u1"), both, tool("c1"), tool("c2")])[1:] == [
        both,
        tool("c1"),
        tool("c2"),
    ]


@pytest.mark.parametrize("keep", [False, True])
def test_a_turn_that_did_not_end_is_left_behind(keep):
    """Its complete steps are stored with the next turn, if they are to be, and stay in sight."""
    failed = TURN[:4]
    so_far = record(TURN[0], after="a0")
    thread = asked([*OLD, *failed, human("u2")], so_far, keep_failed=keep)
    joined = thread.join(Reading(OLD), "key")
    assert joined.before == [*OLD, *failed]
    assert joined.sent == [human("u2")]
    assert joined.new == [*(TURN[:3] if keep else []), human("u2")]
    again = thread.join(Reading([*OLD, *TURN[:3]]), "key")
    assert again.new == [human("u2")]


def test_ids_are_made_of_what_was_said():
    """Different for each message, and in each conversation."""

    def made(key, *texts):
        return ids(identified([HumanMessage(text) for text in texts], key))

    assert made("k", "a", "b", "a") == made("k", "a", "b", "a")
    assert len(set(made("k", "a", "b", "a"))) == 3
    assert not set(made("k", "a")) & set(made("l", "a"))
    assert made("k", "a", "b")[1] == made("k", "b")[0]
