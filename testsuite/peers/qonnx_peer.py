"""Runs a model in the executor of the package `qonnx`.

    python qonnx_peer.py MODEL NUMBERS

NUMBERS holds the input's elements as the integers that their 32 bits are, in the order of memory.
Prints a line for each output: its name, and its elements in the same form.
"""

import pathlib
import sys

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx


def main(model, numbers):
    wrapper = ModelWrapper(model)
    given = wrapper.graph.input[0]
    shape = [d.dim_value for d in given.type.tensor_type.shape.dim]
    bits = np.array(pathlib.Path(numbers).read_text().split(), dtype=np.uint32)
    found = execute_onnx(wrapper, {given.name: bits.view(np.float32).reshape(shape)})
    for name, value in found.items():
        elements = np.ascontiguousarray(value, dtype=np.float32).reshape(-1).view(np.uint32)
        print(name, *elements)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
