"""Modules of PyTorch, where it is installed; spiking ones are known by the package that they are from."""

from __future__ import annotations

import subprocess
import sys
import types

import numpy as np
import pytest

import snnc
import snnc.torch


def test_spiking_modules_are_refused_with_what_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "onnx"):
        if name not in sys.modules:
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))

    class Leaky:
        __module__ = "snntorch._neurons.leaky"

        def children(self) -> list[object]:
            return []

    class Model:
        def named_modules(self) -> list[tuple[str, object]]:
            return [("", self), ("lif1", Leaky()), ("lif2", Leaky())]

        def children(self) -> list[object]:
            return [1]

    with pytest.raises(snnc.UnsupportedError) as caught:
        snnc.torch.export(Model(), None)
    assert [p.place for p in caught.value.problems] == ["Leaky `lif1`", "Leaky `lif2`"]
    assert "membrane potential" in caught.value.problems[0].reason


def test_without_pytorch_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(snnc.UsageError) as caught:
        snnc.torch.export(object(), None)
    assert "not installed" in caught.value.problems[0].reason


def test_a_module_needs_an_example() -> None:
    class Module:
        __module__ = "torch.nn.modules.module"

    with pytest.raises(snnc.UsageError) as caught:
        snnc.inspect(Module())
    assert "example=" in caught.value.problems[0].remedy


def test_an_ann_answers_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    torch.manual_seed(1)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(128, 10),
    ).train()
    x = torch.rand(32, 1, 8, 8)
    artefact = snnc.compile(module, target="spleat", example=x[:1], calibration=x, payload_bits=8)
    assert module.training, "the mode is the one it had"
    expected = module.eval()(x).detach().numpy()
    answered = artefact.run(x).output
    assert np.abs(answered - expected).max() < 0.1 * np.abs(expected).max()
    assert (answered.argmax(1) == expected.argmax(1)).mean() > 0.9
