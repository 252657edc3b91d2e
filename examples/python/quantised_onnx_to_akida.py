"""A quantised ONNX network to Akida: what is proved, what differs, and the files.

    python examples/python/quantised_onnx_to_akida.py [FOLDER]

Needs `snnc` alone. The last step takes an installation of the vendor's package of your own, and is left out without.
"""

# %% A network whose weights and activations have 4 bits, and images it was not trained on.
import sys
from pathlib import Path

import numpy as np

import snnc

DIGITS = Path(__file__).parents[1] / "digits"
model = DIGITS / "digits_cnn_w4a4_qcdq.onnx"
with np.load(DIGITS / "digits-test-360.npz") as data:
    images, labels = data["x"], data["y"]

# %% Compile it for both generations; the images measure what differs.
made = snnc.compile(model, target=["akida1", "akida2"], data=(images, labels))
for target, artefact in made.items():
    summary = artefact.manifest["certificate"]
    print(
        f"{target}: {summary['verdict']}, {summary['proved']} populations proved, {summary['differs']} differ; "
        f"top-1 {artefact.evaluation.top1:.2f} %, "
        f"{artefact.evaluation.mismatches_vs_reference} of {artefact.evaluation.activations_compared} codes differ"
    )

# %% Hold the files of the first against the model once more.
print("verified:", made["akida1"].verify(model)["verdict"])

# %% Keep them.
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "akida-artefacts")
for target, artefact in made.items():
    print("saved to", artefact.save(folder / target))

# %% In the vendor's package.
import snnc.akida  # noqa: E402

try:
    snnc.akida.load(made["akida1"]).summary()
except snnc.UsageError as error:
    print(error.problems[0].reason)
