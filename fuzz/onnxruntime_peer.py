"""Holds what snnc answers on generated models against ONNX Runtime, optimisations off.

    cargo run -p snnc-testsuite --example generated_models -- FOLDER 0 10000
    python fuzz/onnxruntime_peer.py FOLDER

Needs onnx, onnxruntime and numpy. Exit code 1 when an answer differs otherwise than by a near tie, when snnc
panics or finds a fault of its own, or when it takes a model that ONNX Runtime refuses.

A near tie: the value before a quantiser, which ONNX Runtime sums up in single precision and snnc exactly, lies
within EPSILON of the middle between two codes (relative to the number of units). What follows from it may
differ, and is counted apart.
"""

import collections
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

EPSILON = 1e-5
# Sums of reals behind the last quantiser may be made in another order.
TOLERANCE = 1e-5


def session(model):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def with_quantisers_shown(path):
    """The model with what goes into each quantiser among its outputs, and the scales."""
    model = onnx.load(path)
    constants = {c.name: onnx.numpy_helper.to_array(c) for c in model.graph.initializer}
    shown = []
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[1] in constants:
            shown.append((node.input[0], float(constants[node.input[1]])))
    present = {o.name for o in model.graph.output} | {i.name for i in model.graph.input}
    for name in dict.fromkeys(name for name, _ in shown):
        if name not in present:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    return model.SerializeToString(), shown


def near_tie(value, scale):
    units = value.astype(np.float64) / scale
    away = np.abs(units - np.floor(units) - 0.5)
    return bool((away <= EPSILON * np.maximum(1.0, np.abs(units))).any())


def expected(path, x):
    """Answers of ONNX Runtime on each sample, and whether it had a near tie."""
    content, shown = with_quantisers_shown(path)
    run = session(content)
    names = [o.name for o in run.get_outputs()]
    answers, ties = [], []
    for sample in x:
        values = dict(zip(names, run.run(None, {"x": sample[None]})))
        values["x"] = sample[None]
        answers.append(values["y"].ravel())
        ties.append(any(near_tie(values[name], scale) for name, scale in shown))
    return np.array(answers), np.array(ties)


def found(path):
    with np.load(path) as arrays:
        name = "y" if "y" in arrays else "output"
        values = arrays[name]
    return values.reshape(len(values), -1)


def differing(answer, wanted):
    if answer.shape != wanted.shape:
        return None
    magnitude = max(float(np.abs(wanted).max()), 1e-30)
    return (np.abs(answer.astype(np.float64) - wanted) > TOLERANCE * magnitude).any(axis=1)


def main(folder):
    count = collections.Counter()
    wrong = []
    reasons = collections.Counter()
    for row_path in sorted(folder.glob("*.json"), key=lambda p: int(p.stem)):
        number = row_path.stem
        row = json.loads(row_path.read_text())
        count["models"] += 1
        for command in ("run", "compile", "artefact"):
            outcome = row[command]
            if outcome and outcome["exit"] in (5, 101):
                wrong.append(f"{number}: {command} ends with {outcome['exit']}: {outcome['reason']}")
        model = folder / f"{number}.onnx"
        x = np.load(folder / f"{number}.npz")["x"]
        try:
            wanted, ties = expected(model, x)
        except Exception as error:  # noqa: BLE001: whatever it refuses by
            count["refused by ONNX Runtime"] += 1
            if row["run"]["exit"] == 0:
                wrong.append(f"{number}: snnc runs what ONNX Runtime refuses: {error}")
            continue
        if row["run"]["exit"] == 0:
            count["run"] += 1
            judge(number, "run", found(folder / f"{number}.run.npz"), wanted, ties, count, wrong)
        else:
            count["not run by snnc"] += 1
            reasons["run: " + row["run"]["reason"].split("`")[-1]] += 1
        if row["compile"]["exit"] != 0:
            count["not compiled"] += 1
            reasons[f"{row['target']}: " + row["compile"]["reason"].split(": ", 1)[-1][:90]] += 1
            continue
        count[f"verdict {row['verdict']}"] += 1
        count[f"compiled for {row['target']}"] += 1
        if row["verdict"] == "proved" and row["artefact"]["exit"] == 0:
            answer = found(folder / f"{number}.artefact.npz")
            judge(number, f"proved on {row['target']}", answer, wanted, ties, count, wrong)
        elif row["artefact"]["exit"] != 0:
            wrong.append(f"{number}: the artefact does not run: {row['artefact']['reason']}")
    for name, n in sorted(count.items()):
        print(f"{n:7} {name}")
    for reason, n in reasons.most_common(25):
        print(f"{n:7} {reason}")
    for line in wrong:
        print("WRONG", line)
    return 1 if wrong or not count["models"] else 0


def judge(number, what, answer, wanted, ties, count, wrong):
    apart = differing(answer, wanted)
    kind = what.split(" ")[0]
    if apart is None:
        wrong.append(f"{number}: {what}: shape {answer.shape} instead of {wanted.shape}")
    elif (apart & ~ties).any():
        wrong.append(f"{number}: {what}: {int((apart & ~ties).sum())} of {len(apart)} samples differ without a near tie")
    elif apart.any():
        count[f"{kind}: differs by near ties"] += 1
    else:
        count[f"{kind}: equal"] += 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
