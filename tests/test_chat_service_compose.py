"""The chat service's container files: what can be seen of them without a container engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
import redis
import yaml
from chat_services import ROOT
from servers import free_port, wait_until

from examples.chat_service.memory import open_memory

EXAMPLE = ROOT / "examples" / "chat_service"
PASSWORD = "s3cret of $HOME and `date`"

pytestmark = pytest.mark.redis_server


@pytest.fixture(scope="module")
def compose():
    """What docker-compose.yml says, with ``$$`` for ``$`` as Compose reads it."""
    text = (EXAMPLE / "docker-compose.yml").read_text()
    return yaml.safe_load(text.replace("$$", "$"))


@pytest.fixture
def run_redis(compose, tmp_path):
    """Run Redis as the file says, but for the places of its files and its port."""
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    entrypoint = tmp_path / "docker-entrypoint.sh"
    entrypoint.write_text('#!/bin/sh\nexec "$@"\n')
    entrypoint.chmod(0o755)
    (tmp_path / "data").mkdir()
    port = free_port()

    def there(text):
        text = text.replace("/run/secrets/redis__password", str(secret))
        text = text.replace("--dir /data", f"--dir {tmp_path}/data --port {port}")
        return text.replace("redis-cli", f"redis-cli -p {port}")

    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    service = compose["services"]["redis"]
    command = [there(part) for part in service["command"]]
    check = there(service["healthcheck"]["test"][1])
    processes = []

    def start():
        assert shutil.which("redis-server"), "apt-get install redis-server"
        with (tmp_path / "log").open("a") as log:
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        wait_until(healthy, "the check of its health succeeds")
        return processes[-1], redis.Redis(port=port, password=PASSWORD)

    def healthy():
        done = subprocess.run(["sh", "-c", check], env=environment, check=False)
        return done.returncode == 0

    yield start, healthy
    for process in processes:
        process.kill()
        process.wait()


def test_redis_runs_as_the_file_says(run_redis):
    """With the password, the append-only file, and a limit at which it forgets nothing."""
    start, healthy = run_redis
    process, client = start()
    with client:
        found = client.config_get("append*", "maxmemory*")
        assert found["appendonly"] == "yes"
        assert found["appendfsync"] == "always"
        assert found["maxmemory-policy"] == "noeviction"
        assert found["maxmemory"] == str(256 * 1024 * 1024)
        port = client.get_connection_kwargs()["port"]
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        client.set("key", "value")
        process.kill()
        process.wait()
        assert not healthy()
        start()
        assert client.get("key") == b"value"


def test_the_password_stands_in_no_list_of_processes(run_redis):
    """Nor in the environment of the server."""
    process, client = run_redis[0]()
    client.close()
    listed = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(process.pid)], capture_output=True, check=True
    )
    assert b"redis-server" in listed.stdout
    assert PASSWORD.encode() not in listed.stdout
    assert "s3cret" not in (EXAMPLE / ".env.example").read_text()


def test_the_service_waits_for_redis_and_finds_it(compose):
    """By the name, port and secret that the file gives both."""
    services = compose["services"]
    assert set(services) == {"chat", "redis"}
    chat = services["chat"]
    assert chat["depends_on"]["redis"]["condition"] == "service_healthy"
    assert chat["environment"]["REDIS__HOST"] == "redis"
    assert all(service["secrets"] == ["redis__password"] for service in services.values())
    assert chat["environment"]["SECRETS_DIR"] == "/run/secrets"
    assert compose["secrets"] == {"redis__password": {"environment": "REDIS_PASSWORD"}}
    assert services["redis"]["volumes"] == ["redis-data:/data"]
    assert "redis-data" in compose["volumes"]
    assert all("healthcheck" in service for service in services.values())


async def test_the_service_reaches_redis_with_what_the_file_gives_it(
    compose, run_redis, tmp_path, monkeypatch
):
    """The variables and the secret, but for the names of the host and of the directory."""
    _, client = run_redis[0]()
    port = client.get_connection_kwargs()["port"]
    client.close()
    given = compose["services"]["chat"]["environment"]
    for name, value in given.items():
        monkeypatch.setenv(name, re.sub(r"^\$\{\w+:-\}$", "", value))
    monkeypatch.setenv("REDIS__HOST", "localhost")
    monkeypatch.setenv("REDIS__PORT", str(port))
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / next(iter(compose["secrets"]))).write_text(PASSWORD)
    monkeypatch.chdir(tmp_path)
    async with open_memory(secrets_dir=secrets, deadline=60) as memory:
        assert await memory.aping()


def test_what_the_image_is_made_of_is_there(compose):
    """Every file that is copied, and the module that is run."""
    build = compose["services"]["chat"]["build"]
    context = (EXAMPLE / build["context"]).resolve()
    assert context == ROOT
    lines = (context / build["dockerfile"]).read_text()
    copied = [
        name
        for line in re.findall(r"^COPY (.+)$", lines, re.MULTILINE)
        for name in line.split()[:-1]
    ]
    assert copied
    assert all((context / name).exists() for name in copied)
    ignored = (EXAMPLE / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} <= set(ignored)


def test_the_check_of_the_services_health_fails_where_nobody_answers(compose):
    """It is a command that the image's Python runs."""
    command = compose["services"]["chat"]["healthcheck"]["test"][2:]
    program = command[-1].replace("8000", str(free_port()))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"refused" in done.stderr
