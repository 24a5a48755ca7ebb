"""The sample conversations are complete, varied, and parted into turns as a chat has them."""

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_redis_memory.samples import load_conversations, split_turn, split_turns

CONVERSATIONS = load_conversations()


def _letters(text):
    """Name a conversation's messages by a letter each, so that a test reads at a glance."""
    classes = {
        "s": SystemMessage,
        "u": HumanMessage,
        "a": AIMessage,
        "t": lambda content: ToolMessage(content, tool_call_id="1"),
    }
    return [classes[letter](str(position)) for position, letter in enumerate(text)]


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_each_sample_is_a_whole_conversation(messages):
    """A sample starts with its prompt, ends with a reply, and answers every tool call."""
    calls = [call["id"] for m in messages if isinstance(m, AIMessage) for call in m.tool_calls]
    assert 6 <= len(messages) <= 14
    assert isinstance(messages[0], SystemMessage)
    assert isinstance(messages[-1], AIMessage)
    assert calls
    assert calls == [m.tool_call_id for m in messages if isinstance(m, ToolMessage)]
    assert not any(m.invalid_tool_calls for m in messages if isinstance(m, AIMessage))
    assert all(message.id is None for message in messages)
    assert len(split_turns(messages)[1]) >= 2


def test_the_samples_hold_what_breaks_careless_stores():
    """Among them are parallel tool calls, text beside a call, other scripts and emoji."""
    replies = [m for ms in CONVERSATIONS.values() for m in ms if isinstance(m, AIMessage)]
    text = "".join(m.text for ms in CONVERSATIONS.values() for m in ms)
    assert len(CONVERSATIONS) == 4
    assert any(len(message.tool_calls) == 2 for message in replies)
    assert any(message.text and message.tool_calls for message in replies)
    assert max(text) > "\N{GRINNING FACE}"
    assert "予約" in text


def test_another_file_is_read_like_our_own(tmp_path):
    """Any file of the format is read, also with characters that end a line elsewhere."""
    message = {"role": "user", "content": "one\u2028two\x85"}
    line = json.dumps({"conversation": "c", "messages": [message]}, ensure_ascii=False)
    path = tmp_path / "conversations.jsonl"
    path.write_text(f"{line}\n\n", encoding="utf-8")
    assert load_conversations(path) == {"c": [HumanMessage("one\u2028two\x85")]}


@pytest.mark.parametrize(
    ("messages", "system", "turns"),
    [
        ("suaua", "s", ["ua", "ua"]),
        ("ssuuatau", "ss", ["uuata", "u"]),
        ("auas", "", ["a", "uas"]),
        ("s", "s", []),
        ("", "", []),
    ],
)
def test_turns_start_at_the_user(messages, system, turns):
    """Two messages of the user in a row belong to one turn; nothing is lost between turns."""
    whole = _letters(messages)
    first, rest = split_turns(whole)
    assert [len(first), *map(len, rest)] == [len(system), *map(len, turns)]
    assert first + [message for turn in rest for message in turn] == whole


def test_a_turn_is_parted_into_question_and_answer():
    """What the user said comes first; a turn may lack either part."""
    whole = _letters("uuata")
    assert split_turn(whole) == (whole[:2], whole[2:])
    assert split_turn(whole[2:]) == ([], whole[2:])
    assert split_turn(whole[:2]) == (whole[:2], [])
