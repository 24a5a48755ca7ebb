"""What an agent is to know as a turn begins: the window and the profile, read in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_redis_memory.profiles import versioned
from langchain_redis_memory.profiles.forms import DictForm
from langchain_redis_memory.reading import Reading, read
from langchain_redis_memory.storage.operation import combined

if TYPE_CHECKING:
    from langchain_redis_memory.conversation import Conversation
    from langchain_redis_memory.profiles.profile import Profile
    from langchain_redis_memory.storage.operation import Operation
    from langchain_redis_memory.storage.steps import Steps
    from langchain_redis_memory.summaries.policy import SummaryPolicy


class KnownProfile(NamedTuple):
    """A profile that is read as a turn begins."""

    key: str
    ttl_ms: int = 0
    """How long it lives from then on; 0 leaves it."""


ProfilesOf = Callable[[Mapping[str, Any]], Sequence[KnownProfile]]
"""Gives the profiles that belong to a run, from the ids in its config."""


class Recalled(NamedTuple):
    """What was read."""

    reading: Reading
    """The conversation; empty unless asked for."""
    profile: dict[str, Any]
    """What is known of the user; empty unless asked for."""


def known(profile: Profile[Any]) -> KnownProfile:
    """Name a profile that is to be read."""
    return KnownProfile(profile.key, profile.read_ttl_ms)


def recalling(
    conversation: Conversation | None,
    profiles: Sequence[KnownProfile] = (),
    *,
    ids: Sequence[str] = (),
    summaries: SummaryPolicy | None = None,
) -> Steps[Recalled]:
    """Read a conversation, with its summary if it has one, profiles, or all.

    One round trip, and a second one if it turns out that more messages are needed: for a window in
    tokens, or when the summary covers less than a policy lets it.

    Args:
        conversation: Whose window is read, and whose expiry is put off.
        profiles: Those that are given as one. What a later one holds under a name stands in place
            of what an earlier one does.
        ids: See `Conversation.read`.
        summaries: How the conversation is summarised; None if it is not.
    """
    if conversation is None:
        no_window: Recalled = yield _with_profiles(None, profiles)
        return no_window
    window = _window(conversation, ids, summaries)
    found: Recalled
    if profiles:
        found = yield _with_profiles(window, profiles)
    else:  # most turns: nothing is to be put together
        found = Recalled((yield window), {})
    if found.reading.is_cut:
        again = _window(conversation, ids, summaries, again=True)
        found = found._replace(reading=(yield again))
    return found


def _window(
    conversation: Conversation,
    ids: Sequence[str],
    summaries: SummaryPolicy | None,
    *,
    again: bool = False,
) -> Operation[Reading]:
    if summaries is None:
        key, limits, entry = conversation.key, conversation.limits, conversation.entry
        return read(key, limits, entry, ids=ids, bounded=not again)
    from langchain_redis_memory.summaries.reading import read as summarised  # noqa: PLC0415 - only who summarises loads it

    return summarised(conversation, None if again else summaries.after, ids=ids, again=again)


def _with_profiles(
    window: Operation[Reading] | None, profiles: Sequence[KnownProfile]
) -> Operation[Recalled]:
    asked = [_profile(*profile) for profile in profiles]
    if window is None:
        return combined(lambda *found: Recalled(Reading([]), _merged(found)), *asked)
    return combined(lambda reading, *found: Recalled(reading, _merged(found)), window, *asked)


def _profile(key: str, ttl_ms: int) -> Operation[dict[str, Any]]:
    return versioned.read(key, ttl_ms, DictForm(key).read, dict)


def _merged(profiles: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for profile in profiles for name, value in profile.items()}
