"""Builds the Akida model of a `model.spec.json` of snnc, runs it, maps it, saves it.

For an installation of the vendor's `akida` package of your own, whose licence is between you and the
vendor; snnc neither has nor needs it. Examples:

    python load_akida_spec.py out/akida1 --run samples.npy --output answers.npy
    python load_akida_spec.py out/akida2 --map SixNodesIPv2
    python load_akida_spec.py out/akida2 --save model.fbz

`samples.npy` holds what the input layer takes, shaped (samples, rows, columns, channels): pixels 0 to
255 of an input convolution, otherwise the payloads of an InputData layer. The answers are those of
`predict`, or of `forward` where the last layer has an activation.

Exit code: 0 if all went well, 2 for wrong use, 3 if the model does not fit the device (the reason is on
standard error), 4 if the files cannot be read or are refused.
"""

import argparse
import json
import pathlib
import sys

SCHEMA = ("snnc-akida", 1)


def model_dict(folder, version):
    """The dictionary that `akida.Model.from_dict` takes, from the two files in `folder`."""
    import numpy as np

    spec = json.loads((folder / "model.spec.json").read_text())
    if (spec.get("schema"), spec.get("schema_version")) != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA[0]} {SCHEMA[1]}")
    arrays = np.load(folder / spec["data"])
    layers = []
    for layer in spec["layers"]:
        variables = {}
        for name, variable in layer["variables"].items():
            array = arrays[variable["blob"]]
            if array.dtype != variable["dtype"] or list(array.shape) != variable["shape"]:
                raise ValueError(f"{layer['name']}: {name} is not what the specification says")
            variables[name] = {
                "shape": variable["shape"],
                "dtype": variable["dtype"],
                # Bits that hold the values at least; floating point numbers have 0.
                "bitwidth": 0 if array.dtype.kind == "f" else 8 * array.dtype.itemsize,
                "data": array.tolist(),
            }
        layers.append({**layer, "variables": variables})
    shapes = {key: spec[key] for key in ("input_shape", "output_shape") if spec.get(key)}
    own = {"Akida version": version, "IP version": spec["IP version"]}
    return {**own, "layers": layers, "learning": None, **shapes}


def answers(model, samples):
    """What the model says to `samples`: an array (samples, ...)."""
    if model.layers[-1].parameters.layer_type == _type("Dequantizer"):
        return model.predict(samples)
    if getattr(model.layers[-1].parameters, "activation", 0):
        return model.forward(samples)
    return model.predict(samples)


def _type(name):
    import akida

    return getattr(akida.LayerType, name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="folder of an akida1 or akida2 artefact")
    parser.add_argument("--run", metavar="X.npy", help="samples to run on the software backend")
    parser.add_argument("--output", metavar="Y.npy", help="where the answers go [default: printed]")
    parser.add_argument("--map", metavar="DEVICE", help="virtual device to map onto, as AKD1000")
    parser.add_argument("--save", metavar="MODEL.fbz", help="where the model goes in the vendor's form")
    args = parser.parse_args()
    try:
        import akida
        import numpy as np
    except ImportError as error:
        print(f"this needs your own installation of akida: {error}", file=sys.stderr)
        return 2
    try:
        model = akida.Model.from_dict(model_dict(args.folder, akida.__version__))
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        print(f"the model cannot be built: {error}", file=sys.stderr)
        return 4
    if args.run:
        found = answers(model, np.load(args.run))
        if args.output:
            np.save(args.output, np.asarray(found).reshape(len(found), -1).astype(np.float32))
        else:
            print(np.asarray(found).reshape(len(found), -1))
    if args.map:
        device = getattr(akida, args.map, None)
        if device is None:
            print(f"akida has no device {args.map}", file=sys.stderr)
            return 2
        try:
            # Without hw_only, layers that do not fit would silently run in software.
            model.map(device(), hw_only=True, mode=akida.MapMode.Minimal)
        except RuntimeError as error:
            print(f"does not fit {args.map}: {error}", file=sys.stderr)
            return 3
        print(f"fits {args.map}")
    if args.save:
        model.save(args.save)
    return 0


if __name__ == "__main__":
    sys.exit(main())
