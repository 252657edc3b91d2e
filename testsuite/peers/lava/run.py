"""Runs .net files in Lava NetX on the CPU, in fixed point, and writes down every step.

    python run.py JOBS.json

JOBS.json is a list of jobs:
    net      the .net file; each path once, since NetX never closes it
    input    .npy, integers: spikes or values (T, C, H, W) or (T, N), or biases (C, H, W) or (N)
    kind     "spikes" into the first layer, "values" into a Delta input, "bias" of LIF input neurons
    steps    number of timesteps T
    reset    optional: [interval, offset] of NetX
    may_warn optional: go on when NetX says that it changes weights
    output   .npz to write: for each block i with neurons `spikes.i`, and `u.i` and `v.i` (LIF) or
             `sigma.i`, `act.i` and `residue.i` (sigma-delta), of shape (T, C, H, W) or (T, N)
"""

import io as text_io
import json
import sys
from contextlib import redirect_stdout

import shim  # noqa: F401
import numpy as np
from lava.lib.dl import netx
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc import io

STATES = ("u", "v", "sigma", "act", "residue")


def channel_last(x):
    """(C, H, W) to (W, H, C); vectors stay."""
    return x.transpose(2, 1, 0) if x.ndim == 3 else x


def with_time_last(x):
    """(T, C, H, W) to (W, H, C, T), (T, N) to (N, T)."""
    return np.moveaxis(np.stack([channel_last(frame) for frame in x]), 0, -1)


def run(job):
    x = np.load(job["input"])
    options = {}
    if "reset" in job:
        options = {"reset_interval": job["reset"][0], "reset_offset": job["reset"][1]}
    said = text_io.StringIO()
    with redirect_stdout(said):
        net = netx.hdf5.Network(net_config=job["net"], **options)
    if "WARN" in said.getvalue().upper() and not job.get("may_warn"):
        raise RuntimeError(f"{job['net']}: NetX warns: {said.getvalue()}")
    steps = job["steps"]
    if job["kind"] == "bias":
        net.in_layer.neuron.bias_mant.init = channel_last(x).astype(np.int32)
    else:
        source = io.source.RingBuffer(data=with_time_last(x).astype(np.int32))
        target = net.in_layer.neuron.a_in if job["kind"] == "values" else net.inp
        source.s_out.connect(target)
    blocks = [b for b in net.layers if hasattr(b, "neuron")]
    sinks = []
    for block in blocks:
        sink = io.sink.RingBuffer(shape=block.out.shape, buffer=steps)
        block.out.connect(sink.a_in)
        sinks.append(sink)
    record = {}
    config = Loihi2SimCfg(select_tag="fixed_pt")
    try:
        for _ in range(steps):
            net.run(condition=RunSteps(num_steps=1), run_cfg=config)
            for i, block in enumerate(blocks):
                for state in STATES:
                    variable = getattr(block.neuron, state, None)
                    if variable is not None and hasattr(variable, "get"):
                        value = np.array(variable.get())
                        record.setdefault(f"{state}.{i}", []).append(channel_last(value))
        for i, sink in enumerate(sinks):
            data = np.moveaxis(sink.data.get(), -1, 0)
            record[f"spikes.{i}"] = [channel_last(frame) for frame in data]
    finally:
        net.stop()
    np.savez(job["output"], **{k: np.array(v).astype(np.int64) for k, v in record.items()})


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    for job in jobs:
        run(job)
        print(job["net"], flush=True)
