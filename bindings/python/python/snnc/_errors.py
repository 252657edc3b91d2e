"""What goes wrong, one exception for each exit code of the command line."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong."""

    place: str
    """The ONNX node (as ``Conv `conv1` ``), the option, or the file."""
    reason: str
    """Why that is a problem."""
    remedy: str
    """What would help; may be empty."""

    def __str__(self) -> str:
        text = f"{self.place}: {self.reason}"
        return f"{text} (help: {self.remedy})" if self.remedy else text


class Error(Exception):
    """What every error of snnc is.

    Attributes:
        problems: all that is wrong, of one kind, at once.
        exit_code: what the command line ends with in this case.
        artefacts: of a compilation for several targets, the artefacts of those that could be delivered.
    """

    exit_code = 5

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
        self.artefacts: dict[str, object] = {}
        self.answer = ""

    def __reduce__(self) -> tuple[type[Error], tuple[list[Problem]]]:
        return type(self), (self.problems,)


class CheckFailed(Error):
    """A check did not pass (exit code 1)."""

    exit_code = 1


class UsageError(Error, ValueError):
    """A function was called wrongly (exit code 2)."""

    exit_code = 2


class UnsupportedError(Error):
    """The model cannot be expressed on, or does not fit, the target (exit code 3)."""

    exit_code = 3


class InputError(Error, ValueError):
    """A file or an array is unreadable, malformed or inconsistent (exit code 4)."""

    exit_code = 4


class InternalError(Error):
    """snnc is at fault, and not what it was given (exit code 5)."""

    exit_code = 5


_BY_EXIT_CODE = {
    kind.exit_code: kind
    for kind in (CheckFailed, UsageError, UnsupportedError, InputError, InternalError)
}


def of_exit_code(code: int, problems: list[tuple[str, str, str]]) -> Error:
    """The error of an exit code."""
    return _BY_EXIT_CODE.get(code, InternalError)([Problem(*p) for p in problems])


def usage(place: str, reason: str, remedy: str) -> UsageError:
    """A function was called wrongly in one way."""
    return UsageError([Problem(place, reason, remedy)])
