"""What is tried again and for how long, without a server."""

from __future__ import annotations

import asyncio

import pytest
from redis import exceptions as redis_errors

from langchain_redis_memory import RetryPolicy, StorageRejected, StorageUnavailable
from langchain_redis_memory.storage import retry
from langchain_redis_memory.storage.failures import translate
from langchain_redis_memory.storage.operation import Operation

FAST = RetryPolicy(attempts=4, initial=0.001, maximum=0.002)


class Flaky:
    """Fails some times and then succeeds."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def awaited(self):
        return self()


def both(policy, flaky, flavour):
    if flavour == "sync":
        return retry.call(policy, flaky, "trying", "here")
    return asyncio.run(retry.acall(policy, flaky.awaited, "trying", "here"))


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_what_waiting_can_cure_is_tried_again(flavour):
    """Up to the number of attempts, the first included."""
    for failures in range(4):
        flaky = Flaky(*[StorageUnavailable(str(i)) for i in range(failures)])
        assert both(FAST, flaky, flavour) == "done"
        assert flaky.calls == failures + 1


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_the_last_error_is_the_one_that_is_raised(flavour):
    """When the attempts are used up."""
    flaky = Flaky(*[StorageUnavailable(str(i)) for i in range(9)])
    with pytest.raises(StorageUnavailable, match="3"):
        both(FAST, flaky, flavour)
    assert flaky.calls == 4


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_what_is_to_be_sent_again_is_sent_from_the_second_attempt_on(flavour):
    """The first attempt may have been applied, and only a repeat looks for that."""
    first, later = (Flaky(*[StorageUnavailable(str(i)) for i in range(2)]) for _ in range(2))
    if flavour == "sync":
        retry.call(FAST, first, "trying", "here", later)
    else:
        asyncio.run(retry.acall(FAST, first.awaited, "trying", "here", later.awaited))
    assert (first.calls, later.calls) == (1, 3)


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_what_waiting_cannot_cure_is_raised_at_once(flavour):
    """A refusal, or an error of another kind, also after an attempt that was worth repeating."""
    flaky = Flaky(StorageUnavailable("first"), StorageRejected("no"))
    with pytest.raises(StorageRejected):
        both(FAST, flaky, flavour)
    assert flaky.calls == 2


def test_no_attempt_begins_that_could_end_after_the_deadline():
    """An attempt may wait twice, a fifth of the deadline each time."""
    policy = RetryPolicy(attempts=100, deadline=10)
    assert policy.attempt_timeout == 2
    assert not policy.is_last(attempt=1, elapsed=5.0, pause=1.0)
    assert policy.is_last(attempt=1, elapsed=5.0, pause=1.1)
    assert policy.is_last(attempt=100, elapsed=0, pause=0)


AGAIN = [
    redis_errors.ConnectionError("Connection refused"),
    redis_errors.TimeoutError("Timeout reading from socket"),
    redis_errors.BusyLoadingError("Redis is loading the dataset in memory"),
    redis_errors.ReadOnlyError("You can't write against a read only replica."),
    redis_errors.MasterDownError("Link with MASTER is down"),
    redis_errors.ClusterDownError("The cluster is down"),
    redis_errors.TryAgainError("Multiple keys request during rehashing of slot"),
    redis_errors.ResponseError("READONLY You can't write against a read only replica. script: x"),
    redis_errors.ResponseError(
        "Error running script (call to f_1): @user_script:1: -LOADING Redis is loading"
    ),
    redis_errors.ConnectionError("No connection available."),
    ConnectionResetError("reset by peer"),
]
NEVER = [
    (redis_errors.AuthenticationError("invalid username-password pair"), "password"),
    (redis_errors.ResponseError("NOAUTH Authentication required."), "password"),
    (redis_errors.NoPermissionError("this user has no permissions to run 'x'"), "permission"),
    (
        redis_errors.ResponseError(
            "The user executing the script can't run this command or subcommand script: x"
        ),
        "permission",
    ),
    (redis_errors.OutOfMemoryError("command not allowed when used memory"), "maxmemory"),
    (redis_errors.ResponseError("WRONGTYPE Operation against a key"), "'the:key'.*UNLINK"),
    (
        redis_errors.ResponseError("Error running script: @user_script:1: WRONGTYPE Operation"),
        "'the:key'.*UNLINK",
    ),
    (redis_errors.ResponseError("MISCONF Redis is configured to save"), "persist"),
    (redis_errors.ResponseError("value is not an integer"), "not an integer"),
    (redis_errors.ConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] expired"), "certificate"),
]
OPERATION = Operation("saving a turn", (), lambda replies: replies, "the:key")


@pytest.mark.parametrize("error", AGAIN, ids=str)
def test_errors_that_pass_are_unavailability(error):
    """Each says where, and what the server said."""
    ours = translate(error, OPERATION, "host:1/0")
    assert isinstance(ours, StorageUnavailable)
    assert "host:1/0" in str(ours)
    assert str(error)[:10] in str(ours)


@pytest.mark.parametrize(("error", "advice"), NEVER, ids=str)
def test_errors_that_stay_are_rejections_with_advice(error, advice):
    """Each says what to do."""
    with pytest.raises(StorageRejected, match=advice):
        raise translate(error, OPERATION, "host:1/0")


def test_what_was_sent_is_not_quoted():
    """A server that does not know a command quotes its arguments, which hold people's words."""
    error = redis_errors.ResponseError(
        "unknown command 'EVALSHA', with args beginning with: 'abc' 'my secret'"
    )
    ours = translate(error, OPERATION, "host:1/0")
    assert "secret" not in f"{ours} {error} {error.args}"
    assert "EVALSHA" in str(ours)
