"""Everything that is proved of the digits networks is confirmed, on every target and in every exact coding."""

import json

import numpy as np
import onnx
import onnx.version_converter
import pytest
from conftest import ROOT, model
from onnx.reference import ReferenceEvaluator

from snnc_check.check import check
from snnc_check.model import Model

CODES = [("reference", c) for c in ("graded", "few-spikes", "multi-level", "signed-rate", "sigma-delta", "rate-sync")]
CODES += [("spleat", c) for c in ("multi-level", "few-spikes", "rate-sync")]
CODES += [("nir", "graded"), ("akida1", "graded"), ("akida2", "graded"), ("loihi", "sigma-delta")]
NAMES = ["digits_cnn_w4a4_qcdq", "digits_cnn_w2a2_qcdq", "digits_cnn_w8a8_qdq", "digits_mlp_w4a4_qcdq"]


@pytest.mark.parametrize("target,code", CODES)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_proved_is_confirmed(artefacts, name, target, code):
    folder = artefacts(name, target, code)
    if folder is None:
        return  # the target cannot hold it, which is no statement
    answers = check(folder, model(name))
    stated = json.loads((folder / "certificate.json").read_text())["populations"]
    assert sorted(a["population"] for a in answers) == sorted(p["population"] for p in stated)
    for a in answers:
        assert a["answer"] != "refuted", a
        assert a["answer"] == "confirmed" or a["claim"] in ("approximate", "failed"), a
    if target in ("reference", "spleat", "nir"):
        assert all(a["claim"] == "proved" for a in answers)


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
    for target, code in CODES:
        folder = artefacts("digits_cnn_w4a4_qcdq", target, code)
        jsonschema.validate(json.loads((folder / "certificate.json").read_text()), schema)
