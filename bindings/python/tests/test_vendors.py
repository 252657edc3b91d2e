"""Loaders for the packages of others, which stand in here: neither is installed."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

import snnc
import snnc.akida
import snnc.lava

from conftest import ROOT, model


@pytest.fixture(scope="module")
def loihi() -> snnc.Artefact:
    return snnc.compile(model("digits_mlp_w4a4_qcdq"), target="loihi")


@pytest.fixture(scope="module")
def akida1() -> snnc.Artefact:
    return snnc.compile(model("digits_cnn_w4a4_qcdq"), target="akida1")


def test_lava_gets_the_file_and_the_options(loihi: snnc.Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, object]] = []
    hdf5 = types.ModuleType("lava.lib.dl.netx.hdf5")
    hdf5.Network = lambda **options: made.append(options) or "network"
    names = ["lava", "lava.lib", "lava.lib.dl", "lava.lib.dl.netx"]
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["lava.lib.dl.netx"], "hdf5", hdf5, raising=False)
    monkeypatch.setitem(sys.modules, "lava.lib.dl.netx.hdf5", hdf5)
    assert snnc.lava.load(loihi, reset_interval=17) == "network"
    assert snnc.lava.load(loihi.path / "network.net") == "network"
    assert made[0]["reset_interval"] == 17
    assert made[0]["net_config"] == made[1]["net_config"] and Path(str(made[0]["net_config"])).is_file()


def test_akida_gets_the_dict_that_the_example_makes(akida1: snnc.Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    akida = types.ModuleType("akida")
    akida.__version__ = "2.15.0"
    akida.Model = types.SimpleNamespace(from_dict=lambda content: content)
    monkeypatch.setitem(sys.modules, "akida", akida)
    space: dict[str, object] = {"__name__": "example"}
    exec((ROOT / "examples" / "akida" / "load_akida_spec.py").read_text(), space)
    assert snnc.akida.load(akida1) == space["model_dict"](akida1.path, "2.15.0")


def test_other_targets_and_missing_packages_are_told(
    loihi: snnc.Artefact, akida1: snnc.Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for load, artefact in ((snnc.lava.load, akida1), (snnc.akida.load, loihi), (snnc.akida.load, tmp_path)):
        with pytest.raises(snnc.UsageError) as caught:
            load(artefact)
        assert "is not for" in caught.value.problems[0].reason
    monkeypatch.setitem(sys.modules, "lava", None)
    monkeypatch.setitem(sys.modules, "akida", None)
    for load, artefact in ((snnc.lava.load, loihi), (snnc.akida.load, akida1)):
        with pytest.raises(snnc.UsageError) as caught:
            load(artefact)
        assert "not installed" in caught.value.problems[0].reason


def test_a_damaged_specification_is_refused(akida1: snnc.Artefact, tmp_path: Path) -> None:
    folder = akida1.save(tmp_path / "akida1")
    spec = folder / "model.spec.json"
    spec.write_text(spec.read_text().replace('"snnc-akida"', '"another"'))
    with pytest.raises(snnc.InputError):
        snnc.akida.described(folder, "2.15.0")
