"""Runs the Python snippets of README and docs, those of a page in one namespace."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser


def _enter_folder(namespace: dict[str, Any]) -> None:
    namespace["_before"] = os.getcwd()  # noqa: PTH109 - restored by chdir
    namespace["_folder"] = tempfile.TemporaryDirectory(prefix="lrm-docs-")
    os.chdir(namespace["_folder"].name)
    # A snippet may run a program of its own, which is to find the package that is tested.
    namespace["_path"] = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)


def _leave_folder(namespace: dict[str, Any]) -> None:
    if "memory" in namespace:
        namespace["memory"].close()
    if "tracers" in namespace:
        _forget_telemetry()
    if "handler" in namespace:
        logging.getLogger("langchain_redis_memory").removeHandler(namespace["handler"])
    os.chdir(namespace["_before"])
    os.environ["PYTHONPATH"] = namespace["_path"]
    namespace["_folder"].cleanup()


def _forget_telemetry() -> None:
    # OpenTelemetry takes a provider once in a process, and other tests follow in this one.
    import opentelemetry.metrics._internal as metrics  # noqa: PLC0415 - of one page alone
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.util._once import Once  # noqa: PLC0415

    from langchain_redis_memory.telemetry import switch  # noqa: PLC0415

    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()  # noqa: SLF001
    metrics._METER_PROVIDER, metrics._METER_PROVIDER_SET_ONCE = None, Once()  # noqa: SLF001
    switch._switch = switch._Switch()  # noqa: SLF001


# A fence "python no-run" needs a model of the reader's own.
pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md", "docs/reference/*.md"],
    setup=_enter_folder,
    teardown=_leave_folder,
).pytest()
