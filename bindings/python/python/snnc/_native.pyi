"""What the package is made on. Private: the functions of the package say what they take and give."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

__version__: str
optimised: bool

_Progress = Callable[[str, int, int], object]
_Raw = tuple[str, npt.NDArray[np.uint8], str, list[int]]

class _Option(TypedDict):
    name: str
    positional: bool
    takes_value: bool
    many: bool
    value: str
    choices: list[str]
    help: str

def main(arguments: Sequence[str]) -> int: ...
def execute(
    arguments: Sequence[str | PathLike[str]],
    jobs: int | None = None,
    progress: _Progress | None = None,
) -> tuple[str, list[tuple[str, str]]]: ...
def options(command: str) -> list[_Option]: ...
def advice(name: str, known: Sequence[str]) -> str: ...
def manifest(path: str | PathLike[str]) -> str: ...
def nir_of(path: str | PathLike[str]) -> bytes: ...

class Network:
    @staticmethod
    def open(
        path: str | PathLike[str],
        dims: Mapping[str, int],
        shapes: Mapping[str, Sequence[int]],
        scale: float | None = None,
        offset: float | None = None,
    ) -> Network | None: ...
    @property
    def input_shape(self) -> list[int]: ...
    @property
    def inputs(self) -> list[str]: ...
    def answer(self, x: npt.NDArray[Any]) -> tuple[list[_Raw], list[int]]: ...
    def trace(self, x: npt.NDArray[Any]) -> list[_Raw]: ...
    def evaluate(
        self,
        x: npt.NDArray[Any],
        y: Sequence[int] | None,
        reference: bool,
        jobs: int | None = None,
        progress: _Progress | None = None,
    ) -> str: ...
    def time(self, x: npt.NDArray[Any], times: int) -> float: ...
