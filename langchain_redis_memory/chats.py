"""What of `RedisMemory` gives conversations: alone, as a history, around a runnable, as text."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from langchain_redis_memory.companions import SessionEntry
from langchain_redis_memory.conversation import Conversation
from langchain_redis_memory.limits import in_milliseconds
from langchain_redis_memory.part import DEFAULT_USER, MemoryPart
from langchain_redis_memory.storage.keys import encode_id, may_be_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langchain_core.runnables import Runnable
    from langchain_core.runnables.utils import ConfigurableFieldSpec

    from langchain_redis_memory.context import MemoryContext
    from langchain_redis_memory.history import RedisChatMessageHistory
    from langchain_redis_memory.limits import Limits
    from langchain_redis_memory.recall import KnownProfile
    from langchain_redis_memory.runnable import RunnableWithRedisHistory
    from langchain_redis_memory.summaries.policy import SummaryPolicy
    from langchain_redis_memory.window import TokenCounter


class Chats(MemoryPart):
    """The conversations of a memory."""

    def history(
        self, agent: str, user: str, session: str, **limits: Any
    ) -> RedisChatMessageHistory:
        """Give the messages of a session, as LangChain's chat message history.

        Args:
            agent: Which agent; any non-empty string, as for the ids that follow.
            user: Whose conversation it is.
            session: Which of the user's conversations.
            limits: ``ttl``, ``window`` and ``max_messages``, where they differ from the memory's.

        Raises:
            ConfigurationError: An id or a limit cannot be used.
        """
        from langchain_redis_memory.history import RedisChatMessageHistory  # noqa: PLC0415 - loads langchain-community

        return RedisChatMessageHistory.of(
            self.conversation(agent, user, session, **limits), session
        )

    def conversation(self, agent: str, user: str, session: str, **limits: Any) -> Conversation:
        """Give the messages of a session, without LangChain's deprecated classes; see `history`."""
        return self._conversation(agent, user, session, self._limits.changed(limits))

    def _conversation(self, agent: str, user: str, session: str, limits: Limits) -> Conversation:
        key = self._keys.session(agent, user, session)
        return Conversation(self._connection, key, limits, SessionEntry.of(key))

    def history_factory(self, agent: str, **limits: Any) -> Callable[..., RedisChatMessageHistory]:
        """Give the ``get_session_history`` of an agent.

        For LangChain's own `RunnableWithMessageHistory`, with `history_config` as its
        ``history_factory_config``.

        Args:
            agent: Which agent.
            limits: See `history`.

        Raises:
            ConfigurationError: The agent or a limit cannot be used.
        """
        # Loads langchain-community here, and not within the first turn.
        from langchain_redis_memory.history import RedisChatMessageHistory  # noqa: PLC0415

        encode_id(agent, "agent")
        changed = self._limits.changed(limits)

        def make(session: str, user: str) -> Conversation:
            return self._conversation(agent, user, session, changed)

        kept = lru_cache(maxsize=256)(make)  # a session has one turn after the other

        def get_session_history(
            session_id: str, user_id: str = DEFAULT_USER
        ) -> RedisChatMessageHistory:
            find = kept if may_be_kept(session_id) and may_be_kept(user_id) else make
            return RedisChatMessageHistory.of(find(session_id, user_id), session_id)

        return get_session_history

    @property
    def history_config(self) -> list[ConfigurableFieldSpec]:
        """The ids that a config names: ``session_id``, and ``user_id`` with its default."""
        from langchain_redis_memory.runnable import history_config  # noqa: PLC0415 - loads langchain_core.runnables

        return history_config()

    def with_history(
        self,
        runnable: Runnable[Any, Any] | Callable[..., Any],
        *,
        agent: str,
        input_messages_key: str | None = None,
        output_messages_key: str | None = None,
        history_messages_key: str | None = None,
        on_save_error: Literal["raise", "log"] = "raise",
        on_interrupted: Literal["keep", "discard"] = "keep",
        keep_failed_input: bool = False,
        profile_key: str | None = None,
        auto_save: bool = True,
        summary: SummaryPolicy | None = None,
        **limits: Any,
    ) -> RunnableWithRedisHistory:
        """Wrap a runnable so that it remembers each session.

        The wrapped runnable is called with
        ``config={"configurable": {"session_id": ..., "user_id": ...}}``; the user is "default"
        if none is named. A turn is one read and one write.

        Args:
            runnable: What answers: it takes messages, or a dict, and gives a message, messages, a
                string, or a dict with one of these.
            agent: Which agent the sessions belong to.
            input_messages_key: Where the new messages stand in a dict input.
            output_messages_key: Where the reply stands in a dict output.
            history_messages_key: Where the runnable takes the earlier messages, apart from the
                new ones.
            on_save_error: Whether a turn that could not be stored raises `TurnNotSavedError` or
                is logged.
            on_interrupted: Whether a stream that its reader abandons leaves the user's message
                and the part of the reply that was sent, or nothing.
            keep_failed_input: Whether the user's message is stored when the runnable fails.
            profile_key: Where the runnable takes what is known of the user, as `ProfileContext`
                writes it: the profile that all agents share, with this agent's own on top. An
                empty text when nothing is known.
            auto_save: Whether turns are stored. Without, the history is read, and storing is left
                to the caller.
            summary: Folds older turns into a summary that is given ahead of the newest messages.
            limits: See `history`.

        Raises:
            ConfigurationError: The agent or an option cannot be used.
        """
        from langchain_redis_memory.runnable import RunnableWithRedisHistory  # noqa: PLC0415 - loads langchain_core.runnables
        from langchain_redis_memory.turn import Policy  # noqa: PLC0415 - the same

        if summary is not None:
            from langchain_redis_memory.summaries.policy import check_policy  # noqa: PLC0415 - see `MemoryPart`

            check_policy(summary, self._limits.changed(limits))

        def profiles(configurable: Mapping[str, Any]) -> Sequence[KnownProfile]:
            user = configurable.get("user_id", DEFAULT_USER)
            return self._known_profiles(user, agent)

        return RunnableWithRedisHistory(
            runnable,
            self.history_factory(agent, **limits),
            input_messages_key=input_messages_key,
            output_messages_key=output_messages_key,
            history_messages_key=history_messages_key,
            policy=Policy(on_save_error, on_interrupted, keep_failed_input, auto_save, summary),
            profile_key=profile_key,
            profiles=profiles if profile_key is not None else None,
        )

    def context(
        self,
        agent: str,
        *,
        user: str | None = None,
        session: str | None = None,
        max_characters: int | None = None,
        max_tokens: int | None = None,
        counter: TokenCounter | None = None,
        **limits: Any,
    ) -> MemoryContext:
        """Give a conversation and what is known of its user as text, for an agent's instructions.

        Args:
            agent: Which agent.
            user: Whose conversation and profile; None gives nothing, and stores nothing.
            session: Which of the user's conversations; with None there is the profile alone.
            max_characters: How long the text may be; see `MemoryContext`.
            max_tokens: The same in tokens.
            counter: Counts the tokens of messages; see `Window`.
            limits: See `history`.

        Raises:
            ConfigurationError: An argument cannot be used.
        """
        from langchain_redis_memory.context import MemoryContext  # noqa: PLC0415 - see `MemoryPart`
        from langchain_redis_memory.profiles.forms import DictForm  # noqa: PLC0415 - the same
        from langchain_redis_memory.profiles.profile import Profile  # noqa: PLC0415 - the same

        # All are looked at, also those that nothing comes of.
        conversation = self.conversation(
            agent,
            DEFAULT_USER if user is None else user,
            "none" if session is None else session,
            **limits,
        )
        known = () if user is None else self._known_profiles(user, agent)
        return MemoryContext(
            None if user is None or session is None else conversation,
            *(
                Profile(self._connection, DictForm(key), self._profile_ttl, read_refreshes=True)
                for key, _ in known
            ),
            max_characters=max_characters,
            max_tokens=max_tokens,
            counter=counter,
        )

    def _known_profiles(self, user: str, agent: str) -> tuple[KnownProfile, KnownProfile]:
        """Name the profile that all agents share and the agent's own, which goes on top."""
        from langchain_redis_memory.recall import KnownProfile  # noqa: PLC0415 - see `MemoryPart`

        ttl = 0 if self._profile_ttl is None else in_milliseconds(self._profile_ttl)
        keys = self._keys.profile(user), self._keys.profile(user, agent)
        return KnownProfile(keys[0], ttl), KnownProfile(keys[1], ttl)
