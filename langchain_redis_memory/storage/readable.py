"""Whether something has come on a socket that nobody has read yet."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def readable(descriptor: int) -> Callable[[], bool]:
    """Make what tells it of a socket, as often as it is asked, as long as the socket is open.

    Of one that is closed it says so: its end has come.
    """
    if descriptor < 0:
        return lambda: True
    if not hasattr(select, "poll"):  # on Windows
        return lambda: bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda: bool(poll.poll(0))
