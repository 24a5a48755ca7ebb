"""Which errors are tried again, how often and how long: the one owner of retries.

redis-py has retries of its own in several places, whose products multiply: the clients that we
build have them off. What can be cured by waiting reaches this module as `StorageUnavailable`
(see the table in `failures`), and nothing else is tried again. Operations may be repeated without
harm, so a write whose answer was lost is repeated too.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_redis_memory.errors import ConfigurationError, StorageUnavailable
from langchain_redis_memory.telemetry.events import retried

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import tenacity

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long an operation goes on trying while Redis is away.

    The pause before attempt n + 1 is ``initial * 2 ** (n - 1)`` seconds, at most ``maximum``, and
    up to ``initial`` more by chance, so that clients that failed together do not come back
    together.

    Args:
        attempts: How often an operation is tried at most, the first time included.
        initial: The first pause, in seconds.
        maximum: The longest pause, in seconds.
        deadline: Seconds for the whole operation: attempts, pauses and time-outs together.

    Raises:
        ConfigurationError: One of them is no positive number.
    """

    attempts: int = 12
    initial: float = 0.05
    maximum: float = 1.0
    deadline: float = 10.0

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ConfigurationError(
                    f"RetryPolicy({option.name}=...) must be a positive number, not {value!r:.80}"
                )

    @property
    def attempt_timeout(self) -> float:
        """Seconds that one wait may take: for a connection of the pool, to connect, or a reply.

        A server that hangs is met by one such wait, behind one for a connection at most.
        """
        return self.deadline / 5

    def is_last(self, *, attempt: int, elapsed: float, pause: float) -> bool:
        """Tell whether attempt number `attempt`, which failed, was the last one.

        Args:
            attempt: The number of attempts made.
            elapsed: Seconds since the operation began.
            pause: Seconds until the next attempt would begin.
        """
        # An attempt that cannot end before the deadline is not begun.
        latest = self.deadline - 2 * self.attempt_timeout
        return attempt >= self.attempts or elapsed + pause > latest


def checked(policy: object) -> RetryPolicy:
    """Give the policy, or the default one for None.

    Raises:
        ConfigurationError: It is something else, such as redis-py's own Retry.
    """
    if policy is None:
        return RetryPolicy()
    if not isinstance(policy, RetryPolicy):
        raise ConfigurationError(
            f"retry must be a langchain_redis_memory.RetryPolicy, not a "
            f"{type(policy).__module__}.{type(policy).__name__}"
        )
    return policy


def in_haste(policy: RetryPolicy) -> RetryPolicy:
    """Give the policy for a person who waits: one more attempt, and 5 s for all at most.

    The second attempt starts an embedded server, or leaves a connection that broke while idle.
    """
    return replace(policy, attempts=min(2, policy.attempts), deadline=min(5.0, policy.deadline))


# A thread cannot be interrupted while it waits, as a task can: it must not begin to.
_thread = threading.local()
_FOR_EVER = 1e6


def patience() -> float:
    """Tell how many seconds this thread may go on beginning waits of `attempt_timeout`.

    It is 0 when one that begins now would end after the deadline of the operation that the thread
    is in. Sentinels, the nodes of a cluster and the steps of connecting are waited for one after
    another; an attempt may hold any number of waits.
    """
    latest: float | None = getattr(_thread, "latest", None)
    return _FOR_EVER if latest is None else max(0.0, latest - time.monotonic())


def call(
    policy: RetryPolicy,
    attempt: Callable[[], T],
    what: str,
    where: str,
    again: Callable[[], T] | None = None,
) -> T:
    """Call `attempt` until it succeeds or the policy says that it was the last.

    Args:
        policy: How often and how long.
        attempt: What is to succeed.
        what: What it does, for whoever watches.
        where: On which server.
        again: What is called instead from the second attempt on.
    """
    began = time.monotonic()
    _thread.latest = began + policy.deadline - policy.attempt_timeout
    try:
        try:
            return attempt()
        except StorageUnavailable as error:
            first = _Outcomes(error)

        def outcome() -> T:
            first.take()
            return (again or attempt)()

        import tenacity  # noqa: PLC0415 - only what failed once loads it

        return tenacity.Retrying(**_schedule(policy, began, what, where))(outcome)
    finally:
        del _thread.latest


async def acall(
    policy: RetryPolicy,
    attempt: Callable[[], Awaitable[T]],
    what: str,
    where: str,
    again: Callable[[], Awaitable[T]] | None = None,
) -> T:
    """Await `attempt` until it succeeds or the policy says that it was the last; see `call`."""
    began = time.monotonic()
    try:
        return await attempt()
    except StorageUnavailable as error:
        first = _Outcomes(error)

    async def outcome() -> T:
        first.take()
        return await (again or attempt)()

    import tenacity  # noqa: PLC0415 - see `call`

    return await tenacity.AsyncRetrying(**_schedule(policy, began, what, where))(outcome)


class _Outcomes:
    """The outcome of the first attempt, which was made before tenacity was asked.

    Setting up tenacity costs a tenth of a whole round trip; only what failed once pays it.
    """

    def __init__(self, error: StorageUnavailable) -> None:
        self._error: StorageUnavailable | None = error

    def take(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


def _schedule(policy: RetryPolicy, began: float, what: str, where: str) -> dict[str, Any]:
    import tenacity  # noqa: PLC0415 - see `call`

    def stop(state: tenacity.RetryCallState) -> bool:
        return policy.is_last(
            attempt=state.attempt_number,
            elapsed=time.monotonic() - began,
            pause=state.upcoming_sleep,
        )

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None:
            retried(what, where, state.attempt_number, state.upcoming_sleep, error)

    return {
        "retry": tenacity.retry_if_exception_type(StorageUnavailable),
        "wait": tenacity.wait_exponential(multiplier=policy.initial, max=policy.maximum)
        + tenacity.wait_random(0, policy.initial),
        "stop": stop,
        "before_sleep": tell,
        "reraise": True,
    }
