"""A process with open connections forks, and both go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from faults.load import Attempt, Record
from faults.scenario import Scale, Scenario
from faults.verdict import Outcome, judge

_ROOT = Path(__file__).parents[1]


def _forked(stage: Any, flavour: str, scale: Scale) -> Outcome:
    arguments = (stage.url, json.dumps(stage.options), flavour, str(1 + round(2 * scale.seconds)))
    done = subprocess.run(
        [sys.executable, "-m", "faults.forked", *arguments],
        cwd=_ROOT,
        capture_output=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        return Outcome(broken=[done.stderr.decode()[-2000:]])
    record = Record(deadline=10, attempts=[_attempt(**told) for told in json.loads(done.stdout)])
    return judge(stage, record, flavour, expected=())


def _attempt(error: str | None, **told: Any) -> Attempt:
    return Attempt(**told, error=RuntimeError(error) if error else None)


SCENARIOS = [Scenario("fork with open connections: both go on", _forked, brief=("standalone",))]
