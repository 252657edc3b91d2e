"""Modules of PyTorch as the ONNX models that snnc imports. PyTorch is imported when it is asked for."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from snnc._errors import Problem, UnsupportedError, usage

if TYPE_CHECKING:
    import onnx

# Packages whose neurons keep a membrane potential between calls, by the names of their modules: none is imported.
_SPIKING = ("snntorch", "spikingjelly", "norse", "sinabs", "rockpool", "lava")


def _spiking(module: Any) -> list[tuple[str, str]]:
    """Names and classes of the modules inside that keep a state between calls."""
    return [
        (name or "the module", type(part).__name__)
        for name, part in module.named_modules()
        if type(part).__module__.split(".")[0] in _SPIKING and not list(part.children())
    ]


def export(module: Any, example: Any) -> onnx.ModelProto:
    """The ONNX model of a module that keeps nothing between calls.

    Args:
        module: a ``torch.nn.Module``; it is exported as in ``eval()``, and left in the mode that it had.
        example: one input, or a tuple of inputs, with a batch of one.

    Raises:
        UsageError: where PyTorch, ``onnx`` or ``onnxscript`` is not installed.
        UnsupportedError: for modules with spiking neurons, whose membrane potential an export of one call
            leaves out; ``examples/export`` shows how such networks are exported with it.
    """
    try:
        import onnx
        import torch
    except ImportError as error:
        raise usage("torch", f"{error.name} is not installed", "pip install torch onnx onnxscript") from None
    reason = "keeps its membrane potential between calls, which an export of one call leaves out"
    remedy = "export all timesteps, or the state as inputs and outputs: see examples/export"
    problems = [Problem(f"{kind} `{name}`", reason, remedy) for name, kind in _spiking(module)]
    if problems:
        raise UnsupportedError(problems)
    inputs = example if isinstance(example, tuple) else (example,)
    training = module.training
    module.eval()
    try:
        written = io.BytesIO()
        program = torch.onnx.export(module, inputs, dynamo=True, external_data=False, verbose=False)
        program.save(written)
    finally:
        module.train(training)
    return onnx.load_model_from_string(written.getvalue())
