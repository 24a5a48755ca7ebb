"""A file that takes its place when it is complete."""

from __future__ import annotations

import gzip
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from langchain_redis_memory.errors import ConfigurationError


class NewFile:
    """A file that takes its place when it is complete, and leaves what was there until then.

    Nobody else can read it: it holds people's words.

    Args:
        path: Where it is to be; what ends in ``.gz`` is compressed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).resolve()  # a symbolic link stays one
        if self._path.exists() and not self._path.is_file():
            raise ConfigurationError(f"{str(path)!r} is no file; name one that is to be written")

    def __enter__(self) -> Self:
        descriptor, name = tempfile.mkstemp(prefix=".export-", dir=self._path.parent)
        self._temporary = Path(name)
        self._raw: IO[bytes] = os.fdopen(descriptor, "wb")
        self._file = self._raw
        if self._path.suffix == ".gz":
            self._file = gzip.GzipFile("", "wb", fileobj=self._raw)  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._file, self._raw):
            with suppress(OSError):  # such as a full disk, which has been told
                file.close()
        self._temporary.unlink(missing_ok=True)

    def write(self, content: bytes) -> None:
        """Write more of it."""
        self._file.write(content)

    def finish(self) -> None:
        """Put the file in its place, once the disk has it all."""
        if self._file is not self._raw:
            self._file.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        self._temporary.replace(self._path)
        with suppress(OSError):  # where a directory cannot be opened, as on Windows
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
