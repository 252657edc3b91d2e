"""What tests share: the digits models of ``examples`` and their data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import snnc
from snnc import _native

ROOT = Path(__file__).parents[3]
DIGITS = ROOT / "examples" / "digits"
QUANTISED = [
    "digits_cnn_w4a4_qcdq",
    "digits_cnn_w2a2_qcdq",
    "digits_cnn_w4a4_qdq_int4",
    "digits_cnn_w8a8_qdq",
    "digits_mlp_w4a4_qcdq",
]
FLOAT = "digits_cnn_bn_float"


def model(name: str) -> Path:
    return DIGITS / f"{name}.onnx"


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    with np.load(DIGITS / "digits-test-360.npz") as data:
        return data["x"], data["y"]


@pytest.fixture(scope="session")
def training() -> np.ndarray:
    with np.load(DIGITS / "digits-train-1437.npz") as data:
        return data["x"]


@pytest.fixture(scope="session")
def artefact() -> snnc.Artefact:
    return snnc.compile(model("digits_cnn_w4a4_qcdq"), target="reference")


@pytest.fixture(scope="session")
def spleat() -> snnc.Artefact:
    return snnc.compile(model("digits_cnn_w4a4_qcdq"), target="spleat")


def onnxruntime_outputs(path: Path, x: np.ndarray, optimised: bool = False) -> list[np.ndarray]:
    """The outputs of a model of batch 1 in ONNX Runtime, sample by sample."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    shape = [d if isinstance(d, int) else 1 for d in entry.shape]
    rows = [session.run(None, {entry.name: sample.reshape(shape)}) for sample in x]
    return [np.concatenate(column) for column in zip(*rows)]


@pytest.fixture(scope="session", autouse=True)
def answers_are_what_their_schemas_say() -> Iterator[None]:
    """Every answer in JSON that a test gets is held against its schema."""
    jsonschema = pytest.importorskip("jsonschema")
    execute = _native.execute

    def checked(arguments: list[object], *others: object, **named: object) -> object:
        done = execute(arguments, *others, **named)
        line = [str(argument) for argument in arguments]
        if "json" in line and "--print-after" not in line and done[0].strip():
            schema = json.loads((ROOT / "docs" / "schemas" / f"{line[0]}.schema.json").read_text())
            jsonschema.validate(json.loads(done[0]), schema)
        return done

    _native.execute = checked
    yield
    _native.execute = execute
