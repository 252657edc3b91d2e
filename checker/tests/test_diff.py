"""`snnc diff` names the population, timestep and neuron of a planted fault; the oracle is the checker's simulation."""

import json
import os
import subprocess

import numpy as np
import pytest
from conftest import ROOT, binary, sign_manifest
from mutants import encode, wire_mutant

from snnc_check import wire
from snnc_check.emitted import Simulation

SUBJECTS = [(n, c) for n in ("digits_cnn_w2a2_qcdq", "digits_mlp_w4a4_qcdq") for c in ("graded", "few-spikes", "rate-sync")]
COUNT = 100 if os.environ.get("SNNC_LONG") else 16
KINDS = ["bias", "weight", "threshold", "permutation"]


def plant(content, rng, kind):
    """Another network: a weight, a threshold, two channels, or much more bias in one channel of one population."""
    if kind != "bias":
        return wire_mutant(content, rng, kind)[0]
    graph = wire.message("Graph", content[8:])
    chosen = [n for n in graph["nodes"] if n["op"] == "population"]
    node = chosen[int(rng.integers(len(chosen)))]
    p = json.loads(node["parameters"])
    bias = p.get("bias")
    if not bias:
        return None
    at = int(rng.integers(len(bias)))
    bias[at] += int(rng.choice([-1, 1])) * int(rng.integers(50, 5000))
    p["bias"] = bias
    node["parameters"] = json.dumps(p)
    return content[:8] + encode("Graph", graph)


def trains(content, pixels):
    network = wire.read(content)
    simulation = Simulation(network)
    simulation.run({"input": pixels})
    return network, simulation.trains


def expected(original, changed, pixels):
    """Sample by sample, population by population in order, the first timestep and neuron."""
    (network, a), (_, b) = trains(original, pixels), trains(changed, pixels)
    if set(a) != set(b):
        return None  # no such neuron can be
    for sample in range(len(pixels)):
        for node in network["nodes"]:
            if node["op"] not in ("encoder", "population"):
                continue
            x, y = a[node["name"]][:, sample], b[node["name"]][:, sample]
            if (x != y).any():
                t, neuron = np.argwhere(x != y)[0]
                place = [int(i) for i in np.unravel_index(neuron, node["shape"])]
                return sample, node["name"], int(t), place, [int(x[t, neuron]), int(y[t, neuron])]
    return None


def test_planted_faults_are_named(artefacts, copy, tmp_path):
    rng, done = np.random.default_rng(6), 0
    pixels = np.load(ROOT / "examples/digits/digits-test-360.npz")["x"][:4]
    np.savez(tmp_path / "x.npz", x=pixels)
    for round_ in range(12 * COUNT):
        name, code = SUBJECTS[round_ % len(SUBJECTS)]
        kind = KINDS[done % len(KINDS)]
        original = artefacts(name, "reference", code)
        content = (original / "network.snn").read_bytes()
        changed = plant(content, rng, kind)
        if changed is None:
            continue
        wanted = expected(content, changed, pixels.reshape(4, -1).astype(np.int64))
        if wanted is None:
            continue  # without effect on these samples
        folder = copy(original)
        (folder / "network.snn").write_bytes(changed)
        sign_manifest(folder)
        command = [binary(), "diff", original, folder, "--input", tmp_path / "x.npz", "--format", "json"]
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode == 4 and kind == "threshold":
            continue  # no such neuron can be, as thresholds that do not ascend
        assert answer.returncode == 1, answer.stderr
        found = json.loads(answer.stdout)
        d = found["difference"]
        assert (found["sample"], d["population"], d["timestep"], d["neuron"], d["payloads"]) == wanted
        assert all(isinstance(v, int) for v in d["accumulators"]) or d["population"] == "input"
        done += 1
        if done == COUNT:
            return
    pytest.fail(f"only {done} faults had an effect")


def test_equal_executions_have_no_difference(artefacts, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.load(ROOT / "examples/digits/digits-test-360.npz")["x"][:8])
    one = artefacts("digits_cnn_w2a2_qcdq", "reference", "graded")
    for other in (artefacts("digits_cnn_w2a2_qcdq", "reference", "few-spikes"), artefacts("digits_cnn_w2a2_qcdq", "spleat", "multi-level"),
                  ROOT / "examples/digits/digits_cnn_w2a2_qcdq.onnx"):
        done = subprocess.run([binary(), "diff", one, other, "--input", tmp_path / "x.npz"], capture_output=True, text=True)
        assert done.returncode == 0 and "no difference: 8 samples" in done.stdout, (other, done.stdout, done.stderr)


def test_a_trace_is_a_side(artefacts, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.load(ROOT / "examples/digits/digits-test-360.npz")["x"][:4])
    artefact, trace = artefacts("digits_cnn_w2a2_qcdq", "reference", "few-spikes"), tmp_path / "trace.npz"
    subprocess.run([binary(), "run", artefact, "--input", tmp_path / "x.npz", "--trace", trace, "-q"], check=True, capture_output=True)
    same = subprocess.run([binary(), "diff", artefact, trace, "--input", tmp_path / "x.npz"], capture_output=True, text=True)
    assert same.returncode == 0, same.stderr
    arrays = dict(np.load(trace))
    arrays["conv2"][2, 1, 3, 4, 5] ^= 1
    np.savez(trace, **arrays)
    other = subprocess.run([binary(), "diff", artefact, trace, "--input", tmp_path / "x.npz"], capture_output=True, text=True)
    assert other.returncode == 1 and "`conv2`" in other.stderr and "sample 2, timestep 1, neuron [3, 4, 5]" in other.stderr, other.stderr
