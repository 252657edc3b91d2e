"""Bits of a float network: calibration over shards on Dask, then accuracy against spikes for each width.

    python examples/python/calibrate_bits_on_dask.py

Needs `snnc` and `dask[distributed]`; without Dask the shards run one after the other, to the same bytes.
"""

# %%
import importlib.util
from pathlib import Path

import numpy as np

import snnc
import snnc.distributed

DIGITS = Path(__file__).parents[1] / "digits"
model = DIGITS / "digits_cnn_bn_float.onnx"
with np.load(DIGITS / "digits-test-360.npz") as data:
    images, labels = data["x"], data["y"]


def main() -> None:
    engine = "dask" if importlib.util.find_spec("distributed") else None

    # %% What the populations send on the training images, over four shards.
    statistics = snnc.distributed.calibrate(model, DIGITS / "digits-train-1437.npz", engine=engine, shards=4)
    print(statistics.summary["samples"], "samples on", engine or "this process")

    # %% The same statistics serve every width.
    for bits in (2, 3, 4, 8):
        artefact = snnc.compile(model, target="spleat", statistics=statistics, payload_bits=bits)
        found = artefact.evaluate(images, labels, reference=False)
        print(f"{bits} bits: top-1 {found.top1:.2f} %, {found.spikes_per_neuron:.3f} spikes per neuron")


if __name__ == "__main__":
    main()
