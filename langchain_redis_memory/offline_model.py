"""A chat model without network and key, for demonstrations, notebooks and tests.

It is no language model. It understands a few plain sentences, so that what it answers shows one
thing only: which messages it was given.
"""

from __future__ import annotations

import asyncio
import re
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.messages import BaseMessage

UNKNOWN = (
    "This conversation does not say. I am an offline model: I know only what you have told me here."
)
HELP = (
    "I am an offline model: I know only what you have told me in this conversation. "
    'Tell me something, such as "My name is Alice.", and ask me for it later: "What is my name?"'
)

_VERBS = "live|work|come|like|love|prefer|speak|need|have"
_SENTENCE_END = re.compile(
    r"(?<=[.!?。！？]) |,? and (?=i\b|my [\w' -]{1,60}? (?:is|are) )",  # noqa: RUF001 - the marks of Chinese and Japanese
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"(?:what|who|where|which|when|how|why|do you|can you|could you|tell me)\b|.*[?？]$",  # noqa: RUF001 - as above
    re.IGNORECASE,
)
_SAYS_NAME = re.compile(
    r"(?:my name is|i am called|i'm called|(?:you can |please )?call me) (?P<value>[^.!\s].*)",
    re.IGNORECASE,
)
_SAYS_MINE = re.compile(
    r"my (?P<topic>[\w' -]{1,60}?) (?P<is>is|are) (?P<value>[^.!\s].*)",
    re.IGNORECASE,
)
_SAYS_VERB = re.compile(
    rf"i (?:now |also |really )?(?P<fact>(?:do not |don't )?(?P<verb>{_VERBS}) [^.!\s].*)",
    re.IGNORECASE,
)
_ASKS_NAME = re.compile(r"who am i\b|what am i called\b", re.IGNORECASE)
_ASKS_MINE = re.compile(
    r"\bmy (?P<topic>[\w' -]{1,60}?)(?: is| are)?(?: again| now| please)?$", re.IGNORECASE
)
_ASKS_VERB = re.compile(rf"\bdo i (?:now |also |really )?(?P<verb>{_VERBS})\b", re.IGNORECASE)


class OfflineChatModel(BaseChatModel):
    """A chat model that answers only from the user's messages it is given.

    It reads facts such as "My name is Alice.", "My favourite colour is green." or "I live in
    Lisbon." and answers questions about them; the newest statement counts. Messages of other
    authors are no source, so that a reply which was stored can put nothing in the user's mouth.
    The same messages always give the same reply. Its usage counts words.

    Attributes:
        delay: Seconds to wait before each word of a streamed reply, so that a person sees it come.
    """

    delay: float = Field(default=0.0, ge=0)

    @property
    def _llm_type(self) -> str:
        return "offline"

    def bind_tools(self, tools: Any, **_options: Any) -> NoReturn:
        """Refuse tools: it calls none."""
        raise NotImplementedError(
            f"the offline model calls no tools, and was given {len(tools)}; use a language model"
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - the replies are too short to need one
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - nothing to report
        **_kwargs: Any,
    ) -> ChatResult:
        reply = _reply(messages)
        message = AIMessage(
            content=reply,
            usage_metadata=_usage(messages, reply),
            response_metadata={"model_name": "offline"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - as above
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages, stop, **kwargs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - as above
        run_manager: CallbackManagerForLLMRun | None = None,
        **_kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in _chunks(messages):
            time.sleep(self.delay)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - as above
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **_kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in _chunks(messages):
            await asyncio.sleep(self.delay)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


def _chunks(messages: Sequence[BaseMessage]) -> Iterator[ChatGenerationChunk]:
    reply = _reply(messages)
    *words, last = re.findall(r"\S+\s*", reply)
    for word in words:
        yield ChatGenerationChunk(message=AIMessageChunk(content=word))
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content=last,
            usage_metadata=_usage(messages, reply),
            response_metadata={"model_name": "offline"},
            chunk_position="last",
        )
    )


def _usage(messages: Sequence[BaseMessage], reply: str) -> UsageMetadata:
    given = sum(len(message.text.split()) for message in messages)
    made = len(reply.split())
    return UsageMetadata(input_tokens=given, output_tokens=made, total_tokens=given + made)


def _reply(messages: Sequence[BaseMessage]) -> str:
    """Answer the last of the user's messages from all of them."""
    said = [_sentences(message.text) for message in messages if isinstance(message, HumanMessage)]
    if not said:
        return HELP
    facts: dict[str, str] = {}
    for sentence in (sentence for sentences in said[:-1] for sentence in sentences):
        _learn(facts, sentence)
    replies = [reply for sentence in said[-1] if (reply := _respond(facts, sentence))]
    return " ".join(_without_repeats(replies)) or HELP


def _sentences(text: str) -> list[str]:
    plain = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    lines = (" ".join(line.split()) for line in plain.splitlines())
    return [part for line in lines for part in _SENTENCE_END.split(line) if part]


def _respond(facts: dict[str, str], sentence: str) -> str | None:
    """Answer a question, acknowledge a statement, pass over anything else."""
    if _QUESTION.match(sentence):
        fact = facts.get(_topic_asked(sentence) or "")
        return f"{fact[0].upper()}{fact[1:]}." if fact else UNKNOWN
    fact = _learn(facts, sentence)
    if fact is None:
        return None
    name = _SAYS_NAME.match(sentence)
    return f"Nice to meet you, {_value(name)}." if name else f"Noted: {fact}."


def _learn(facts: dict[str, str], sentence: str) -> str | None:
    """Add what a statement says to the facts, in the second person, and return it."""
    if _QUESTION.match(sentence):
        return None
    if found := _SAYS_NAME.match(sentence):
        topic, fact = "name", f"your name is {_value(found)}"
    elif found := _SAYS_MINE.match(sentence):
        topic = _topic(found["topic"])
        fact = f"your {found['topic'].lower()} {found['is'].lower()} {_value(found)}"
    elif found := _SAYS_VERB.match(sentence):
        topic, fact = _verb(found["verb"]), f"you {_value(found, 'fact')}"
    else:
        return None
    facts[topic] = fact
    return fact


def _topic_asked(question: str) -> str | None:
    question = question.rstrip("?？.! ")  # noqa: RUF001 - as above
    if _ASKS_NAME.search(question):
        return "name"
    if found := _ASKS_VERB.search(question):
        return _verb(found["verb"])
    found = _ASKS_MINE.search(question)
    return _topic(found["topic"]) if found else None


def _topic(words: str) -> str:
    return words.lower().replace("favorite", "favourite").replace("color", "colour")


def _verb(word: str) -> str:
    # "I" keeps what the user does apart from what the user has: "my work is hard", "I work at home"
    return f"I {word.lower()}"


def _value(found: re.Match[str], group: str = "value") -> str:
    return re.sub(r"\bmy\b", "your", found[group].rstrip(".!。！ "), flags=re.IGNORECASE)  # noqa: RUF001 - as above


def _without_repeats(replies: list[str]) -> list[str]:
    return replies[:1] + [new for old, new in pairwise(replies) if new != old]
