"""Writes the networks of this folder and the spikes that their own frameworks make of them.

    python make.py snntorch            # snnTorch 1.0
    python make.py spikingjelly        # SpikingJelly 2.0
    python make.py spikingjelly-loop   # SpikingJelly 0.0.0.0.14, exported as ONNX Loop

Each network NAME.onnx has NAME.npz beside it: `x` (T, input), and `spikes` (T, neurons) of the last
layer as the framework itself computed them, one timestep after the other, in single precision.
"""

import sys

import numpy as np
import onnx
import torch
from torch import nn

STEPS = 24
torch.manual_seed(11)
rng = np.random.default_rng(11)


def binary(*shape):
    return torch.from_numpy((rng.random((STEPS, *shape)) < 0.4).astype(np.float32))


def save(name, x, spikes):
    rate = float(spikes.mean())
    if not 0.02 < rate < 0.98:
        raise SystemExit(f"{name}: {rate:.3f} spikes per neuron and timestep test nothing")
    np.savez_compressed(name + ".npz", x=x.numpy(), spikes=spikes.detach().numpy().astype(np.int8))
    print(f"{name}: {rate:.3f} spikes per neuron and timestep")


def export(model, arguments, name, dynamo, **more):
    if dynamo:
        more["external_data"] = False
    torch.onnx.export(model.eval(), arguments, name + ".onnx", dynamo=dynamo, **more)
    tidy(name + ".onnx")


def tidy(path):
    """Takes out what tells of the exporting machine: the source lines beside each node."""
    model = onnx.load(path)

    def clean(graph):
        for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            part.ClearField("doc_string")
            part.ClearField("metadata_props")
            for attribute in getattr(part, "attribute", ()):
                if attribute.type == onnx.AttributeProto.GRAPH:
                    clean(attribute.g)
        graph.ClearField("metadata_props")
        graph.ClearField("doc_string")

    clean(model.graph)
    model.ClearField("metadata_props")
    for function in model.functions:
        function.ClearField("metadata_props")
    onnx.save(model, path)


def grow(model, factor=3.0):
    """Weights large enough that something fires."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                layer.weight *= factor
    return model


def snntorch():
    import snntorch as snn

    class Mlp(nn.Module):
        """Two layers; `inputs` is one timestep with states, or all of them without."""

        def __init__(self, unrolled, **neuron):
            super().__init__()
            self.unrolled = unrolled
            self.fc1, self.fc2 = nn.Linear(8, 12), nn.Linear(12, 5)
            self.lif1, self.lif2 = snn.Leaky(**neuron), snn.Leaky(**neuron)

        def step(self, x, m1, m2):
            z1, m1 = self.lif1(self.fc1(x), m1)
            z2, m2 = self.lif2(self.fc2(z1), m2)
            return z2, m1, m2

        def states(self):
            return torch.zeros(1, 12), torch.zeros(1, 5)

        def forward(self, x, *states):
            if not self.unrolled:
                return self.step(x, *states)
            states, spikes = self.states(), []
            for t in range(x.shape[0]):
                z, *states = self.step(x[t], *states)
                spikes.append(z)
            return torch.stack(spikes)

    class Convolution(Mlp):
        """A convolution and a dense layer."""

        def __init__(self, unrolled, **neuron):
            super().__init__(unrolled, **neuron)
            self.fc1, self.fc2 = nn.Conv2d(1, 3, 3, padding=1, stride=2), nn.Linear(27, 5)

        def step(self, x, m1, m2):
            z1, m1 = self.lif1(self.fc1(x), m1)
            z2, m2 = self.lif2(self.fc2(z1.flatten(1)), m2)
            return z2, m1, m2

        def states(self):
            return torch.zeros(1, 3, 3, 3), torch.zeros(1, 5)

    class Recurrent(nn.Module):
        """A layer whose spikes come back to it through weights."""

        def __init__(self):
            super().__init__()
            self.fc, self.lif = nn.Linear(8, 10), snn.RLeaky(beta=0.8, linear_features=10)

        def step(self, x, z, m):
            return self.lif(self.fc(x), z, m)

        def states(self):
            return torch.zeros(1, 10), torch.zeros(1, 10)

        def forward(self, x, z, m):
            return self.step(x, z, m)

    class Synaptic(nn.Module):
        """Neurons with a synaptic current that decays by itself."""

        def __init__(self):
            super().__init__()
            self.fc, self.lif = nn.Linear(8, 10), snn.Synaptic(alpha=0.7, beta=0.85)

        def step(self, x, i, m):
            return self.lif(self.fc(x), i, m)

        def states(self):
            return torch.zeros(1, 10), torch.zeros(1, 10)

        def forward(self, x, i, m):
            return self.step(x, i, m)

    def record(model, x, name):
        states, spikes = model.states(), []
        for t in range(STEPS):
            outputs = model.step(x[t], *states)
            states = outputs[len(outputs) - len(states) :]
            spikes.append(outputs[0][0])
        save(name, x[:, 0], torch.stack(spikes))

    def write(model, size, name, dynamo):
        x = binary(1, *size)
        model = grow(model)
        unrolled = getattr(model, "unrolled", False)
        with torch.no_grad():
            record(model, x, name)
        arguments = (x,) if unrolled else (x[0], *model.states())
        export(model, arguments, name, dynamo)

    soft, zero = {"beta": 0.9}, {"beta": 0.8, "reset_mechanism": "zero"}
    integrate = {"beta": 1.0, "threshold": 1.5}
    for exporter, dynamo in (("ts", False), ("dynamo", True)):
        write(Mlp(False, **soft), (8,), f"snntorch_step_subtract_{exporter}", dynamo)
        write(Mlp(False, **zero), (8,), f"snntorch_step_zero_{exporter}", dynamo)
        write(Mlp(True, **soft), (8,), f"snntorch_unrolled_subtract_{exporter}", dynamo)
        write(Mlp(True, **zero), (8,), f"snntorch_unrolled_zero_{exporter}", dynamo)
        write(Mlp(False, **integrate), (8,), f"snntorch_step_if_{exporter}", dynamo)
        write(Convolution(False, **soft), (1, 6, 6), f"snntorch_conv_step_{exporter}", dynamo)
        write(Convolution(True, **zero), (1, 6, 6), f"snntorch_conv_unrolled_{exporter}", dynamo)
        write(Recurrent(), (8,), f"snntorch_recurrent_step_{exporter}", dynamo)
        write(Synaptic(), (8,), f"snntorch_synaptic_step_{exporter}", dynamo)


def spikingjelly_networks():
    from spikingjelly.activation_based import layer, neuron

    def mlp(make):
        return nn.Sequential(layer.Linear(8, 12), make(), layer.Linear(12, 5), make())

    def convolution(make):
        return nn.Sequential(
            layer.Conv2d(1, 3, 3, padding=1, stride=2), make(), layer.Flatten(), layer.Linear(27, 5), make()
        )

    kinds = {
        "if_soft": lambda: neuron.IFNode(v_threshold=1.5, v_reset=None),
        "if_hard": lambda: neuron.IFNode(v_reset=0.0),
        "lif_soft": lambda: neuron.LIFNode(tau=2.0, v_reset=None),
        "lif_hard": lambda: neuron.LIFNode(tau=2.0, v_reset=0.0),
        "lif_hard_value": lambda: neuron.LIFNode(tau=3.0, v_reset=-0.25),
        "lif_soft_whole_input": lambda: neuron.LIFNode(tau=2.0, decay_input=False, v_reset=None),
        "lif_hard_whole_input": lambda: neuron.LIFNode(tau=2.0, decay_input=False, v_reset=0.0),
    }
    for kind, make in kinds.items():
        yield f"mlp_{kind}", mlp(make), (8,)
    yield "conv_if_soft", convolution(kinds["if_soft"]), (1, 6, 6)
    yield "conv_lif_hard", convolution(kinds["lif_hard"]), (1, 6, 6)


def spikingjelly(prefix, dynamo, **more):
    from spikingjelly.activation_based import functional

    for name, model, size in spikingjelly_networks():
        x = binary(1, *size)
        model = grow(model).eval()
        functional.set_step_mode(model, "s")
        spikes = torch.zeros(1)
        while spikes.mean() < 0.08:
            functional.reset_net(grow(model, 1.2))
            with torch.no_grad():
                spikes = torch.stack([model(x[t])[0] for t in range(STEPS)])
        save(prefix + name, x[:, 0], spikes)
        functional.reset_net(model)
        functional.set_step_mode(model, "m")
        export(model, (x,), prefix + name, dynamo, **more)
        functional.reset_net(model)
    # One timestep alone: the exporter leaves the membrane potential out.
    functional.set_step_mode(model, "s")
    functional.reset_net(model)
    export(model, (x[0],), prefix + "state_dropped", dynamo, **more)


if __name__ == "__main__":
    for what in sys.argv[1:] or ["snntorch"]:
        if what == "snntorch":
            snntorch()
        elif what == "spikingjelly":
            spikingjelly("spikingjelly_", True)
        elif what == "spikingjelly-loop":
            spikingjelly("spikingjelly_loop_", False)
        else:
            raise SystemExit(f"unknown framework {what}: snntorch, spikingjelly, spikingjelly-loop")
