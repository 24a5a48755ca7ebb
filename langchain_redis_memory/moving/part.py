"""What of `RedisMemory` takes conversations and profiles from place to place."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Unpack

from langchain_redis_memory.part import MemoryPart

if TYPE_CHECKING:
    from typing import IO

    from langchain_redis_memory.moving.adoption import How, Source
    from langchain_redis_memory.moving.new_file import NewFile
    from langchain_redis_memory.moving.restoring import OnConflict, Progress, Transfer
    from langchain_redis_memory.storage.steps import Steps


class Archive(MemoryPart):
    """What of a memory writes it to a file and reads it from one."""

    def export(
        self,
        path: str | os.PathLike[str],
        agent: str | None = None,
        user: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> Transfer:
        """Write conversations, their summaries and profiles to a file, for `import_` to restore.

        The file is JSON Lines, a conversation or a profile a line. It appears when it is complete,
        readable by its owner alone; until then an earlier one stays. Nothing in Redis changes: no
        expiry is put off. What is written to meanwhile is in it as it was when its turn came.

        Args:
            path: The file; one that ends in ``.gz`` is compressed.
            agent: Whose conversations, and profiles for it; None for those of all agents, and
                profiles for all agents too.
            user: Whose conversations and profiles; None for those of all users.
            progress: Called with what was written so far, after each line.

        Returns:
            What was written.

        Raises:
            ConfigurationError: An argument cannot be used.
            CorruptedDataError: What is stored cannot be read; the error names the place.
            OSError: The file cannot be written.
        """
        from langchain_redis_memory.moving.new_file import NewFile  # noqa: PLC0415 - see `MemoryPart`

        with NewFile(path) as file:
            written = self._follow(self._exporting(file, agent, user, progress))
            file.finish()
        return written

    async def aexport(
        self,
        path: str | os.PathLike[str],
        agent: str | None = None,
        user: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> Transfer:
        """See `export`."""
        from langchain_redis_memory.moving.new_file import NewFile  # noqa: PLC0415 - see `MemoryPart`

        with NewFile(path) as file:
            written = await self._afollow(self._exporting(file, agent, user, progress))
            await asyncio.to_thread(file.finish)  # the disk may take seconds for a large one
        return written

    def import_(
        self,
        path: str | os.PathLike[str],
        *,
        on_conflict: OnConflict = "error",
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Transfer:
        """Restore what `export` has written; repeating it adds nothing.

        The whole file is read and checked before anything is stored. What is there already, as it
        is in the file or with more messages after these, stays as it is. A conversation expires
        when it would have been left to at the export, counted from now; ``max_messages`` is not
        applied.

        Args:
            path: The file.
            on_conflict: What to do with a conversation or a profile that differs from what is
                there: "error" raises before anything of it is written, "skip" leaves what is
                there, "replace" removes that.
            dry_run: Store nothing, and tell what would be stored; the file is checked as ever.
            progress: Called with what was done so far, after each line: first as all are checked,
                with nothing done, then as each is stored.

        Returns:
            What was stored, what was there already, and what was left out.

        Raises:
            ConfigurationError: The file is damaged, not whole or no export, and nothing was
                stored; the error names the line.
            ImportConflictError: Something else is there. What stands before it in the file is
                restored.
            OSError: The file cannot be read.
        """
        from langchain_redis_memory.moving.archive_file import opened  # noqa: PLC0415 - see `MemoryPart`
        from langchain_redis_memory.moving.restoring import check_on_conflict  # noqa: PLC0415 - the same

        check_on_conflict(on_conflict)
        with opened(path) as file:
            steps = self._importing(file, os.fspath(path), on_conflict, progress, dry_run=dry_run)
            return self._follow(steps)

    async def aimport_(
        self,
        path: str | os.PathLike[str],
        *,
        on_conflict: OnConflict = "error",
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Transfer:
        """See `import_`."""
        from langchain_redis_memory.moving.archive_file import opened  # noqa: PLC0415 - see `MemoryPart`
        from langchain_redis_memory.moving.restoring import check_on_conflict  # noqa: PLC0415 - the same

        check_on_conflict(on_conflict)
        with opened(path) as file:
            steps = self._importing(file, os.fspath(path), on_conflict, progress, dry_run=dry_run)
            return await self._afollow(steps)

    def _exporting(
        self, file: NewFile, agent: str | None, user: str | None, progress: Progress | None
    ) -> Steps[Transfer]:
        from langchain_redis_memory.moving.archive import export  # noqa: PLC0415 - see `MemoryPart`

        return export(self._keys, file, agent, user, progress)

    def _importing(
        self,
        file: IO[bytes],
        name: str,
        on_conflict: OnConflict,
        progress: Progress | None,
        *,
        dry_run: bool = False,
    ) -> Steps[Transfer]:
        from langchain_redis_memory.moving.archive import import_  # noqa: PLC0415 - see `MemoryPart`

        return import_(self._keys, file, name, on_conflict, progress, dry_run=dry_run)


class Adoption(MemoryPart):
    """What of a memory takes over conversations from elsewhere."""

    def adopt(self, source: Source, *, agent: str, **how: Unpack[How]) -> Transfer:
        """Store conversations that were kept elsewhere; repeating it adds nothing twice.

        What cannot be taken over exactly is refused before anything of its conversation is
        stored. What is there already stays, and new messages at the end are added to it. They
        expire by the memory's ``ttl``; ``max_messages`` is not applied.

        Args:
            source: "langchain-community" for what its `RedisChatMessageHistory` stored on this
                server, "llama-index" for its `RedisChatStore`, or one conversation as a list of
                messages in OpenAI's format or LangChain's.
            agent: Whose conversations they become.
            how: ``session`` and ``user`` for a list; ``prefix``, ``ids`` and ``remove`` for the
                others; ``on_conflict``, ``dry_run`` and ``progress`` for all. See `How`.

        Returns:
            What was stored, what was there already, and what was left out.

        Raises:
            ConfigurationError: An argument cannot be used.
            UnstorableError: A message cannot be taken over; the error names key and position.
            ImportConflictError: Other messages are there.
        """
        return self._follow(self._adopting(source, agent, **how))

    async def aadopt(self, source: Source, *, agent: str, **how: Unpack[How]) -> Transfer:
        """See `adopt`."""
        return await self._afollow(self._adopting(source, agent, **how))

    def _adopting(self, source: Source, agent: str, **how: Unpack[How]) -> Steps[Transfer]:
        from langchain_redis_memory.moving.adoption import adopt  # noqa: PLC0415 - see `MemoryPart`

        return adopt(self._keys, self._limits.ttl_ms, source, agent, **how)
