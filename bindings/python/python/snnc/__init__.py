"""snnc: a compiler from ONNX and NIR to neuromorphic hardware.

    >>> import snnc
    >>> artefact = snnc.compile("model.onnx", target="spleat")    # doctest: +SKIP
    >>> artefact.run(images).prediction                           # doctest: +SKIP

Errors are exceptions, one class for each exit code of the command line, with all ``problems`` at once.
"""

from __future__ import annotations

from snnc._commands import Exploration, Statistics, calibrate, compile, explore, inspect, load
from snnc._errors import (
    CheckFailed,
    Error,
    InputError,
    InternalError,
    Problem,
    UnsupportedError,
    UsageError,
)
from snnc._native import __version__
from snnc._network import Artefact, Evaluation, Network, Result, Trace

__all__ = [
    "Artefact",
    "CheckFailed",
    "Error",
    "Evaluation",
    "Exploration",
    "InputError",
    "InternalError",
    "Network",
    "Problem",
    "Result",
    "Statistics",
    "Trace",
    "UnsupportedError",
    "UsageError",
    "__version__",
    "calibrate",
    "compile",
    "explore",
    "inspect",
    "load",
]
