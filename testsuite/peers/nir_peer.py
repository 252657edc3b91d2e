"""Reads every .nir file of a folder with type checks, and runs lif.nir where a simulator is installed.

lif.txt holds the inputs and the spikes that snnc has for them, one timestep of 4 and of 2 numbers
after the other.
"""

import pathlib
import sys

import nir
import numpy as np


def snntorch_spikes(graph, inputs):
    import torch
    from snntorch.import_nir import import_from_nir

    net, state, sent = import_from_nir(graph), None, []
    for x in inputs:
        out = net(torch.from_numpy(x)[None], state)
        (y, state) = out if isinstance(out, tuple) else (out, None)
        sent.append(y.detach().numpy().reshape(-1))
    return np.stack(sent)


def norse_spikes(graph, inputs):
    import norse.torch
    import torch

    net, state, sent = norse.torch.from_nir(graph, dt=1e-4), None, []
    for x in inputs:
        y, state = net(torch.from_numpy(x)[None], state)
        sent.append(y.detach().numpy().reshape(-1))
    return np.stack(sent)


def main(folder):
    for path in sorted(folder.glob("*.nir")):
        graph = nir.read(path, type_check=True)
        print(f"{path.name}: {len(graph.nodes)} nodes read with type checks")
        again = folder / "again.h5"
        nir.write(again, graph)
        assert sorted(nir.read(again).edges) == sorted(graph.edges)
    rows = [np.array(line.split(), dtype=np.float32) for line in (folder / "lif.txt").open()]
    inputs, expected = rows[0].reshape(-1, 4), rows[1].reshape(-1, 2)
    for name, spikes in [("snntorch", snntorch_spikes), ("norse", norse_spikes)]:
        try:
            __import__(name)
        except ImportError:
            print(f"skipped: {name} is not installed")
            continue
        found = spikes(nir.read(folder / "lif.nir"), inputs)
        differing = int((found != expected).sum())
        print(f"{name}: {differing} of {expected.size} outputs differ, {int(expected.sum())} spikes")
        if differing:
            sys.exit(1)


main(pathlib.Path(sys.argv[1]))
