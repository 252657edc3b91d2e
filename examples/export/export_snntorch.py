"""Exports an snnTorch network to ONNX in a form that snnc imports: one timestep, states in and out.

    pip install torch snntorch onnxscript
    python export_snntorch.py snn.onnx
    snnc compile snn.onnx --target reference -o out
"""

import sys

import snntorch as snn
import torch
from torch import nn


class Step(nn.Module):
    """One timestep. Every membrane potential is an input and an output: what is not shown is lost."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(64, 32), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(32, 10), snn.Leaky(beta=0.9, reset_mechanism="zero")

    def forward(self, x, mem1, mem2):
        spikes1, mem1 = self.lif1(self.fc1(x), mem1)
        spikes2, mem2 = self.lif2(self.fc2(spikes1), mem2)
        return spikes2, mem1, mem2


model = Step().eval()
example = (torch.zeros(1, 64), torch.zeros(1, 32), torch.zeros(1, 10))
torch.onnx.export(model, example, sys.argv[1], dynamo=True, external_data=False)
