"""The examples run as they stand, and say what they are to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

EXAMPLES = ROOT / "examples" / "python"


def run(name: str, *arguments: str, folder: Path) -> str:
    line = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(line, capture_output=True, text=True, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_quantised_onnx_to_akida(tmp_path: Path) -> None:
    said = run("quantised_onnx_to_akida.py", str(tmp_path / "out"), folder=tmp_path)
    assert "akida1: proved" in said and "verified: proved" in said
    assert (tmp_path / "out" / "akida2" / "model.spec.json").is_file()


def test_calibrate_bits_on_dask(tmp_path: Path) -> None:
    said = run("calibrate_bits_on_dask.py", folder=tmp_path)
    assert "1437 samples" in said
    top1 = [float(found) for found in re.findall(r"top-1 ([0-9.]+) %", said)]
    assert len(top1) == 4 and top1[-1] > 95


def test_no_example_is_left_out() -> None:
    tested = {"quantised_onnx_to_akida.py", "calibrate_bits_on_dask.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_the_quickstart_of_the_book_prints_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.S)[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[:5]}
    assert sorted(rows) == ["akida1", "akida2", "loihi", "reference", "spleat"]
    assert rows["reference"][0] == "proved" and all(row[1] == "99.44" for row in rows.values())
