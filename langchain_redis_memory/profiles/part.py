"""What of `RedisMemory` gives profiles."""

from __future__ import annotations

from types import EllipsisType
from typing import TYPE_CHECKING, Any, overload

from langchain_redis_memory.part import MemoryPart

if TYPE_CHECKING:
    from langchain_redis_memory.profiles.forms import M
    from langchain_redis_memory.profiles.profile import Profile


class Profiles(MemoryPart):
    """The profiles of a memory."""

    @overload
    def profile(
        self,
        user: str,
        *,
        agent: str | None = None,
        ttl: float | EllipsisType | None = ...,
        model: None = None,
    ) -> Profile[dict[str, Any]]: ...

    @overload
    def profile(
        self,
        user: str,
        *,
        agent: str | None = None,
        ttl: float | EllipsisType | None = ...,
        model: type[M],
    ) -> Profile[M]: ...

    def profile(
        self,
        user: str,
        *,
        agent: str | None = None,
        ttl: float | EllipsisType | None = ...,
        model: type[Any] | None = None,
    ) -> Profile[Any]:
        """Give the profile of a user.

        Args:
            user: Whose; any non-empty string, as for the agent.
            agent: Which agent's own; None for the one that all agents share.
            ttl: Seconds until it expires after it was last written; None for never. Unless given,
                it expires by the memory's ``profile_ttl``, which reads put off too.
            model: A pydantic model, which is then given and taken in place of a dict.

        Raises:
            ConfigurationError: An argument cannot be used.
        """
        from langchain_redis_memory.profiles.forms import DictForm, ModelForm  # noqa: PLC0415 - see `MemoryPart`
        from langchain_redis_memory.profiles.profile import Profile  # noqa: PLC0415 - the same

        key = self._keys.profile(user, agent)
        form = DictForm(key) if model is None else ModelForm(key, model)
        if isinstance(ttl, EllipsisType):
            return Profile(self._connection, form, self._profile_ttl, read_refreshes=True)
        return Profile(self._connection, form, ttl)
