"""The package itself: import, command line, stubs, documentation."""

from __future__ import annotations

import inspect
import os
import pydoc
import shutil
import statistics
import subprocess
import sys
import sysconfig
import typing
from pathlib import Path

import pytest

import snnc
from snnc import _native

from conftest import DIGITS, ROOT, model

SCRIPT = Path(sysconfig.get_path("scripts")) / "snnc"
CARGO = Path(os.environ.get("SNNC", ROOT / "target" / "debug" / "snnc"))


def test_everything_named_is_there_and_says_what_it_is() -> None:
    for name in snnc.__all__:
        thing = getattr(snnc, name)
        assert name == "__version__" or pydoc.getdoc(thing), name


def test_public_methods_say_what_they_are() -> None:
    for kind in (snnc.Artefact, snnc.Network, snnc.Result, snnc.Statistics, snnc.Exploration):
        for name, member in inspect.getmembers(kind):
            if not name.startswith("_") and callable(member) and member.__qualname__.startswith(kind.__name__):
                assert member.__doc__, f"{kind.__name__}.{name}"


@pytest.mark.slow
def test_import_is_quick_and_leaves_numpy_alone() -> None:
    # Time of the processor: the machine may be busy with other things.
    code = (
        "import time; t = time.process_time(); import snnc; "
        "print(time.process_time() - t); import sys; assert 'numpy' not in sys.modules"
    )
    times = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        times.append(float(done.stdout))
    assert min(times) < 0.060, times


def test_the_command_is_installed_and_answers() -> None:
    done = subprocess.run([SCRIPT, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["snnc", snnc.__version__]
    module = subprocess.run([sys.executable, "-m", "snnc", "targets", "-q"], capture_output=True, text=True)
    assert module.returncode == 0 and "akida1" in module.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["inspect", "there-is-none.onnx"], 4),
        (["compile", str(model("digits_cnn_w4a4_qcdq")), "--target", "tpu"], 2),
        (["targets", "--form"], 2),
        ([], 2),
        (["--help"], 0),
    ],
)
def test_exit_codes_of_the_command(arguments: list[str], code: int) -> None:
    assert subprocess.run([SCRIPT, *arguments], capture_output=True).returncode == code


@pytest.mark.skipif(not CARGO.is_file(), reason="there is no binary built by cargo: set SNNC")
def test_the_command_writes_the_bytes_that_the_binary_of_cargo_writes(tmp_path: Path) -> None:
    def files(program: Path, folder: Path) -> dict[str, bytes]:
        line = ["compile", str(model("digits_cnn_w4a4_qcdq")), "--target", "all", "-o", str(folder)]
        line += ["--data", str(DIGITS / "digits-test-360.npz"), "-q"]
        done = subprocess.run([program, *line], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    wheel, cargo = files(SCRIPT, tmp_path / "wheel"), files(CARGO, tmp_path / "cargo")
    assert len(wheel) > 20 and wheel == cargo


@pytest.mark.skipif(not CARGO.is_file(), reason="there is no binary built by cargo: set SNNC")
def test_functions_write_the_bytes_that_the_binary_of_cargo_writes(tmp_path: Path) -> None:
    made = snnc.compile(model("digits_cnn_w8a8_qdq"), target="akida2")
    line = ["compile", str(model("digits_cnn_w8a8_qdq")), "--target", "akida2", "-o", str(tmp_path), "-q"]
    subprocess.run([CARGO, *line], check=True, capture_output=True)
    folder = tmp_path / "akida2"
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert made.files == {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("compile", "CompileOptions"),
        ("calibrate", "CalibrateOptions"),
        ("explore", "ExploreOptions"),
        ("verify", "VerifyOptions"),
        ("inspect", "ImportOptions"),
    ],
)
def test_typed_options_are_those_of_the_command_line(command: str, options: str) -> None:
    source = (Path(snnc.__file__).parent / "_kinds.pyi").read_text()
    space: dict[str, object] = {"Statistics": object}
    source = source.replace("from snnc._commands import Statistics", "")
    exec(compile(source, "_kinds.pyi", "exec"), space)
    typed = set(typing.get_type_hints(space[options], space, space))
    own = {"model", "data", "samples", "output", "target", "against", "merge", "csv"}
    from snnc._options import known

    there = set(known(command))
    assert typed - own == there - own, (command, (typed ^ there) - own)


def test_options_say_what_they_take() -> None:
    rows = {row["name"]: row for row in _native.options("compile")}
    assert rows["granularity"]["choices"] == ["layer", "channel"]
    assert rows["force"]["takes_value"] is False
    assert _native.options("no-such-command") == []


def test_mypy_is_strict_and_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    settings = Path(__file__).parents[1] / "pyproject.toml"
    line = [sys.executable, "-m", "mypy", "--config-file", str(settings), "--cache-dir", str(tmp_path), "-p", "snnc"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_typed_calls_are_checked_by_mypy(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    good = 'import snnc\na = snnc.compile("m.onnx", target="loihi", payload_bits=4)\nreveal_type(a)\n'
    unknown = 'import snnc\nsnnc.inspect("m.onnx", dims={"n": 1})\n'
    wrong = 'import snnc\nsnnc.calibrate("m.onnx", "d.npz", limit="4")\n'
    for text, errors in ((good, 0), (unknown, 1), (wrong, 1)):
        path = tmp_path / "use.py"
        path.write_text(text)
        done = subprocess.run([sys.executable, "-m", "mypy", str(path)], capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout.count("error:") == errors, done.stdout
        if not errors:
            assert "Artefact" in done.stdout


def test_the_package_is_typed() -> None:
    package = Path(snnc.__file__).parent
    assert (package / "py.typed").is_file() and (package / "_native.pyi").is_file()


def test_nothing_of_other_licences_is_imported() -> None:
    code = "import snnc, sys; print([m for m in sys.modules if m.split('.')[0] in "
    code += "('torch', 'onnx', 'nir', 'akida', 'lava', 'sinabs', 'dask', 'ray')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
