"""Side-by-side benchmark: snnc, ONNX Runtime and, where torch is installed, SpikingJelly and others.

    cargo build --release --bin snnc --bin snnc-bench
    python testsuite/bench/compare.py [--rounds 5] [--seconds 1.5] [--shared ../shared] [--only A,B]

Every contestant runs in its own process, the order shuffled anew in each round, on one thread. The
figure of a contestant is the least time over all rounds, and a ratio is between two of one run; absolute
times are of little worth on a shared machine. Where the processor was taken away during calls (least
wall time of a round more than 5 % above the mean processor time) the ratio of processor times is the
better one; both are printed. Networks are rebuilt by `networks.py` into --folder.

Semantics: at most one spike a timestep, soft reset, the analog image in each timestep. SpikingJelly and
torch by hand do the same work. Of the others snnTorch resets a timestep later and fires above the
threshold, Norse resets to 0: same cost, other spikes. ONNX Runtime computes no neurons: it has one copy
of the image for each timestep, a lower bound for a network built on it. snnc's networks of f32 compute
what SpikingJelly does, and are held against a reference before anything is timed; its networks of bytes
are quantised.

SpikingJelly is timed in every mode, and in every release that is there: --spikingjelly FOLDER names one
more, as `pip install --no-deps --target FOLDER spikingjelly==0.0.0.0.14` puts it there.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# How many times faster than SpikingJelly's fastest variant; ONNX Runtime's time for the same on bytes.
BARS = {
    "A, batch 1": (35, 0.6),
    "B, batch 1": (15, 0.2),
    "C, batch 1": (10, 0.6),
    "C, batch 32": (6, 0.7),
    "A f32, batch 1": (20, None),
    "C f32, batch 1": (3, None),
    "C f32, batch 32": (2, None),
}


def snnc(args, network, samples, batch, threads=1, kernels="avx512"):
    command = [str(args.bench), str(network), str(samples), "--batch", str(batch)]
    command += ["--threads", str(threads), "--seconds", str(args.seconds)]
    return command, {"SNNC_KERNELS": kernels}


def peer(args, name, model, data, steps, batch, mode="", release=None):
    python = sys.executable if name == "ort" else args.torch_python
    command = [python, str(HERE / "contestant.py"), name, str(model), "--data", str(data)]
    command += ["--steps", str(steps), "--batch", str(batch), "--seconds", str(args.seconds)]
    command += ["--mode", mode] if mode else []
    return command, {"PYTHONPATH": str(release)} if release else {}


def once(command, environment):
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["failed"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1]), None


def spiking_peers(args, net, steps, batch):
    """SpikingJelly in each release and mode, then the others."""
    for release in [None, args.spikingjelly] if args.spikingjelly else [None]:
        for mode in ["first", "multi", "single"] if batch > 1 else ["first", "multi"]:
            name = f"spikingjelly {release.name if release else 'installed'} {mode}"
            yield name, peer(args, "sj", net, net, steps, batch, mode, release)
    for name in ["torch", "sinabs", "snntorch", "norse"] if not args.few and batch == 1 else []:
        yield name, peer(args, name, net, net, steps, batch)


def rows(args):
    """(row, contestant, command and environment); the first contestant of a row is snnc."""
    for name, steps, batches in [("A", 32, [1]), ("B", 16, [1]), ("C", 4, [1, 32])]:
        net, x = args.folder / f"{name}.npz", args.folder / f"{name}.f32"
        for batch in batches:
            for kind, file in [("", f"{name}.snn"), (" f32", f"{name}-f32.snn")]:
                row, network = f"{name}{kind}, batch {batch}", args.folder / file
                yield row, "snnc", snnc(args, network, x, batch)
                yield row, "snnc avx2", snnc(args, network, x, batch, kernels="avx2")
                if batch == 32:
                    yield row, "snnc 2 threads", snnc(args, network, x, batch, threads=2)
                model = args.folder / (f"{name}{'' if kind else '-int8'}.onnx")
                label = f"ort {kind.strip() or 'int8'} T copies"
                yield row, label, peer(args, "ort", model, net, steps, batch)
                for other, command in spiking_peers(args, net, steps, batch):
                    yield row, other, command
    models = args.shared / "models"
    for name, model, peers, data in [
        ("fmnist_lenet", "trained/fmnist_lenet_w4a4_qcdq.onnx", ["u8s8_qdq", "int8_qdq", "int8_qoperator"], "fashion-mnist-test-10000"),
        ("cifar resnet8", "cifar/cifar10_resnet8_w8a8_ptq_qcdq.onnx", [], "cifar10-test-800"),
    ]:
        model, data = models / model, args.shared / "data" / f"{data}.npz"
        if not model.exists() or not name.startswith(args.wanted):
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


def gate(args):
    """Holds the networks of f32 against the reference, which numpy sums in another order."""
    for name in "ABC":
        if not f"{name} f32, batch 1".startswith(args.wanted):
            continue
        data, y = np.load(args.folder / f"{name}.npz"), args.folder / f"{name}-f32.y"
        command = [str(args.bench), str(args.folder / f"{name}-f32.snn"), str(args.folder / f"{name}.f32")]
        done = subprocess.run([*command, "--results", str(y)], capture_output=True, text=True, check=True)
        found = np.fromfile(y, np.float32).reshape(len(data["x"]), -1)
        off = np.abs(found - data["y"]).max(1)
        same = (found.argmax(1) == data["y"].argmax(1)).mean()
        # Populations that average or read out are no part of the reference.
        rates = json.loads(done.stdout)["rates"]
        fires = [i for i, r in enumerate(firing(data)) if r]
        apart = np.abs(np.array(rates)[fires] / data["rates"] - 1).max()
        print(
            f"{name} f32 against numpy: {(off > 1e-4).sum()} of {len(off)} images more than 1e-4 apart (by"
            f" {off.max():.2g} at most), same class {same:.1%}, firing rates at most {apart:.3%} apart"
        )
        if apart > 0.005 or same < 0.9:
            sys.exit(f"{name} f32 does not compute what it should: nothing is timed")


def firing(data):
    """Whether each population fires, in the order of the network."""
    i = 0
    while f"kind_{i}" in data:
        kind = int(data[f"kind_{i}"][0])
        if kind != 3:
            yield kind < 2 and bool(data[f"t_{i}"][0])
        i += 1


def whole_process(args):
    """Least and median seconds of whole processes that answer for one image of network A."""
    image = args.folder / "A-one.npz"
    np.savez(image, x=np.load(args.folder / "A.npz")["x"][:1])
    print("\nwhole process, one image of network A (s)")
    for name in ["A.snn", "A-f32.snn"]:
        command = [str(args.snnc), "run", str(args.folder / name), "--input", str(image)]
        times = []
        for _ in range(20):
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True)
            times.append(time.perf_counter() - start)
            if done.returncode:
                sys.exit(f"{' '.join(command)}: {done.stderr}")
        times.sort()
        verdict = "holds" if times[10] < 0.05 else "does not hold"
        print(f"snnc run {name:12} {times[0]:.4f} median {times[10]:.4f}  (below 0.05: {verdict})")
    net = args.folder / "A.npz"
    command, environment = peer(args, "sj", net, net, 32, 1, "first", args.spikingjelly)
    command[command.index("--seconds") + 1] = "0"
    start = time.perf_counter()
    found, fault = once(command, environment)
    shown = f"{time.perf_counter() - start:.2f}" if found else f"skipped: {fault}"
    print(f"spikingjelly          {shown}")


def table(contestants, best):
    """Prints all figures and whether the bars hold."""
    print(f"\n{'network':24} {'contestant':34} {'min ms':>9} {'median':>9} {'cpu':>9}  peer/snnc  by cpu")
    verdicts = []
    for row in dict.fromkeys(c[0] for c in contestants):
        own, jelly, ort = best.get((row, "snnc")), [], None
        for _, name, _ in (c for c in contestants if c[0] == row):
            b = best.get((row, name))
            if b is None:
                continue
            # Where snnc was skipped there is nothing to hold the peer against.
            ratio = {k: b[k] / own[k] if own and k in b and k in own else float("nan") for k in ("min", "cpu")}
            cpu = b.get("cpu", float("nan"))
            print(f"{row:24} {name:34} {b['min']:9.4f} {b['median']:9.4f} {cpu:9.4f}  {ratio['min']:9.2f}  {ratio['cpu']:6.2f}")
            if name.startswith("spikingjelly"):
                jelly.append((b["min"], ratio["min"], ratio["cpu"], name))
            if name.startswith("ort") and own:
                ort = 1 / ratio["min"]
        times, share = BARS.get(row, (None, None))
        if times and jelly:
            _, ratio, cpu, name = min(jelly)
            verdict = "holds" if ratio >= times else "does not hold"
            verdicts.append(f"{row:18} {ratio:6.1f}x ({cpu:.1f}x by processor time) {name}; at least {times}x: {verdict}")
        if share and ort:
            verdict = "holds" if ort <= share else "does not hold"
            verdicts.append(f"{row:18} {ort:6.2f} of onnxruntime's time; at most {share}: {verdict}")
    print("\n" + "\n".join(verdicts))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--folder", type=Path, default=ROOT / "target/bench")
    parser.add_argument("--bench", type=Path, default=ROOT / "target/release/snnc-bench")
    parser.add_argument("--snnc", type=Path, default=ROOT / "target/release/snnc")
    parser.add_argument("--torch-python", default=sys.executable, help="a Python with torch and spikingjelly")
    parser.add_argument("--spikingjelly", type=Path, help="a folder with another release of spikingjelly")
    parser.add_argument("--few", action="store_true", help="of spiking peers SpikingJelly alone")
    parser.add_argument("--process", action="store_true", help="time whole processes, nothing else")
    parser.add_argument("--only", default="", help="rows that begin so, separated by commas")
    args = parser.parse_args()
    args.wanted = tuple(args.only.split(","))
    subprocess.run([sys.executable, str(HERE / "networks.py"), str(args.folder)], check=True)
    if args.process:
        return whole_process(args)
    gate(args)
    contestants = [r for r in rows(args) if r[0].startswith(args.wanted)]
    # A contestant that stands in two rows runs once a round.
    runs = {json.dumps(c[2]): c for c in contestants}
    known, why = {}, set()
    for _ in range(args.rounds):
        order = [key for key in runs if key not in why]
        random.shuffle(order)
        for key in order:
            row, name, (command, environment) = runs[key]
            found, fault = once(command, environment)
            if fault:
                why.add(key)
                print(f"skipped: {row}, {name}: {fault}", flush=True)
                continue
            before = known.setdefault(key, found)
            known[key] = {k: min(found[k], before[k]) for k in found}
    best = {c[:2]: known[json.dumps(c[2])] for c in contestants if json.dumps(c[2]) in known}
    model = [l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")]
    print(f"{model[0] if model else platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    table(contestants, best)


if __name__ == "__main__":
    main()
