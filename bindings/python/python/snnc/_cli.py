"""The command ``snnc``: the command line of the compiler, with the same answers and files."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the command line with the arguments of the process; its exit code."""
    from snnc import _native

    return _native.main(["snnc", *sys.argv[1:]])
