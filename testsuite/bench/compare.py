"""Side-by-side benchmark: snnc, ONNX Runtime and, where torch is installed, SpikingJelly.

    cargo build --release --bin snnc --bin snnc-bench
    python testsuite/bench/compare.py [--rounds 5] [--seconds 1.5] [--shared ../shared] [--only A,B]

Every contestant runs in its own process, the order shuffled anew in each round, on one thread. The
figure of a contestant is the least time over all rounds, and a ratio is between two of one run; absolute
times are of little worth on a shared machine. Networks are rebuilt by `networks.py` into --folder.
Semantics: at most one spike a timestep, soft reset, the analog image in each timestep. ONNX Runtime
computes no neurons: it has one copy of the image for each timestep, a lower bound for a network built
on it.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def snnc(args, network, samples, batch, threads=1, kernels="avx512"):
    command = [str(args.bench), str(network), str(samples), "--batch", str(batch)]
    command += ["--threads", str(threads), "--seconds", str(args.seconds)]
    return command, {"SNNC_KERNELS": kernels}


def peer(args, name, model, data, steps, batch, python=None):
    command = [python or sys.executable, str(HERE / "contestant.py"), name, str(model), "--data", str(data)]
    command += ["--steps", str(steps), "--batch", str(batch), "--seconds", str(args.seconds)]
    return command, {}


def once(command, environment):
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["failed"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1]), None


def rows(args):
    """(row, contestant, command and environment); the first contestant of a row is snnc."""
    for name, steps, batches in [("A", 32, [1]), ("B", 16, [1]), ("C", 4, [1, 32])]:
        net, snn, x = (args.folder / f"{name}.{end}" for end in ("npz", "snn", "f32"))
        for batch in batches:
            row = f"{name}, batch {batch}"
            yield row, "snnc", snnc(args, snn, x, batch)
            yield row, "snnc avx2", snnc(args, snn, x, batch, kernels="avx2")
            model = args.folder / f"{name}-int8.onnx"
            yield row, "ort int8 T copies", peer(args, "ort", model, net, steps, batch)
            yield row, "spikingjelly", peer(args, "sj", net, net, steps, batch, args.torch_python)
            if batch == 32:
                yield row, "snnc 2 threads", snnc(args, snn, x, batch, threads=2)
    models = args.shared / "models"
    for name, model, peers, data in [
        ("fmnist_lenet", "trained/fmnist_lenet_w4a4_qcdq.onnx", ["u8s8_qdq", "int8_qdq", "int8_qoperator"], "fashion-mnist-test-10000"),
        ("cifar resnet8", "cifar/cifar10_resnet8_w8a8_ptq_qcdq.onnx", [], "cifar10-test-800"),
    ]:
        model, data = models / model, args.shared / "data" / f"{data}.npz"
        if not model.exists():
            continue
        out = args.folder / model.stem
        if not (out / "reference/network.snn").exists():
            subprocess.run([str(args.snnc), "compile", str(model), "--target", "reference", "-o", str(out)], check=True)
        pixels = np.load(data)["x"][:64].astype(np.float32) / np.float32(255)
        pixels.tofile(out.with_suffix(".f32"))
        for batch in [1, 32]:
            row = f"{name}, batch {batch}"
            yield row, "snnc", snnc(args, out / "reference/network.snn", out.with_suffix(".f32"), batch)
            yield row, "ort same file", peer(args, "ort", model, data, 1, batch)
            for p in peers:
                other = model.with_name(f"fmnist_lenet_{p}_ort.onnx")
                yield row, f"ort {p}", peer(args, "ort", other, data, 1, batch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--folder", type=Path, default=ROOT / "target/bench")
    parser.add_argument("--bench", type=Path, default=ROOT / "target/release/snnc-bench")
    parser.add_argument("--snnc", type=Path, default=ROOT / "target/release/snnc")
    parser.add_argument("--torch-python", default=sys.executable, help="a Python with torch and spikingjelly")
    parser.add_argument("--only", default="", help="rows that begin so, separated by commas")
    args = parser.parse_args()
    subprocess.run([sys.executable, str(HERE / "networks.py"), str(args.folder)], check=True)
    wanted = tuple(args.only.split(","))
    contestants = [r for r in rows(args) if r[0].startswith(wanted)]
    best, why = {}, {}
    for round_ in range(args.rounds):
        order = [c for c in contestants if c[:2] not in why]
        random.shuffle(order)
        for row, name, (command, environment) in order:
            found, fault = once(command, environment)
            if fault:
                why[row, name] = fault
                print(f"skipped: {row}, {name}: {fault}", flush=True)
                continue
            known = best.setdefault((row, name), found)
            best[row, name] = {k: min(found[k], known[k]) for k in found}
    model = [l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")]
    print(f"{model[0] if model else platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'network':24} {'contestant':20} {'min ms':>9} {'median':>9}  peer/snnc  snnc/peer")
    for row, name, _ in contestants:
        if (row, name) not in best:
            continue
        b, own = best[row, name], best.get((row, "snnc"))
        # Where snnc was skipped there is nothing to hold the peer against.
        ratio = b["min"] / own["min"] if own else float("nan")
        print(f"{row:24} {name:20} {b['min']:9.4f} {b['median']:9.4f}  {ratio:9.2f}  {1 / ratio:9.2f}")


if __name__ == "__main__":
    main()
