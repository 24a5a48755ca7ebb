"""What the peers that are LangChain's share: a history, and a runnable around which it is put."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory

from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from langchain_core.chat_history import BaseChatMessageHistory

    from benchmarks.conversations import Record

MESSAGES, DICT, PROMPT = "messages", "dict", "prompt"
"""The forms of a turn: messages; a dict with a key for the history; that with prompt and model."""

_KEYS = {"input_messages_key": "input", "history_messages_key": "history"}


class LangChainPeer(Peer):
    """Histories behind LangChain's interface."""

    packages: ClassVar[tuple[str, ...]] = ("langchain-core", "pydantic")

    def history(self, session: str) -> BaseChatMessageHistory:
        """Give the history of a session."""
        raise NotImplementedError

    def disconnect(self) -> None:
        """Leave connections that a new event loop would find open."""

    def messages(self, records: list[Record]) -> list[BaseMessage]:
        """Make messages."""
        return convert_to_messages(records)

    def add(self, session: str, messages: list[BaseMessage]) -> None:
        """Store a turn."""
        self.history(session).add_messages(messages)

    def read(self, session: str) -> list[BaseMessage]:
        """Read all messages."""
        return self.history(session).messages

    def last(self, session: str, count: int) -> list[BaseMessage]:
        """Read the newest messages; there is no other way than to read all."""
        return self.read(session)[-count:]

    def exchange(self, session: str, messages: list[BaseMessage]) -> None:
        """Read all messages and store a turn, with one object."""
        history = self.history(session)
        _ = history.messages
        history.add_messages(messages)

    def chat(self, form: str, reply: str, window: int | None = None) -> Runnable[Any, Any]:
        """Put LangChain's own wrapper around what answers in a form."""
        assert window is None, "LangChain's wrapper has none"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated, and the floor nonetheless
            return RunnableWithMessageHistory(answering(form, reply), self.history, **keys(form))

    def config(self, session: str) -> RunnableConfig:
        """Name a session to the wrapper."""
        return {"configurable": {"session_id": session}}


def keys(form: str) -> dict[str, Any]:
    """Give the wrapper's options for a form."""
    return {} if form == MESSAGES else _KEYS


def answering(form: str, reply: str) -> Runnable[Any, Any]:
    """Make what is wrapped: it answers at once, whatever the history."""
    if form == PROMPT:
        prompt = ChatPromptTemplate(
            [("system", "You help politely."), ("placeholder", "{history}"), ("human", "{input}")]
        )
        return prompt | FakeListChatModel(responses=[reply])

    def answer(_given: Any) -> AIMessage:
        return AIMessage(reply)

    async def aanswer(_given: Any) -> AIMessage:
        return AIMessage(reply)

    return RunnableLambda(answer, aanswer)
