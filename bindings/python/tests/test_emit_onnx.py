"""``--emit onnx``: the quantised network as QDQ, whose codes in ONNX Runtime are those of snnc."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import snnc

from conftest import FLOAT, QUANTISED, ROOT, model, onnxruntime_outputs

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SHARED = Path(os.environ.get("SNNC_SHARED", ROOT.parent / "shared"))
# Of f32 sums, a part of what they add up may be lost by each addition.
UNIT = 2.0**-24


def with_all_codes(path: Path, to: Path) -> list[tuple[str, object]]:
    """The same file with the codes of every quantiser as outputs; their names and element types."""
    proto = onnx.load(path)
    codes = []
    for node in proto.graph.node:
        if node.op_type in ("QuantizeLinear", "Clip") and not node.output[0].endswith(".unbounded"):
            zero = next(n for n in proto.graph.node if n.output[0] == node.output[0])
            kinds = {i.name: i.data_type for i in proto.graph.initializer}
            kind = kinds[zero.input[2]]
            if kind == onnx.TensorProto.FLOAT:
                continue
            codes.append((node.output[0], kind))
    del proto.graph.output[:]
    for name, kind in codes:
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    onnx.save(proto, to)
    return codes


def reals_of(path: Path, name: str, codes: dict[str, np.ndarray], sample: int) -> tuple[np.ndarray, np.ndarray]:
    """In double precision, what stands before the quantiser of ``name`` for the codes that ONNX Runtime had, and
    the sum of the magnitudes of its terms: an evaluation of the file's own operators."""
    from onnx.reference import ReferenceEvaluator

    proto = onnx.load(path)
    quantiser = next(n for n in proto.graph.node if n.op_type == "QuantizeLinear" and n.output[0].removesuffix(".unbounded") == name)
    made = {o: n for n in proto.graph.node for o in n.output}
    needed, todo, given = [], [quantiser.input[0]], set()
    while todo:
        value = todo.pop()
        if value in codes:
            given.add(value)
        elif value in made and made[value] not in needed:
            needed.append(made[value])
            todo += made[value].input
    order = [n for n in proto.graph.node if n in needed]
    arrays = {i.name: onnx.numpy_helper.to_array(i) for i in proto.graph.initializer}
    results = []
    for magnitude in (False, True):
        space = {n: (a.astype(np.float64) if a.dtype == np.float32 else a) for n, a in arrays.items()}
        space |= {n: codes[n][sample : sample + 1] for n in given}
        for node in order:
            inputs = [space[i] if i else None for i in node.input]
            if node.op_type == "DequantizeLinear":
                x, scale, zero = inputs
                axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
                if scale.ndim:
                    shape = [-1 if d == axis else 1 for d in range(x.ndim)]
                    scale, zero = scale.reshape(shape), zero.reshape(shape)
                space[node.output[0]] = (x.astype(np.float64) - zero) * scale
                if magnitude:
                    space[node.output[0]] = np.abs(space[node.output[0]])
                continue
            one = onnx.helper.make_graph(
                [node],
                "one",
                [onnx.helper.make_tensor_value_info(i, onnx.helper.np_dtype_to_tensor_dtype(space[i].dtype), None) for i in node.input if i],
                [onnx.helper.make_empty_tensor_value_info(node.output[0])],
            )
            evaluator = ReferenceEvaluator(onnx.helper.make_model(one, opset_imports=proto.opset_import))
            space[node.output[0]] = evaluator.run(None, {i: space[i] for i in node.input if i})[0]
        results.append(space[quantiser.input[0]])
    scale = arrays[quantiser.input[1]].astype(np.float64)
    return results[0] / scale, results[1] / scale


def differing(path: Path, own: dict[str, np.ndarray], x: np.ndarray, tmp: Path, optimised: bool) -> tuple[int, int]:
    """Codes that differ where their inputs do not, all of which must be ties of single precision; and codes."""
    codes = with_all_codes(path, tmp / "all.onnx")
    outputs = onnxruntime_outputs(tmp / "all.onnx", x, optimised)
    theirs = {name: array for (name, _), array in zip(codes, outputs)}
    ties = compared = 0
    apart = np.zeros(len(x), bool)
    for name, array in theirs.items():
        ours = own[name].reshape(array.shape).astype(np.int64)
        other = ours != array
        compared += array.size
        for sample in np.flatnonzero(other.reshape(len(x), -1).any(1) & ~apart):
            units, magnitude = reals_of(path, name, theirs, sample)
            at = other[sample : sample + 1]
            # Halfway between two codes, but for what single precision may lose.
            distance = np.abs(np.abs(units - np.rint(units)) - 0.5)[at]
            lost = 600 * UNIT * magnitude[at] + 1e-6
            assert (distance <= lost).all(), (name, int(sample), distance.max(), lost.min())
            ties += int(at.sum())
            # What lies behind gets another input.
            apart[sample] = True
    return ties, compared


def own_codes(artefact: snnc.Artefact, x: np.ndarray) -> dict[str, np.ndarray]:
    """Codes by the names of the file: payloads of encoder and populations, zero points added. Both are in order
    of computation."""
    proto = onnx.load_model_from_string(artefact.files["quantised.onnx"])
    arrays = {i.name: onnx.numpy_helper.to_array(i) for i in proto.graph.initializer}
    quantisers = [n for n in proto.graph.node if n.op_type == "QuantizeLinear"]
    sent = [(n, a) for n, a in artefact.run(x).trace.items()]
    order = [row["name"] for row in artefact.manifest["populations"]]
    firing = [a for n, a in sorted(sent, key=lambda pair: order.index(pair[0]) if pair[0] in order else -1)]
    return {
        node.output[0].removesuffix(".unbounded"): payload[:, -1].astype(np.int64) + int(arrays[node.input[2]])
        for node, payload in zip(quantisers, firing)
    }


def emitted(path: Path, tmp: Path, **options: object) -> tuple[snnc.Artefact, Path]:
    artefact = snnc.compile(path, target="reference", emit="onnx", **options)
    to = tmp / "quantised.onnx"
    to.write_bytes(artefact.files["quantised.onnx"])
    onnx.checker.check_model(str(to), full_check=True)
    return artefact, to


def agree(
    path: Path, x: np.ndarray, tmp: Path, most: int, optimise: tuple[bool, ...] = (False, True), **options: object
) -> None:
    artefact, file = emitted(path, tmp, **options)
    own = own_codes(artefact, x)
    assert len(own) == len(with_all_codes(file, tmp / "names.onnx")) > 1
    for optimised in optimise:
        ties, compared = differing(file, own, x, tmp, optimised)
        assert ties <= most and compared > 100 * most, (path.stem, optimised, ties, compared)


@pytest.mark.parametrize("name", QUANTISED)
def test_codes_of_quantised_networks_are_those_of_onnxruntime(
    name: str, digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    agree(model(name), digits[0][:120].astype(np.float32) / np.float32(255), tmp_path, most=6)


@pytest.mark.parametrize("bits", [8, 6, 4])
def test_codes_of_calibrated_networks_are_those_of_onnxruntime(
    bits: int, digits: tuple[np.ndarray, np.ndarray], training: np.ndarray, tmp_path: Path
) -> None:
    x = digits[0][:120].astype(np.float32) / np.float32(255)
    agree(model(FLOAT), x, tmp_path, most=12, calibration=training, payload_bits=bits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("trained/fmnist_resnet8_w4a4_qcdq", {}),
        ("trained/fmnist_lenet_u8s8_qdq_ort", {}),
        ("trained/fmnist_lenet_bn_float", {"payload_bits": 8}),
        ("cifar/cifar10_resnet8_w8a8_ptq_qcdq", {}),
    ],
)
def test_codes_of_larger_networks(name: str, options: dict[str, object], tmp_path: Path) -> None:
    path = SHARED / "models" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip("the shared models are not here")
    shape = [d if isinstance(d, int) else 1 for d in snnc.inspect(path)["inputs"][0]["shape"]]
    x = np.random.default_rng(3).random((6, *shape[1:])).astype(np.float32)
    if options:
        options = {**options, "calibration": x}
    # Optimised, ONNX Runtime adds 8-bit products in 16 bits, which saturate where the machine has no other way.
    agree(path, x, tmp_path, most=12, optimise=(False,), **options)


def test_a_model_in_nhwc_is_written_in_nchw(tmp_path: Path) -> None:
    path = SHARED / "models" / "mlperf-tiny" / "pretrainedResnet_quant.onnx"
    if not path.is_file():
        pytest.skip("the shared models are not here")
    _, file = emitted(path, tmp_path)
    x = np.random.default_rng(3).integers(-128, 128, (20, 3, 32, 32)).astype(np.int8)
    rows = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    (theirs,), (ours,) = (onnxruntime_outputs(f, v, False) for f, v in ((path, rows), (file, x)))
    assert ours.shape == (20, 10) and np.array_equal(theirs, ours)


def test_a_code_that_is_not_a_tie_is_found(digits: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x = digits[0][:8].astype(np.float32) / np.float32(255)
    artefact, file = emitted(model(QUANTISED[0]), tmp_path)
    own = own_codes(artefact, x)
    own["conv2_QuantizeLinear"][3].flat[17] += 1
    with pytest.raises(AssertionError):
        differing(file, own, x, tmp_path, optimised=False)


def test_the_artefact_is_proved_against_the_file_that_it_holds(tmp_path: Path) -> None:
    artefact, file = emitted(model("digits_cnn_w4a4_qcdq"), tmp_path)
    assert artefact.verify(file)["verdict"] == "proved"
    assert "quantised.onnx" in {row["path"] for row in artefact.manifest["files"]}


def test_networks_that_spike_have_no_quantised_form(tmp_path: Path) -> None:
    models = sorted((ROOT / "testsuite" / "cases" / "spiking").rglob("*.onnx"))
    with pytest.raises(snnc.UsageError) as caught:
        snnc.compile(models[0], target="reference", emit="onnx")
    assert caught.value.problems[0].place == "--emit"
