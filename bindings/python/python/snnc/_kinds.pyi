"""The types of arguments: options of commands by their names, which a test holds against the command line."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypeAlias, TypedDict

from snnc._commands import Statistics

Path_: TypeAlias = str | PathLike[str]
Progress: TypeAlias = bool | Callable[[str, int, int], object] | None
# An array or a tensor (N, ..), a pair of samples and labels, arrays by the names of inputs, or a path.
Samples: TypeAlias = Any
# A path, bytes, an onnx.ModelProto, a nir.NIRGraph, a torch.nn.Module, or a network that was loaded.
Model: TypeAlias = Any

class ImportOptions(TypedDict, total=False):
    dim: Mapping[str, int]
    input_shape: Mapping[str, Sequence[int]]
    no_mmap: bool

class _DataOptions(ImportOptions, total=False):
    limit: int
    input_scale: float
    input_offset: float
    config: Path_

class _QuantiseOptions(TypedDict, total=False):
    payload_bits: int | Literal["auto"]
    site_bits: Mapping[str, int]
    budget: Mapping[str, float]
    weight_bits: int
    layer_bits: Mapping[str, int]
    rounding: Literal["second-order", "nearest"]
    threshold: str
    granularity: Literal["layer", "channel"]
    no_bias_correction: bool
    calibration: Samples
    statistics: Statistics | Path_

class CompileOptions(_QuantiseOptions, ImportOptions, total=False):
    data: Samples
    config: Path_
    coding: Literal[
        "graded",
        "few-spikes",
        "rate",
        "rate-sync",
        "signed-rate",
        "sigma-delta",
        "multi-level",
        "atif",
    ]
    timesteps: int
    initial: Literal["half", "zero"]
    reset: Literal["soft", "hard"]
    leak: int
    device: str
    hw: Path_
    reference: Literal["ort", "real", "fixed"]
    set: Mapping[str, object]
    emit: Literal["onnx"]
    force: bool
    all_or_nothing: bool
    print_after: str
    print_after_all: bool

class CalibrateOptions(_DataOptions, total=False):
    shard: str
    sensitivity: bool

class ExploreOptions(_DataOptions, total=False):
    target: str
    calibration: Samples
    weight_bits: int
    profile: str
    cycle_samples: int

class VerifyOptions(_DataOptions, total=False):
    calibration: Samples
    reference: Literal["ort", "real", "fixed"]
    peer: Sequence[str]
    allow_approximate: bool
