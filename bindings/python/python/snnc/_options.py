"""Keyword arguments as options of the command line, which says which there are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from snnc import _native
from snnc._errors import Problem, UsageError

if TYPE_CHECKING:
    from snnc._inputs import Files

# Of the process or of the answer, not of the work.
_NOT_HERE = frozenset({"format", "jobs", "quiet", "verbose", "wide", "progress", "config"})


def known(command: str) -> dict[str, Any]:
    """The options of a command by the names of keyword arguments."""
    rows = _native.options(command)
    return {
        row["name"].replace("-", "_"): row
        for row in rows
        if not row["positional"] and (row["name"] not in _NOT_HERE or row["name"] == "config")
    }


def arguments(
    command: str, options: Mapping[str, object], files: Files, besides: Iterable[str] = ()
) -> list[str]:
    """The options as a command line; ``besides`` are names that the function takes itself.

    Raises:
        UsageError: for every name that there is not, and every value of another kind, at once.
    """
    table = known(command)
    line: list[str] = []
    problems: list[Problem] = []
    for name, value in options.items():
        row = table.get(name)
        if row is None:
            names = sorted({*table, *besides})
            reason = f"{command}() has no argument `{name}`"
            problems.append(Problem(name, reason, _native.advice(name, names)))
        elif value is None or value is False:
            continue
        else:
            try:
                line += _option(row, value, files)
            except TypeError as error:
                problems.append(Problem(name, str(error), f"it is {row['value'] or 'True or False'}"))
    if problems:
        raise UsageError(problems)
    return line


def _option(row: Any, value: object, files: Files) -> list[str]:
    option = f"--{row['name']}"
    if not row["takes_value"]:
        if value is not True:
            raise TypeError(f"takes True or False, not {value!r}")
        return [option]
    if value is True:
        raise TypeError("takes a value, not True")
    if row["many"]:
        return [f"{option}={text}" for text in _several(row, value)]
    if isinstance(value, (str, int, float, os.PathLike)):
        return [f"{option}={os.fspath(value) if isinstance(value, os.PathLike) else value}"]
    content = getattr(value, "content", None)
    if isinstance(content, bytes):
        path = files.path("part.stats")
        path.write_bytes(content)
        return [f"{option}={path}"]
    if files.takes(value):
        return [f"{option}={files.samples(value)}"]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return [f"{option}={value.item()}"]
    raise TypeError(f"takes one value, not {type(value).__name__}")


def _several(row: Any, value: object) -> list[str]:
    """An option that may be given several times: by pairs, or one by one."""
    if isinstance(value, Mapping):
        if row["value"] == "NAME:SHAPE":
            return [f"{key}:{'x'.join(str(int(d)) for d in shape)}" for key, shape in value.items()]
        return [f"{key}={_text(item)}" for key, item in value.items()]
    if isinstance(value, (str, os.PathLike)):
        return [os.fspath(value)]
    if isinstance(value, Iterable):
        return [_text(item) for item in value]
    raise TypeError(f"takes a dict or a list, not {type(value).__name__}")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
