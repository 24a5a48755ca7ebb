"""What an agent is to know as a turn begins: the window and the profile, read in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_redis_memory.conversation import Reading, read
from langchain_redis_memory.profiles import versioned
from langchain_redis_memory.profiles.forms import DictForm
from langchain_redis_memory.storage.operation import combined

if TYPE_CHECKING:
    from langchain_redis_memory.conversation import Conversation
    from langchain_redis_memory.storage.operation import Operation
    from langchain_redis_memory.storage.steps import Steps
    from langchain_redis_memory.summaries.policy import SummaryPolicy


ProfilesOf = Callable[[Mapping[str, Any]], Sequence[str]]
"""Gives the keys of the profiles that belong to a run, from the ids in its config."""


class Recalled(NamedTuple):
    """What was read."""

    reading: Reading
    """The conversation; empty unless asked for."""
    profile: dict[str, Any]
    """What is known of the user; empty unless asked for."""


def recalling(
    conversation: Conversation,
    profiles: Sequence[str] = (),
    *,
    with_ids: bool = False,
    summaries: SummaryPolicy | None = None,
) -> Steps[Recalled]:
    """Read a conversation, with its summary if it has one, and profiles.

    One round trip, and a second one if the summary covers less than a policy lets it, as when a
    conversation has none yet that should have.

    Args:
        conversation: See `recall`.
        profiles: See `recall`.
        with_ids: See `Conversation.read`.
        summaries: How the conversation is summarised; None if it is not.
    """
    found: Recalled
    if summaries is None:
        found = yield recall(conversation, profiles, with_ids=with_ids)
        return found
    from langchain_redis_memory.summaries.reading import read as summarised  # noqa: PLC0415 - only who summarises loads it

    window = summarised(conversation, summaries.after, with_ids=with_ids)
    found = yield _with_profiles(window, profiles)
    if found.reading.is_cut:
        again = yield summarised(conversation, None, with_ids=with_ids, again=True)
        return found._replace(reading=again)
    return found


def recall(
    conversation: Conversation | None, profiles: Sequence[str] = (), *, with_ids: bool = False
) -> Operation[Recalled]:
    """Read a conversation, profiles, or both.

    Args:
        conversation: Whose window is read, and whose expiry is put off.
        profiles: The keys of profiles that are given as one. What a later one holds under a name
            stands in place of what an earlier one does.
        with_ids: See `Conversation.read`.
    """
    if conversation is None:
        asked = map(_profile, profiles)
        return combined(lambda *found: Recalled(Reading([]), _merged(found)), *asked)
    window = read(conversation.key, conversation.limits, conversation.entry, with_ids=with_ids)
    return _with_profiles(window, profiles)


def _with_profiles(window: Operation[Reading], profiles: Sequence[str]) -> Operation[Recalled]:
    asked = map(_profile, profiles)
    return combined(lambda reading, *found: Recalled(reading, _merged(found)), window, *asked)


def _profile(key: str) -> Operation[dict[str, Any]]:
    return versioned.read(key, DictForm(key).read, dict)


def _merged(profiles: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for profile in profiles for name, value in profile.items()}
