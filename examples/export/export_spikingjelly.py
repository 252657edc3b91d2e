"""Exports a SpikingJelly 2 network to ONNX in a form that snnc imports: all timesteps, unrolled.

    pip install torch spikingjelly onnxscript
    python export_spikingjelly.py snn.onnx
    snnc compile snn.onnx --target reference -o out

In step mode `s` the exporter leaves the membrane potential out, which snnc reports.
"""

import sys

import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

TIMESTEPS = 16
model = nn.Sequential(
    layer.Linear(64, 32),
    neuron.IFNode(v_reset=None),
    layer.Linear(32, 10),
    neuron.LIFNode(tau=2.0),
).eval()
functional.set_step_mode(model, "m")
functional.reset_net(model)
torch.onnx.export(model, (torch.zeros(TIMESTEPS, 1, 64),), sys.argv[1], dynamo=True, external_data=False)
