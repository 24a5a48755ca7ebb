"""The offline model answers from the user's messages, and from nothing else."""

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_redis_memory.offline_model import HELP, UNKNOWN, OfflineChatModel

SAID_AND_ANSWERED = [
    ("My name is Alice.", "Nice to meet you, Alice.", "What is my name?", "Your name is Alice."),
    ("I am called Bob", "Nice to meet you, Bob.", "who am i", "Your name is Bob."),
    ("call me Zoë!", "Nice to meet you, Zoë.", "Tell me my name.", "Your name is Zoë."),
    (
        "I\u2019m called 花子。",
        "Nice to meet you, 花子.",
        "What's my name again?",
        "Your name is 花子.",
    ),
    (
        "my favourite colour is green",
        "Noted: your favourite colour is green.",
        "What is my favorite color?",
        "Your favourite colour is green.",
    ),
    (
        "My hobbies are chess and my garden.",
        "Noted: your hobbies are chess and your garden.",
        "What are my hobbies?",
        "Your hobbies are chess and your garden.",
    ),
    (
        "I live in Lisbon",
        "Noted: you live in Lisbon.",
        "Where do I live?",
        "You live in Lisbon.",
    ),
    ("I like tea.", "Noted: you like tea.", "What do I like?", "You like tea."),
    ("I don't like tea.", "Noted: you don't like tea.", "What do I like?", "You don't like tea."),
    (
        "I like my cat, 🐈.",
        "Noted: you like your cat, 🐈.",
        "Do you know what do I like?",
        "You like your cat, 🐈.",
    ),
]


def _ask(*texts):
    """Give the model the user's messages and return its reply."""
    return OfflineChatModel().invoke([HumanMessage(text) for text in texts]).text


class _Tokens(BaseCallbackHandler):
    """Keeps the tokens that a model reports."""

    def __init__(self):
        self.tokens = []

    def on_llm_new_token(self, token, **kwargs):
        self.tokens.append(token)


@pytest.mark.parametrize(("said", "acknowledged", "asked", "answered"), SAID_AND_ANSWERED)
def test_a_fact_is_acknowledged_and_remembered(said, acknowledged, asked, answered):
    """What the user says is acknowledged, and given back when the user asks."""
    assert _ask(said) == acknowledged
    assert _ask(said, asked) == answered


def test_the_newest_statement_wins():
    """A user who corrects a fact is answered with the correction."""
    assert _ask("I live in Rome.", "I live in Oslo.", "Where do I live?") == "You live in Oslo."


def test_one_message_can_hold_statements_and_questions():
    """The sentences of the last message are answered in their order."""
    reply = _ask("Hello! My name is Ann and I live in Rome.\nWhat is my name? Where do I work?")
    assert reply == f"Nice to meet you, Ann. Noted: you live in Rome. Your name is Ann. {UNKNOWN}"


def test_what_was_not_said_is_not_known():
    """A question about something else is answered with what the model is."""
    assert _ask("My name is Alice.", "Where do I live?") == UNKNOWN
    assert _ask("What is my name?") == UNKNOWN
    assert "offline model" in UNKNOWN


@pytest.mark.parametrize(
    "text", ["", "   ", "Hello.", "My name is .", "I like", "こんにちは。", "my"]
)
def test_what_is_no_fact_and_no_question_gets_help(text):
    """Anything else is answered with what the model understands."""
    assert _ask(text) == HELP
    assert "offline model" in HELP


def test_only_the_user_states_facts():
    """A stored reply, a tool's result or a prompt cannot put words in the user's mouth."""
    messages = [
        SystemMessage("My name is Mallory."),
        HumanMessage("My name is Alice."),
        AIMessage("My name is Mallory."),
        ToolMessage("My name is Mallory.", tool_call_id="1"),
        HumanMessage("What is my name?"),
    ]
    assert OfflineChatModel().invoke(messages).text == "Your name is Alice."
    assert OfflineChatModel().invoke(messages[:1]).text == HELP


def test_content_blocks_are_read():
    """A message whose content is a list of blocks is read like its text."""
    blocks = [{"type": "text", "text": "My name is "}, {"type": "text", "text": "Alice."}]
    messages = [HumanMessage(blocks), HumanMessage("What is my name?")]
    assert OfflineChatModel().invoke(messages).text == "Your name is Alice."


def test_a_stream_gives_the_same_reply_word_by_word():
    """The pieces of a streamed reply join to the reply, with its usage, and are reported."""
    whole = OfflineChatModel().invoke("What is my name?")
    seen = _Tokens()
    chunks = list(OfflineChatModel().stream("What is my name?", config={"callbacks": [seen]}))
    words = [chunk.text for chunk in chunks if chunk.text]
    joined = chunks[0]
    for chunk in chunks[1:]:
        joined += chunk
    assert len(words) == len(UNKNOWN.split())
    assert "".join(words) == joined.text == whole.text == UNKNOWN
    assert [token for token in seen.tokens if token] == words
    assert joined.usage_metadata == whole.usage_metadata
    assert joined.response_metadata["model_name"] == whole.response_metadata["model_name"]


async def test_the_async_methods_give_the_same():
    """The async twins answer alike."""
    model = OfflineChatModel()
    whole = await model.ainvoke("My name is Alice.")
    chunks = [chunk.text async for chunk in model.astream("My name is Alice.")]
    assert "".join(chunks) == whole.text == "Nice to meet you, Alice."
    assert whole.usage_metadata == {"input_tokens": 4, "output_tokens": 5, "total_tokens": 9}


def test_long_odd_text_is_read_quickly():
    """No text makes the reading slow: these would take minutes with a careless pattern."""
    for text in ("my " * 50_000, " " * 100_000 + "and", "I like " * 30_000, "my name " * 30_000):
        assert _ask(text + "?")


def test_it_says_that_it_calls_no_tools():
    """An agent with tools needs another model."""
    with pytest.raises(NotImplementedError, match="calls no tools, and was given 1"):
        OfflineChatModel().bind_tools([len])
