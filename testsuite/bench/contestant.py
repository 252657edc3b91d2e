"""Times one peer on one network and prints a line of JSON; `compare.py` runs it.

    python contestant.py ort|sj MODEL --data X.npz --steps T --batch N --threads N --seconds S
"""

import argparse
import json
import time

import numpy as np


def ort(args, x):
    """ONNX Runtime, one copy of each image for each timestep; no neurons, so a lower bound."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    feeds = []
    for i in range(0, len(x) - args.batch + 1, args.batch):
        feeds.append({name: np.ascontiguousarray(np.repeat(x[i : i + args.batch], args.steps, 0))})
    return lambda i: session.run(None, feeds[i % len(feeds)])


def sj(args, x):
    """SpikingJelly, all timesteps at once, the first layer computed once."""
    import torch
    from spikingjelly.activation_based import functional, layer, neuron
    from torch import nn

    torch.set_num_threads(args.threads)
    data = np.load(args.model)
    modules = []
    i = 0
    while f"kind_{i}" in data:
        kind = int(data[f"kind_{i}"][0])
        if kind >= 2:
            modules.append((layer.AvgPool2d if kind == 2 else layer.MaxPool2d)(2))
        else:
            w, b = (torch.from_numpy(data[f"{k}_{i}"]) for k in "wb")
            if kind == 0:
                modules.append(layer.Flatten())
                module = layer.Linear(w.shape[1], w.shape[0])
            else:
                module = layer.Conv2d(w.shape[1], w.shape[0], 3, padding=1)
            module.weight, module.bias = nn.Parameter(w), nn.Parameter(b)
            modules.append(module)
            if data[f"t_{i}"][0]:
                modules.append(neuron.IFNode(v_reset=None))
        i += 1
    hoisted = 1 if int(data["kind_0"][0]) else 2
    first = nn.Sequential(*modules[:hoisted]).eval()
    rest = nn.Sequential(*modules[hoisted:]).eval()
    functional.set_step_mode(rest, "m")
    batches = [torch.from_numpy(x[i : i + args.batch]) for i in range(0, len(x) - args.batch + 1, args.batch)]

    def run(i):
        with torch.inference_mode():
            z = first(batches[i % len(batches)])
            out = rest(z.unsqueeze(0).expand(args.steps, *z.shape)).sum(0)
            functional.reset_net(rest)
            return out

    return run


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=["ort", "sj"])
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.5)
    args = parser.parse_args()
    x = np.load(args.data)["x"][:64]
    x = x.astype(np.float32) / 255 if x.dtype == np.uint8 else x.astype(np.float32)
    x = x[:, None] if x.ndim == 3 else x
    run = (ort if args.peer == "ort" else sj)(args, x)
    for i in range(3):
        run(i)
    times = []
    end = time.perf_counter() + args.seconds
    i = 0
    while time.perf_counter() < end:
        t = time.perf_counter()
        run(i)
        times.append(time.perf_counter() - t)
        i += 1
    times.sort()
    print(json.dumps({"min": times[0] * 1e3, "median": times[len(times) // 2] * 1e3}))


if __name__ == "__main__":
    main()
