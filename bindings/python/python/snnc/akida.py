"""Artefacts of the targets ``akida1`` and ``akida2`` in the vendor's package, which is no part of snnc: it is imported,
from an installation of the user's own, when it is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnc._errors import InputError, Problem, usage
from snnc._network import Artefact, Network

if TYPE_CHECKING:
    from snnc._kinds import Path_

_SCHEMA = ("snnc-akida", 1)


def described(artefact: Artefact | Path_, version: str) -> dict[str, Any]:
    """The dict that ``akida.Model.from_dict`` of that version takes, from the files of an artefact.

    Raises:
        InputError: when they are of another schema, or contradict each other.
        UsageError: for the artefact of another target.
    """
    import numpy as np

    folder = artefact.path if isinstance(artefact, Network) else Path(artefact)
    specification = folder / "model.spec.json"
    if not specification.is_file():
        raise usage("artefact", "is not for Akida", "compile the model with target='akida1' or 'akida2'")
    spec = json.loads(specification.read_text())
    if (spec.get("schema"), spec.get("schema_version")) != _SCHEMA:
        reason = f"is of another schema than {_SCHEMA[0]} {_SCHEMA[1]}"
        raise InputError([Problem(f"`{specification}`", reason, "compile the model again")])
    layers = []
    with np.load(folder / spec["data"]) as arrays:
        for layer in spec["layers"]:
            variables = {}
            for name, variable in layer["variables"].items():
                array = arrays[variable["blob"]]
                if array.dtype != variable["dtype"] or list(array.shape) != variable["shape"]:
                    place, reason = f"`{layer['name']}`", f"{name} is not what the specification says"
                    raise InputError([Problem(place, reason, "compile the model again")])
                # Bits that hold the values at least; floating point numbers have 0.
                bits = 0 if array.dtype.kind == "f" else 8 * array.dtype.itemsize
                shape, kind = variable["shape"], variable["dtype"]
                variables[name] = {"shape": shape, "dtype": kind, "bitwidth": bits, "data": array.tolist()}
            layers.append({**layer, "variables": variables})
    shapes = {key: spec[key] for key in ("input_shape", "output_shape") if spec.get(key)}
    own = {"Akida version": version, "IP version": spec["IP version"]}
    return {**own, "layers": layers, "learning": None, **shapes}


def load(artefact: Artefact | Path_) -> Any:
    """The network of an artefact as an ``akida.Model``.

    Raises:
        UsageError: for another target, and where the package is not installed.
    """
    folder = artefact.path if isinstance(artefact, Network) else Path(artefact)
    if not (folder / "model.spec.json").is_file():
        raise usage("artefact", "is not for Akida", "compile the model with target='akida1' or 'akida2'")
    try:
        import akida
    except ImportError:
        reason = "the vendor's package is not installed"
        raise usage("akida", reason, "install it yourself: its licence is between you and the vendor") from None
    return akida.Model.from_dict(described(artefact, akida.__version__))
