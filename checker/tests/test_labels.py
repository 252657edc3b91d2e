"""`snnc eval --certify-labels`: no sample that is certified changes, and each that is certified to change does, when the artefact is run."""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
from conftest import MODELS, ROOT, binary

SHARED = pathlib.Path(os.environ.get("SNNC_SHARED", ROOT / "../shared"))


def predictions(network, data, folder):
    out = folder / "out.npz"
    subprocess.run([binary(), "run", network, "--input", data, "-o", out, "-q"], check=True, capture_output=True)
    outputs = np.load(out)
    return outputs[outputs.files[0]].reshape(len(outputs[outputs.files[0]]), -1).argmax(1)


# Network, target, data, samples, and the share of them that is certified stable at least.
SUBJECTS = [(MODELS / "digits_cnn_w4a4_qcdq.onnx", "akida2", ROOT / "examples/digits/digits-test-360.npz", 360, 0.9),
            (MODELS / "digits_cnn_w2a2_qcdq.onnx", "akida1", ROOT / "examples/digits/digits-test-360.npz", 360, 0.9),
            (MODELS / "digits_mlp_w4a4_qcdq.onnx", "loihi", ROOT / "examples/digits/digits-test-360.npz", 360, 0.5),
            (MODELS / "digits_cnn_w4a4_qcdq.onnx", "loihi", ROOT / "examples/digits/digits-test-360.npz", 60, 0.0),
            (SHARED / "models/trained/fmnist_lenet_w4a4_qcdq.onnx", "akida2", SHARED / "data/fashion-mnist-test-10000.npz", 10000, 0.9),
            (SHARED / "models/trained/mnist_mlp_w4a4_qcdq.onnx", "loihi", SHARED / "data/mnist-test-10000.npz", 10000, 0.5)]


@pytest.mark.parametrize("model,target,data,samples,share", SUBJECTS, ids=[f"{m.stem}-{t}" for m, t, *_ in SUBJECTS])
def test_certified_labels_hold(tmp_path, model, target, data, samples, share):
    if not model.exists():
        pytest.skip("../shared not found")
    if samples > 1000 and not os.environ.get("SNNC_LONG"):
        samples = 500
    arrays = np.load(data)
    np.savez(tmp_path / "x.npz", x=arrays["x"][:samples], y=arrays["y"][:samples])
    subprocess.run([binary(), "compile", model, "--target", target, "-o", tmp_path / "out", "-q"], check=True, capture_output=True)
    command = [binary(), "eval", tmp_path / "out" / target, "--data", tmp_path / "x.npz", "--certify-labels", "--format", "json"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)["labels"]
    labels = np.array(found["samples"])
    assert len(labels) == samples == found["stable"] + found["unknown"] + found["changed"]
    reference, emitted = (predictions(n, tmp_path / "x.npz", tmp_path) for n in (model, tmp_path / "out" / target))
    print({k: found[k] for k in ("stable", "unknown", "changed")}, "run:", int((reference != emitted).sum()), "changed")
    assert (reference == emitted)[labels == "stable"].all()
    assert (reference != emitted)[labels == "changed"].all()
    assert found["stable"] >= share * samples, found.get("reason")


def test_a_certificate_that_lists_more_certifies_less(tmp_path):
    """Differences decide: with one over all accumulators of a channel nothing is stable that hangs on it."""
    data = tmp_path / "x.npz"
    arrays = np.load(ROOT / "examples/digits/digits-test-360.npz")
    np.savez(data, x=arrays["x"][:40], y=arrays["y"][:40])
    subprocess.run([binary(), "compile", MODELS / "digits_cnn_w4a4_qcdq.onnx", "--target", "akida2", "-o", tmp_path, "-q"],
                   check=True, capture_output=True)
    stable = []
    for worse in (False, True):
        path = tmp_path / "akida2/certificate.json"
        certificate = json.loads(path.read_text())
        if worse:
            for p in certificate["populations"]:
                if p["verdict"] == "differs":
                    p["differences"] = [{"channel": c, "from": -10 ** 6, "to": 10 ** 6, "reference": 0, "emitted": 15} for c in range(4)]
        path.write_text(json.dumps(certificate))
        from conftest import sign_manifest

        sign_manifest(tmp_path / "akida2")
        command = [binary(), "eval", tmp_path / "akida2", "--data", data, "--certify-labels", "--format", "json"]
        answer = subprocess.run(command, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        stable.append(json.loads(answer.stdout)["labels"]["stable"])
    assert stable[1] < stable[0], stable
