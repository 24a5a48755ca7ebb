"""What the package says when it raises, read from its source; what is filled in is an ellipsis."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from langchain_redis_memory.storage import failures

PACKAGE = Path(__file__).parents[1] / "langchain_redis_memory"
SAYS_AT = {  # which argument is the message, or what the message tells of the reason
    "RedisMemoryError": 0,
    "ConfigurationError": 0,
    "UnstorableError": 1,
    "StorageUnavailable": 0,
    "StorageRejected": 0,
    "CorruptedDataError": 2,
    "TurnNotSavedError": 0,
    "NotImplementedError": 0,
    "AttributeError": 0,
    "BadParameter": 0,
}
GIVES = {  # functions that give what others raise
    ("settings/environment.py", "_problem"): "ConfigurationError",
    ("settings/environment.py", "__init__"): "ConfigurationError",
    ("settings/places.py", "problems_of"): "ConfigurationError",
    ("settings/places.py", "_rules"): "ConfigurationError",
}


class Said(NamedTuple):
    """What is said, by an error of which class, and where that stands."""

    error: str
    text: str
    place: str


def texts(node, known):
    """Give the forms that a string can have; `known` are the values of local names."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            found = [""]
            for part in parts:
                found = [before + text for before in found for text in texts(part, known)]
            return found
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [one + two for one in texts(left, known) for two in texts(right, known)]
        case ast.IfExp(body=one, orelse=other):
            return texts(one, known) + texts(other, known)
        case ast.FormattedValue(value=ast.Name() as name) | (ast.Name() as name):
            values = known.get(name.id, [])
            return [text for value in values for text in texts(value, {})] or ["…"]
    return ["…"]


def name_of(function):
    return getattr(function, "id", getattr(function, "attr", ""))


def within(function, path):
    """Give what one function says."""
    known = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            known.setdefault(node.targets[0].id, []).append(node.value)
    given = GIVES.get((path, function.name))
    for node in ast.walk(function):
        spoken = []
        if isinstance(node, ast.Call) and len(node.args) > SAYS_AT.get(name_of(node.func), 99):
            spoken = [(name_of(node.func), node.args[SAYS_AT[name_of(node.func)]])]
        elif given and isinstance(node, ast.Call) and name_of(node.func) == "append":
            spoken = [(given, node.args[0])]
        elif given and isinstance(node, ast.Return | ast.Yield) and node.value:
            value = node.value
            spoken = [(given, value.elts[1] if isinstance(value, ast.Tuple) else value)]
        for error, value in spoken:
            for text in texts(value, known):
                rule = f"REDIS__… {text.replace('{}', 'REDIS__')}"
                yield error, rule if function.name == "_rules" else text, node.lineno


def of_errors():
    """Give what the classes of errors.py say whatever they are made of."""
    for kind in ast.walk(ast.parse((PACKAGE / "errors.py").read_text())):
        for node in ast.walk(kind) if isinstance(kind, ast.ClassDef) else ():
            if isinstance(node, ast.Call) and name_of(node.func) == "__init__" and node.args:
                yield from ((kind.name, text, node.lineno) for text in texts(node.args[0], {}))


@cache
def all_said():
    """Give all that is said in fixed words, each once; a text of blanks to fill in says nothing."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        tree = ast.parse(path.read_text())
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        functions += [n for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef)]
        head = ast.FunctionDef(name="", body=[n for n in tree.body if isinstance(n, ast.Try)])
        said = [one for function in [*functions, head] for one in within(function, name)]
        for error, text, line in [*said, *(of_errors() if name == "errors.py" else ())]:
            if re.search(r"[a-z]{3}", text):
                found.setdefault((error, " ".join(text.split())), f"{name}:{line}")
    for text in [
        *failures._REJECTED.values(),
        *failures._REJECTED_CLASSES.values(),
        failures._SENTINELS_AUTH,
    ]:
        shown = re.sub(r"\{[^}]*\}", "…", text)
        if " " in text:  # and no name by which another table has it
            found.setdefault(("StorageRejected", shown), "storage/failures.py")
    return [Said(error, text, place) for (error, text), place in found.items()]
