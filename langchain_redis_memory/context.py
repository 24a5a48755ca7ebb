"""Memory as text, for agents that take it in their instructions rather than as messages."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    message_chunk_to_message,
)

from langchain_redis_memory.conversation import Conversation, new_token
from langchain_redis_memory.errors import (
    ConfigurationError,
    RedisMemoryError,
    TurnNotSavedError,
    UnstorableError,
)
from langchain_redis_memory.profiles.profile import Profile
from langchain_redis_memory.recall import Recalled, recall
from langchain_redis_memory.rendering import TextLimit, render
from langchain_redis_memory.window import TokenCounter, opens_turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_redis_memory.history import RedisChatMessageHistory
    from langchain_redis_memory.storage.operation import Operation

Said = str | BaseMessage


@runtime_checkable
class ContextProvider(Protocol):
    """Adds to an agent's instructions before it runs, and is told afterwards what was said."""

    def invoking(self) -> str:
        """Give what to add to the instructions; an empty text for nothing."""
        ...

    async def ainvoking(self) -> str:
        """See `invoking`."""
        ...

    def invoked(self, user_message: Said, assistant_message: Said) -> None:
        """Take note of a turn: what the user said, and what the agent answered."""
        ...

    async def ainvoked(self, user_message: Said, assistant_message: Said) -> None:
        """See `invoked`."""
        ...


class MemoryContext:
    """A conversation and what is known of its user, as text; made by `RedisMemory.context`.

    Both are read in one round trip.

    Args:
        conversation: See `ThreadContext`.
        profiles: See `ProfileContext`.
        max_characters: How long the whole text may be; the oldest messages and the last entries
            of the profile are left out, whole ones. The profile has half of the room if it needs
            it, and what the conversation leaves.
        max_tokens: The same in tokens, as `counter` counts them.
        counter: Counts the tokens of messages; see `Window`. It is given the text as one message.

    Raises:
        ConfigurationError: An argument cannot be used.
    """

    def __init__(
        self,
        conversation: Conversation | RedisChatMessageHistory | None = None,
        *profiles: Profile[Any] | None,
        max_characters: int | None = None,
        max_tokens: int | None = None,
        counter: TokenCounter | None = None,
    ) -> None:
        self._limit = TextLimit(max_characters, max_tokens, counter)
        self._conversation = _conversation(conversation)
        known = _profiles(profiles)
        self._profiles = tuple(profile.key for profile in known)
        homes = {profile.connection for profile in known}
        if self._conversation is not None:
            homes.add(self._conversation.connection)
        if len(homes) > 1:
            raise ConfigurationError(
                "the conversation and the profiles must be of one RedisMemory, "
                f"not of {len(homes)}: they are read in one round trip"
            )
        self._connection = next(iter(homes), None)

    def __repr__(self) -> str:
        keys = [self._conversation.key] if self._conversation else []
        return f"{type(self).__name__}({', '.join(map(repr, (*keys, *self._profiles)))})"

    def invoking(self) -> str:
        """Give what is remembered, as text; empty if there is nothing. One round trip.

        Raises:
            CorruptedDataError: What is stored cannot be read.
        """
        if self._connection is None:
            return ""
        return self._text(self._connection.run(self._reading()))

    async def ainvoking(self) -> str:
        """See `invoking`."""
        if self._connection is None:
            return ""
        return self._text(await self._connection.arun(self._reading()))

    def instructions(self, base: str = "") -> str:
        """Give the instructions for the next run: the agent's own, and what is remembered.

        Args:
            base: The agent's own, which stand first, as they are.

        Raises:
            ConfigurationError: They are no text.
        """
        return _joined(base, self.invoking())

    async def ainstructions(self, base: str = "") -> str:
        """See `instructions`."""
        return _joined(base, await self.ainvoking())

    def invoked(
        self, user_message: Said, assistant_message: Said, *, token: str | None = None
    ) -> None:
        """Store a turn, exactly once, if there is a conversation to store it in; one round trip.

        Args:
            user_message: What the user said: a text, or a message of the user.
            assistant_message: What the agent answered: a text, or a message.
            token: That of a `TurnNotSavedError`, to store its turn once more: what is there
                already is not stored again.

        Raises:
            ConfigurationError: One of them is neither.
            UnstorableError: JSON cannot hold one of them; nothing is stored.
            TurnNotSavedError: The turn could not be stored, or nobody knows.
        """
        turn = _turn(user_message, assistant_message)
        if self._conversation is None:
            return
        known = token or new_token()
        with _handed_back(turn, assistant_message, known):
            self._conversation.append(turn, known, repeat=token is not None)

    async def ainvoked(
        self, user_message: Said, assistant_message: Said, *, token: str | None = None
    ) -> None:
        """See `invoked`."""
        turn = _turn(user_message, assistant_message)
        if self._conversation is None:
            return
        known = token or new_token()
        with _handed_back(turn, assistant_message, known):
            await self._conversation.aappend(turn, known, repeat=token is not None)

    def _reading(self) -> Operation[Recalled]:
        return recall(self._conversation, self._profiles)

    def _text(self, found: Recalled) -> str:
        return render(found.reading.messages, found.profile, self._limit)


class ThreadContext(MemoryContext):
    """A conversation as text: "Previous conversation:", and a line for each message.

    Args:
        conversation: Which: `RedisMemory.conversation` or `RedisMemory.history` gives it. With
            None nothing is given and nothing stored.
        max_characters: How long the text may be; the oldest messages are left out, whole ones.
        max_tokens: See `MemoryContext`.
        counter: See `MemoryContext`.

    Raises:
        ConfigurationError: An argument cannot be used.
    """

    def __init__(
        self,
        conversation: Conversation | RedisChatMessageHistory | None,
        *,
        max_characters: int | None = None,
        max_tokens: int | None = None,
        counter: TokenCounter | None = None,
    ) -> None:
        super().__init__(
            conversation, max_characters=max_characters, max_tokens=max_tokens, counter=counter
        )


class ProfileContext(MemoryContext):
    """What is known of a user as text: "User preferences:", and a line for each entry.

    It stores no turns.

    Args:
        profiles: Which: `RedisMemory.profile` gives one. Of several, what a later one holds under
            a name stands in place of what an earlier one does. With none nothing is given.
        max_characters: How long the text may be; the last entries are left out, whole ones.
        max_tokens: See `MemoryContext`.
        counter: See `MemoryContext`.

    Raises:
        ConfigurationError: An argument cannot be used.
    """

    def __init__(
        self,
        *profiles: Profile[Any] | None,
        max_characters: int | None = None,
        max_tokens: int | None = None,
        counter: TokenCounter | None = None,
    ) -> None:
        super().__init__(
            None, *profiles, max_characters=max_characters, max_tokens=max_tokens, counter=counter
        )


def _conversation(given: object) -> Conversation | None:
    found = getattr(given, "conversation", given)
    if found is None or isinstance(found, Conversation):
        return found
    raise ConfigurationError(
        "conversation must be what memory.conversation(...) or memory.history(...) gives, "
        f"not a {type(given).__name__}"
    )


def _profiles(given: Sequence[object]) -> list[Profile[Any]]:
    found = [profile for profile in given if isinstance(profile, Profile)]
    for profile in given:
        if profile is not None and not isinstance(profile, Profile):
            raise ConfigurationError(
                f"profiles must be what memory.profile(...) gives, not a {type(profile).__name__}"
            )
    return found


def _joined(base: object, remembered: str) -> str:
    if not isinstance(base, str):
        raise ConfigurationError(f"base must be a string, not {type(base).__name__}")
    return "\n\n".join(filter(None, (base, remembered)))


def _turn(user_message: object, assistant_message: object) -> list[BaseMessage]:
    asked, answer = (
        kind(said) if isinstance(said, str) else said
        for kind, said in ((HumanMessage, user_message), (AIMessage, assistant_message))
    )
    if not isinstance(asked, BaseMessage) or not opens_turn(asked):
        raise ConfigurationError(
            f"user_message must be a string or a message of the user, not a {type(asked).__name__}"
        )
    if not isinstance(answer, BaseMessage) or opens_turn(answer):
        raise ConfigurationError(
            "assistant_message must be a string or a message of the agent, "
            f"not a {type(answer).__name__}"
        )
    return [message_chunk_to_message(asked), message_chunk_to_message(answer)]


@contextmanager
def _handed_back(turn: list[BaseMessage], reply: Said, token: str) -> Iterator[None]:
    """Hand a turn back that was refused or lost by Redis, with what makes a repeat safe."""
    try:
        yield
    except (ConfigurationError, UnstorableError):
        raise  # a repeat would not help
    except RedisMemoryError as error:
        raise TurnNotSavedError(str(error), reply, turn, token) from error
