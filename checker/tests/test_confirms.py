"""Everything that is proved of the digits networks is confirmed, on every target and in every exact coding."""

import json

import matrix
import numpy as np
import onnx
import onnx.version_converter
import pytest
from conftest import ROOT, binary, model
from onnx.reference import ReferenceEvaluator

from snnc_check.check import check
from snnc_check.model import Model

# What the checker refuses to judge, by the reason it gives; goes stale when it learns to read it.
UNREAD = {("tfc_2w2a", "akida2"): "a look-up table, which this checker does not read"}
NAMES = ["digits_cnn_w4a4_qcdq", "digits_cnn_w2a2_qcdq", "digits_cnn_w8a8_qdq", "digits_mlp_w4a4_qcdq"]


@pytest.mark.parametrize("target,code", matrix.CODES)
@pytest.mark.parametrize("name", matrix.NETWORKS)
def test_what_is_proved_is_confirmed(tmp_path, name, target, code):
    """Nothing is refuted, and checking takes at most twice the time of compiling and five seconds. Where a target differs but for
    rounding (`loihi`), what it states is confirmed too."""
    model = matrix.found(name)
    if model is None:
        pytest.skip("../shared not found")
    row = matrix.row(binary(), model, target, code, tmp_path)
    if row is None:
        return  # the target cannot hold it, which is no statement
    if (name, target) in UNREAD:
        assert UNREAD[name, target] in row["refused"]
        return
    stated = json.loads((tmp_path / target / "certificate.json").read_text())["populations"]
    assert sorted(a["population"] for a in row["answers"]) == sorted(p["population"] for p in stated)
    assert not matrix.faults(row)
    if name.startswith("digits") and target in ("reference", "spleat", "nir"):
        assert all(a["claim"] == "proved" for a in row["answers"])
    if target == "loihi":
        assert all(a["answer"] == "confirmed" for a in row["answers"])


@pytest.mark.parametrize("name", NAMES)
def test_the_reader_computes_what_the_model_computes(name):
    """Codes by ids, Linear and the rule against onnx's own reference implementation of the operators."""
    read = Model(model(name))
    pixels = np.load(ROOT / "examples/digits/digits-test-360.npz")["x"][:12].astype(np.float32) / 255
    first = read.populations[0]
    values = read.run({first.name: first.rule.out.code(pixels.reshape(12, -1))})
    # onnx's own operators, of a version that its reference implementation has
    evaluator = ReferenceEvaluator(onnx.version_converter.convert_version(onnx.load(model(name)), 21))
    wanted = np.concatenate([evaluator.run(None, {"input": x[None]})[0] for x in pixels])
    ids, _ = read.outputs["logits"]
    scores = next(p for p in read.populations if p.kind == "scores")
    found = values[:, ids] * scores.rule.operands[0].astype(np.float64)
    assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()


def test_another_model_is_refused(artefacts):
    from snnc_check.common import Refused

    folder = artefacts("digits_mlp_w4a4_qcdq", "reference", "graded")
    with pytest.raises(Refused, match="SHA-256"):
        check(folder, model("digits_cnn_w4a4_qcdq"))


def test_the_certificate_has_its_schema(artefacts):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs/certificate.schema.json").read_text())
    for target, code in matrix.CODES:
        folder = artefacts("digits_cnn_w4a4_qcdq", target, code)
        jsonschema.validate(json.loads((folder / "certificate.json").read_text()), schema)
