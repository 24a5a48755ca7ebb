"""The cores of the machine: who runs on which, and that they do not sleep while they wait.

The server has a core for itself, and who makes one call after the other another one. Left to
itself, Linux puts both on one core or on two, depending on who ran before, which makes as much of a
difference as a library does. Many at once run as in any program, wherever there is room.

To wake a core costs nothing worth telling on some machines, and on others more than all that is
measured here: on a virtual machine whose host has to wake it, a trip of 25 µs takes 75 µs, and of
two libraries the one that does more before it sends finds the other core more deeply asleep. Linux
lets root say how long waking may take, as `tuned` does in its profile for latency (see
Documentation/power/pm_qos_interface.rst of the kernel): not at all.
"""

from __future__ import annotations

import os
import struct
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from subprocess import Popen

_DEVICE = Path("/dev/cpu_dma_latency")


def place(process: Popen[Any], where: Literal["caller", "server", "anywhere"]) -> None:
    """Put a process on its core, where Linux lets us choose and there are two."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        chosen = {"caller": cores[:1], "server": cores[-1:], "anywhere": cores}
        os.sched_setaffinity(process.pid, chosen[where])


class Cores:
    """The cores, which are awake within a ``with`` block, where that can be had."""

    def __init__(self) -> None:
        self._device: FileIO | None = None

    @property
    def awake(self) -> bool:
        """Whether they are kept awake."""
        return self._device is not None

    def __enter__(self) -> Self:
        with suppress(OSError):  # not on Linux, or not by root
            self._device = _DEVICE.open("wb", buffering=0)
            self._device.write(struct.pack("i", 0))
        return self

    def __exit__(self, *_: object) -> None:
        if self._device is not None:
            self._device.close()
            self._device = None

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """Let them sleep, as they are when nobody asks."""
        awake = self.awake
        self.__exit__()
        try:
            yield
        finally:
            if awake:
                self.__enter__()
