"""Models and samples that are in memory, as files that commands read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnc._errors import InputError, Problem, usage

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt


class Files:
    """A folder that is there while a command runs."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._count = 0

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def path(self, name: str) -> Path:
        """A path of that name, in a folder of its own."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="snnc-")
        self._count += 1
        folder = Path(self._folder.name, str(self._count))
        folder.mkdir()
        return folder / name

    @staticmethod
    def takes(value: object) -> bool:
        """Whether a value is samples in memory."""
        return isinstance(value, (tuple, list, Mapping)) or _is_array(value)

    def samples(self, value: object) -> str:
        """The path of samples: a path, an array ``x`` (N, ..), a pair ``(x, y)``, or a dict of arrays."""
        if isinstance(value, (str, os.PathLike)):
            return os.fspath(value)
        import numpy as np

        if isinstance(value, Mapping):
            arrays = {str(name): array(item) for name, item in value.items()}
        elif isinstance(value, tuple) and len(value) == 2:
            arrays = {"x": array(value[0]), "y": array(value[1])}
        else:
            arrays = {"x": array(value)}
        path = self.path("samples.npz")
        np.savez(path, **arrays)  # type: ignore[arg-type]
        return str(path)

    def model(self, model: object, example: object = None) -> str:
        """The path of a model: a path, bytes, an ``onnx.ModelProto``, a ``nir.NIRGraph``, a
        ``torch.nn.Module`` with an example of its input, or a network that was loaded."""
        if isinstance(model, (str, os.PathLike)):
            return os.fspath(model)
        if isinstance(model, (bytes, bytearray, memoryview)):
            return self._written("model.onnx", bytes(model))
        path = getattr(model, "path", None)
        if isinstance(path, Path):
            return str(path)
        kinds = {f"{kind.__module__.split('.')[0]}.{kind.__name__}" for kind in type(model).__mro__}
        if "onnx.ModelProto" in kinds or hasattr(model, "SerializeToString"):
            return self._written("model.onnx", model.SerializeToString())  # type: ignore[attr-defined]
        if "nir.NIRGraph" in kinds:
            import nir

            path = self.path("model.nir")
            nir.write(path, model)
            return str(path)
        if "torch.Module" in kinds:
            if example is None:
                reason = "is a torch.nn.Module, whose shapes only an example shows"
                raise usage("model", reason, "give example=, an input with a batch of one")
            from snnc import torch

            return self._written("model.onnx", torch.export(model, example).SerializeToString())
        reason = f"is a {type(model).__module__}.{type(model).__name__}"
        help = "give a path, bytes, an onnx.ModelProto, a nir.NIRGraph or a torch.nn.Module"
        raise usage("model", reason, help)

    def _written(self, name: str, content: bytes) -> str:
        path = self.path(name)
        path.write_bytes(content)
        return str(path)


def _is_array(value: object) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "__dlpack__")


def array(value: object) -> npt.NDArray[Any]:
    """An array in NumPy, contiguous and in the machine's byte order. NumPy arrays that are so, and tensors
    of other packages (through DLPack), are not copied.

    Raises:
        InputError: when it is none.
    """
    import numpy as np

    found: npt.NDArray[Any]
    if isinstance(value, np.ndarray):
        found = value
    elif hasattr(value, "__dlpack__"):
        if getattr(value, "requires_grad", False):
            value = value.detach()  # type: ignore[attr-defined]
        try:
            found = np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            reason = f"cannot be read: {error}"
            raise InputError([Problem("array", reason, "move it to the processor's memory")]) from error
    else:
        found = np.asarray(value)
    if found.dtype.kind not in "biuf":
        reason = f"has elements of type {found.dtype}"
        raise InputError([Problem("array", reason, "give numbers, in one shape")])
    if not found.dtype.isnative:
        found = found.astype(found.dtype.newbyteorder("="))
    return np.ascontiguousarray(found) if not found.flags.c_contiguous else found
