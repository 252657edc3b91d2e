"""Every network on every target in every exact coding: what the certificate states, what the checker answers, and how long both take.

    python checker/tests/matrix.py [NAME..] [--target T] [--json FILE]     (SNNC: the binary; SNNC_SHARED: models beside the repository)
"""

import argparse
import collections
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "checker")]

from snnc_check.check import check  # noqa: E402
from snnc_check.common import Refused  # noqa: E402

# Network -> where it lies, in the repository or beside it.
NETWORKS = {
    "digits_cnn_w4a4": "examples/digits/digits_cnn_w4a4_qcdq.onnx",
    "digits_cnn_w2a2": "examples/digits/digits_cnn_w2a2_qcdq.onnx",
    "digits_cnn_w8a8": "examples/digits/digits_cnn_w8a8_qdq.onnx",
    "digits_mlp": "examples/digits/digits_mlp_w4a4_qcdq.onnx",
    "fmnist_lenet_w4a4": "trained/fmnist_lenet_w4a4_qcdq.onnx",
    "fmnist_lenet_u8s8": "trained/fmnist_lenet_u8s8_qdq_ort.onnx",
    "fmnist_resnet8_w4a4": "trained/fmnist_resnet8_w4a4_qcdq.onnx",
    "cifar10_resnet8_w4a4": "cifar/cifar10_resnet8_w4a4_qat_qcdq.onnx",
    "mnist_mlp_w4a4": "trained/mnist_mlp_w4a4_qcdq.onnx",
    "kws_int8": "mlperf-tiny/kws_ref_model.onnx",
    "tfc_2w2a": "qonnx/TFC_2W2A.onnx",
}
CODES = [("reference", c) for c in ("graded", "few-spikes", "multi-level", "signed-rate", "sigma-delta", "rate-sync")]
CODES += [("spleat", c) for c in ("multi-level", "few-spikes", "rate-sync")]
CODES += [("nir", "graded"), ("nir", "multi-level"), ("loihi", "sigma-delta"), ("akida1", "graded"), ("akida2", "graded")]


def found(name):
    """The file of a network, or None where it is not on this machine."""
    path = NETWORKS[name]
    if not path.startswith("examples/"):
        path = pathlib.Path(os.environ.get("SNNC_SHARED", ROOT / "../shared")) / "models" / path
    path = ROOT / path
    return path if path.exists() else None


def spent():
    """Seconds of CPU of all programs that were run: what the machine does besides does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def row(binary, model, target, code, folder):
    """What one artefact is: the statements and the answers to them, and seconds of one core; None where the target refuses."""
    begun = spent()
    command = [binary, "compile", model, "--target", target, "--code", code, "-o", folder, "-q", "-j", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    compiled = spent() - begun
    if done.returncode == 3:
        return None
    if done.returncode:
        return {"target": target, "code": code, "compile": compiled, "check": 0.0, "refused": done.stderr.strip(), "answers": []}
    begun = time.process_time()
    try:
        answers, refused = check(pathlib.Path(folder) / target, model), None
    except Refused as e:
        answers, refused = [], str(e)
    checked = time.process_time() - begun
    return {"target": target, "code": code, "compile": compiled, "check": checked, "refused": refused, "answers": answers}


def faults(row):
    """Why a row is not as it must be: everything that is proved confirmed, nothing refuted, in time."""
    out = [f"refused: {row['refused']}"] if row["refused"] else []
    for a in row["answers"]:
        if a["answer"] == "refuted" or a["answer"] != "confirmed" and a["claim"] == "proved":
            out.append(f"{a['population']}: {a['claim']}: {a['answer']} ({a['why']})")
    if row["check"] > 2 * row["compile"] + 5:
        out.append(f"checked in {row['check']:.1f} s, compiled in {row['compile']:.1f} s")
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--json")
    parser.add_argument("--target")
    arguments = parser.parse_args()
    binary, rows, bad = os.environ.get("SNNC", ROOT / "target/debug/snnc"), [], 0
    print(f"{'network':22}{'target':11}{'coding':13}{'stated':42}{'confirmed':>10}{'refuted':>9}{'not checkable':>15}{'compile s':>11}{'check s':>9}")
    for name in arguments.names or NETWORKS:
        model = found(name)
        if model is None:
            print(f"{name:22}skipped: not on this machine")
            continue
        for target, code in CODES:
            if arguments.target not in (None, target):
                continue
            with tempfile.TemporaryDirectory() as folder:
                r = row(binary, model, target, code, folder)
            if r is None:
                print(f"{name:22}{target:11}{code:13}the target refuses it")
                continue
            stated = collections.Counter(a["claim"] for a in r["answers"])
            said = collections.Counter(a["answer"] for a in r["answers"])
            text = ", ".join(f"{n} {v}" for v, n in sorted(stated.items()))
            print(f"{name:22}{target:11}{code:13}{text:42}{said['confirmed']:>10}{said['refuted']:>9}{said['not checkable']:>15}"
                  f"{r['compile']:>11.1f}{r['check']:>9.1f}", flush=True)
            for fault in faults(r):
                bad += 1
                print(f"    {fault[:400]}", flush=True)
            rows.append({"network": name, **r})
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(rows, indent=1, default=str))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
