"""Times one peer on one network and prints a line of JSON; `compare.py` runs it.

    python contestant.py PEER MODEL --data X.npz --steps T --batch N --threads N --seconds S

Times are the least and the median of a call in milliseconds, and the mean time that processors spent on one.
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


def batches(args, x):
    import torch

    torch.set_num_threads(args.threads)
    return [torch.from_numpy(x[i : i + args.batch]) for i in range(0, len(x) - args.batch + 1, args.batch)]


def modules(args, flatten, linear, convolution, average, maximum, fires):
    """The layers of a network in order, made by these functions; after each that fires `fires()`."""
    import torch
    from torch import nn

    data = np.load(args.model)
    made, i = [], 0
    while f"kind_{i}" in data:
        kind = int(data[f"kind_{i}"][0])
        if kind >= 2:
            made.append((average if kind == 2 else maximum)(2))
        else:
            w, b = (torch.from_numpy(data[f"{k}_{i}"]) for k in "wb")
            if kind == 0:
                made.append(flatten())
                module = linear(w.shape[1], w.shape[0])
            else:
                module = convolution(w.shape[1], w.shape[0], 3, padding=1)
            module.weight, module.bias = nn.Parameter(w), nn.Parameter(b)
            made.append(module)
            if data[f"t_{i}"][0]:
                made.append(fires())
        i += 1
    return made


def plain(args, fires):
    """The layers of torch itself."""
    from torch import nn

    return modules(args, nn.Flatten, nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.MaxPool2d, fires)


def sj(args, x):
    """SpikingJelly: step by step (`single`), all timesteps at once (`multi`), or that with the first layer
    computed once (`first`)."""
    import torch
    from spikingjelly.activation_based import functional, layer, neuron
    from torch import nn

    x = batches(args, x)
    fires = lambda: neuron.IFNode(v_reset=None)
    made = modules(args, layer.Flatten, layer.Linear, layer.Conv2d, layer.AvgPool2d, layer.MaxPool2d, fires)
    # A dense layer has its flattening before it.
    hoisted = (1 if isinstance(made[0], nn.Conv2d) else 2) if args.mode == "first" else 0
    first, rest = nn.Sequential(*made[:hoisted]).eval(), nn.Sequential(*made[hoisted:]).eval()
    if args.mode != "single":
        functional.set_step_mode(rest, "m")

    def run(i):
        with torch.inference_mode():
            z = first(x[i % len(x)])
            if args.mode == "single":
                out = sum(rest(z) for _ in range(args.steps))
            else:
                out = rest(z.unsqueeze(0).expand(args.steps, *z.shape)).sum(0)
            functional.reset_net(rest)
            return out

    return run


def by_hand(args, x):
    """torch alone: all timesteps in the batch, neurons updated in place."""
    import torch
    from torch import nn

    class Fires(nn.Module):
        def forward(self, z):
            z = z.view(args.steps, -1, *z.shape[1:])
            v, sent = torch.zeros_like(z[0]), torch.empty_like(z)
            for t in range(args.steps):
                v += z[t]
                torch.ge(v, 1.0, out=sent[t])
                v -= sent[t]
            return sent.flatten(0, 1)

    x = batches(args, x)
    made = plain(args, Fires)
    at = next(i for i, m in enumerate(made) if isinstance(m, Fires))
    first, rest = nn.Sequential(*made[:at]).eval(), nn.Sequential(*made[at:]).eval()

    def run(i):
        with torch.inference_mode():
            z = first(x[i % len(x)])
            z = z.unsqueeze(0).expand(args.steps, *z.shape).flatten(0, 1)
            return rest(z).view(args.steps, -1, 10).sum(0)

    return run


def sinabs(args, x):
    """sinabs, at most one spike a timestep."""
    import torch
    from sinabs.activation import MembraneSubtract, SingleSpike
    from sinabs.layers import IAFSqueeze
    from torch import nn

    x = batches(args, x)
    fires = lambda: IAFSqueeze(
        num_timesteps=args.steps, spike_fn=SingleSpike, reset_fn=MembraneSubtract(), min_v_mem=None
    )
    network = nn.Sequential(*plain(args, fires)).eval()
    spiking = [m for m in network if isinstance(m, IAFSqueeze)]

    def run(i):
        with torch.inference_mode():
            for m in spiking:
                m.reset_states()
            z = x[i % len(x)]
            out = network(z.repeat_interleave(args.steps, 0))
            return out.view(len(z), args.steps, -1).sum(1)

    return run


def snntorch(args, x):
    """snnTorch, whose networks are stepped by their user."""
    import snntorch as snn
    import torch
    from torch import nn

    x = batches(args, x)
    network = plain(args, lambda: snn.Leaky(beta=1.0, threshold=1.0, reset_mechanism="subtract", init_hidden=True))
    network = nn.Sequential(*network).eval()
    spiking = [m for m in network if isinstance(m, snn.Leaky)]

    def run(i):
        with torch.inference_mode():
            for m in spiking:
                m.reset_mem()
            return sum(network(x[i % len(x)]) for _ in range(args.steps))

    return run


def norse(args, x):
    """Norse, stepped by its user; its neurons reset to 0."""
    import torch
    from norse.torch import IAFCell, SequentialState

    x = batches(args, x)
    network = SequentialState(*plain(args, IAFCell)).eval()

    def run(i):
        with torch.inference_mode():
            out, state = 0, None
            for _ in range(args.steps):
                z, state = network(x[i % len(x)], state)
                out = out + z
            return out

    return run


PEERS = {"ort": ort, "sj": sj, "torch": by_hand, "sinabs": sinabs, "snntorch": snntorch, "norse": norse}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=list(PEERS))
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--mode", choices=["single", "multi", "first"], default="first")
    parser.add_argument("--seconds", type=float, default=1.5)
    args = parser.parse_args()
    x = np.load(args.data)["x"][:64]
    x = x.astype(np.float32) / 255 if x.dtype == np.uint8 else x.astype(np.float32)
    x = x[:, None] if x.ndim == 3 else x
    run = PEERS[args.peer](args, x)
    for i in range(3):
        run(i)
    times = []
    end = time.perf_counter() + args.seconds
    i = 0
    spent = time.process_time()
    while not times or time.perf_counter() < end:
        t = time.perf_counter()
        run(i)
        times.append(time.perf_counter() - t)
        i += 1
    cpu = (time.process_time() - spent) / len(times)
    times.sort()
    print(json.dumps({"min": times[0] * 1e3, "median": times[len(times) // 2] * 1e3, "cpu": cpu * 1e3}))


if __name__ == "__main__":
    main()
