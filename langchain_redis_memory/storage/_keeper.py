"""The process that starts the embedded server of a directory, and stops it when nobody is left.

`EmbeddedServer` runs this file as ``python -I -S _keeper.py BINARY [LINK]`` in the directory; a
process of its own, so that every process that uses the server may be killed at any time. It
imports the standard library only, and also holds what both sides have in common.

Who is alive is told by ``flock`` alone, which the kernel undoes whatever way a process ends:

- ``users.lock`` is held shared by each process that uses the server. Whoever gets it exclusively
  knows that nobody is left.
- ``keeper.lock`` is held by the keeper. Its pid stands in it, for people only.
- ``server.lock`` is held by the server itself, which inherits the open file: as long as anything
  of an old server lives, no second one can be started on its files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time

USERS_LOCK = "users.lock"
KEEPER_LOCK = "keeper.lock"
SERVER_LOCK = "server.lock"
SOCKET = "server.sock"
LOG = "server.log"

_POLL_SECONDS = 0.02
_ASK_SECONDS = 1.0
_STOP_SECONDS = 60.0
_LOG_BYTES = 1024 * 1024
_LOG_LINES = 8
_OPTIONS = (
    *("--port", "0", "--unixsocket", SOCKET, "--unixsocketperm", "700"),
    *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
    *("--dir", ".", "--logfile", "", "--daemonize", "no"),
)


def open_lock(path: str | os.PathLike[str]) -> int:
    """Open a lock file, made if it is missing, and return its descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def try_lock(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    """Take a lock if that is possible at once, and tell whether it was."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(path: str | os.PathLike[str]) -> bool:
    """Tell whether a process holds the lock exclusively."""
    descriptor = open_lock(path)
    try:
        if not try_lock(descriptor, fcntl.LOCK_SH):
            return True
        # Closing is not enough if another thread has just forked: the child has a copy.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return False
    finally:
        os.close(descriptor)


def ask(path: str, request: bytes) -> bytes:
    """Send one inline command to the server's socket and return the start of the reply."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ASK_SECONDS)
        connection.connect(path)
        connection.sendall(request)
        return connection.recv(64)


def answers(path: str) -> bool:
    """Tell whether a server that has loaded its data answers there.

    Raises:
        PermissionError: The socket belongs to another user.
    """
    try:
        reply = ask(path, b"PING\r\n")
    except PermissionError:
        raise
    except OSError:
        return False
    # Any other error, such as a full disk's, is for the client that meets it: the server is up.
    return reply[:1] in (b"+", b"-") and not reply.startswith(b"-LOADING")


def run(python: str, directory: str | os.PathLike[str], args: list[str], timeout: float) -> int:
    """Run `main` in a process of its own, in the directory, and return its exit status.

    Raises:
        subprocess.TimeoutExpired: After `timeout` seconds; a keeper that has begun goes on.
    """
    log = os.open(
        os.path.join(directory, LOG),  # noqa: PTH118 - no pathlib in the keeper, it starts faster
        os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW,
        0o600,
    )
    try:
        if os.fstat(log).st_size > _LOG_BYTES:
            os.ftruncate(log, 0)
        return subprocess.run(  # noqa: S603 - our own interpreter, file and binary
            [python, "-I", "-S", __file__, *args],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in this terminal is not meant for the server
            timeout=timeout,
            check=False,
        ).returncode
    finally:
        os.close(log)


def end_of_log(directory: str | os.PathLike[str]) -> str:
    """Return what the server said last; Valkey hides its users' data from its log."""
    try:
        with open(os.path.join(directory, LOG), errors="replace") as log:  # noqa: PTH118, PTH123 - as above
            return "".join(log.readlines()[-_LOG_LINES:]).rstrip()
    except OSError:
        return "(no log)"


def main(binary: str, link: str = "") -> int:
    """Start a keeper, and return as soon as it is known whether its server runs.

    The keeper is this process's child, and an orphan from then on: the process that wanted the
    server gets no child that it would have to reap.

    Args:
        binary: The server's executable.
        link: A symbolic link to the directory, to be removed when nobody is left.

    Returns:
        The exit status: 0 if a server runs or it is worth trying again, 1 if it cannot start.
    """
    ready, tell = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        os.close(ready)
        return keep(binary, link, tell)
    os.close(tell)
    if os.read(ready, 1):
        return 0
    _, status = os.waitpid(keeper, 0)
    return int(os.waitstatus_to_exitcode(status) > 0)


def keep(binary: str, link: str, tell: int) -> int:
    """Be the keeper, unless there is one: hold the server until nobody is left.

    Returns:
        0 when another keeper is there; otherwise the process ends together with the server.
    """
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a server that inherits a mask misses SIGTERM
    lock = open_lock(KEEPER_LOCK)
    if not try_lock(lock):
        return 0
    os.ftruncate(lock, 0)
    os.write(lock, b"%d\n" % os.getpid())
    users, server_lock = open_lock(USERS_LOCK), open_lock(SERVER_LOCK)
    # A held server.lock is a server whose keeper was killed: it is adopted.
    server = _start(binary, server_lock) if try_lock(server_lock) else None
    end = threading.Thread(target=_end_with, args=(server, server_lock), daemon=True)
    end.start()
    while not answers(SOCKET):
        time.sleep(_POLL_SECONDS)
    with contextlib.suppress(BrokenPipeError):  # the one who waited was killed
        os.write(tell, b".")
    os.close(tell)
    fcntl.flock(users, fcntl.LOCK_EX)
    if link:
        with contextlib.suppress(OSError):
            os.unlink(link)  # noqa: PTH108 - as above
    _stop(server)
    end.join()
    return 0


def _start(binary: str, server_lock: int) -> subprocess.Popen[bytes]:
    # A socket named relative to the directory has no limit of length, and a server that stops
    # late cannot remove the socket of its successor in a new directory of the same name.
    return subprocess.Popen([binary, *_OPTIONS], pass_fds=(server_lock,))  # noqa: S603 - our binary


def _end_with(server: subprocess.Popen[bytes] | None, server_lock: int) -> None:
    """Wait for the end of the server, and end this process with it."""
    if server is None:
        fcntl.flock(server_lock, fcntl.LOCK_EX)
        os._exit(0)
    os._exit(int(server.wait() > 0))  # killed by a signal is no reason not to start again


def _stop(server: subprocess.Popen[bytes] | None) -> None:
    """Let the server stop by itself, and kill it if it does not."""
    if server is None:
        # By the socket, never by a pid: it could be another process's by now.
        with contextlib.suppress(OSError):
            ask(SOCKET, b"SHUTDOWN NOSAVE FORCE\r\n")
        return
    server.terminate()
    time.sleep(_STOP_SECONDS)
    server.kill()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
