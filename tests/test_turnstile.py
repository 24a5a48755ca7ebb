"""The queue of threads before the connections: first come, first served."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from langchain_redis_memory.storage.turnstile import Turnstile


def in_the_queue(turnstile, count):
    while len(turnstile._queue) < count:
        time.sleep(0.001)


def test_no_more_get_through_than_there_are_places():
    """Who comes too late waits as long as told, and leaves no trace in the queue."""
    turnstile = Turnstile(2)
    assert turnstile.acquire(lambda: 0)
    assert turnstile.acquire(lambda: 0)
    assert not turnstile.acquire(lambda: 0.01)
    turnstile.release()
    assert turnstile.acquire(lambda: 0)


def test_places_are_given_in_the_order_of_asking():
    """The first of those who wait is the first to get through."""
    turnstile = Turnstile(1)
    turnstile.acquire(lambda: 0)
    served = []

    def wait(number):
        assert turnstile.acquire(lambda: 60)
        served.append(number)
        turnstile.release()

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(10)]
    for number, thread in enumerate(threads):
        thread.start()
        in_the_queue(turnstile, number + 1)
    turnstile.release()
    for thread in threads:
        thread.join()
    assert served == list(range(10))


def test_whoever_comes_again_queues_again():
    """A few threads that go round and round do not keep the others out."""
    turnstile = Turnstile(2)
    everybody = 20
    too_often = 5 * everybody
    rounds = Counter()

    def go_round(number):
        while min(rounds[n] for n in range(everybody)) < 5 and rounds[number] < too_often:
            assert turnstile.acquire(lambda: 60)
            rounds[number] += 1
            time.sleep(0.0001)
            turnstile.release()

    threads = [threading.Thread(target=go_round, args=(number,)) for number in range(everybody)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(rounds.values()) < too_often


@pytest.mark.parametrize("called", [False, True])
def test_who_leaves_while_waiting_takes_no_place_along(called, monkeypatch):
    """Be it before the place was given, or in the same moment."""
    turnstile = Turnstile(1)
    turnstile.acquire(lambda: 0)

    class Turn:
        def acquire(self, timeout=None):
            if timeout is not None:
                if called:
                    turnstile.release()
                raise KeyboardInterrupt

        def release(self):
            pass

    monkeypatch.setattr("langchain_redis_memory.storage.turnstile.threading.Lock", Turn)
    with pytest.raises(KeyboardInterrupt):
        turnstile.acquire(lambda: 60)
    if not called:
        turnstile.release()
    assert turnstile.acquire(lambda: 0)
    assert not turnstile._queue
