"""What is written is what ``docs/formats.md`` says."""

from __future__ import annotations

import copy
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc
from snnc import _native

from conftest import DIGITS, FLOAT, ROOT, model

jsonschema = pytest.importorskip("jsonschema")

DOCS = ROOT / "docs"
DATA = str(DIGITS / "digits-test-360.npz")


def validator(name: str) -> Any:
    path = DOCS / ("certificate.schema.json" if name == "certificate" else f"schemas/{name}.schema.json")
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def answer(*arguments: str) -> Any:
    try:
        return json.loads(_native.execute([*arguments, "--format", "json"])[0])
    except snnc.Error as error:
        # Where some targets refuse, or a check fails, there is an answer too.
        return json.loads(error.answer)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("made")
    snnc.compile(model("digits_mlp_w4a4_qcdq"), target=["spleat", "loihi", "reference"], output=folder)
    signed = snnc.compile(model("digits_mlp_w4a4_qcdq"), target="reference", coding="signed-rate")
    paths = {name: str(folder / name) for name in ("spleat", "loihi", "reference")}
    return {**paths, "signed": str(signed.save(folder / "signed"))}


def commands(made: dict[str, str], folder: Path) -> list[list[str]]:
    spleat, loihi, quantised = made["spleat"], made["loihi"], str(model("digits_mlp_w4a4_qcdq"))
    floating, few = str(model(FLOAT)), ["--limit", "12"]
    spiking = str(ROOT / "testsuite" / "cases" / "spiking" / "snntorch_step_zero_ts.onnx")
    return [
        ["compile", quantised, "--target", "all", "-o", str(folder / "a")],
        ["compile", quantised, "--target", "spleat", "--data", DATA, "-o", str(folder / "b"), "--emit", "onnx"],
        ["compile", spiking, "--target", "reference", "-o", str(folder / "c")],
        ["inspect", quantised],
        ["inspect", floating],
        ["inspect", spiking],
        *(["inspect", path] for path in made.values()),
        ["run", spleat, "--input", DATA, *few],
        ["run", made["signed"], "--input", DATA, "--settle", *few],
        ["run", floating, "--input", DATA, *few],
        ["eval", spleat, "--data", DATA, *few],
        ["eval", loihi, "--data", DATA, "--no-reference", *few],
        ["eval", made["reference"], "--data", DATA, "--certify-labels", *few],
        ["eval", quantised, "--data", DATA, *few],
        ["calibrate", floating, "--data", DATA, "-o", str(folder / "a.stats"), *few],
        ["verify", spleat, "--against", quantised],
        ["verify", spleat, "--against", quantised, "--data", DATA, *few],
        ["report", spleat, "-o", str(folder / "r.html")],
        ["compare", spleat, quantised, "--data", DATA, *few],
        ["diff", spleat, loihi, "--input", DATA, *few],
        ["diff", spleat, made["reference"], "--input", DATA, *few],
        ["certify", spleat, "--smt", str(folder / "smt")],
        ["explore", quantised, "--data", DATA, *few],
        ["targets"],
        ["targets", "loihi"],
        ["fit", "swish"],
        ["passes"],
    ]


def test_every_answer_in_json_is_what_its_schema_says(made: dict[str, str], tmp_path: Path) -> None:
    seen, wrong = set(), []
    for line in commands(made, tmp_path):
        errors = [(list(e.path), e.message[:200]) for e in validator(line[0]).iter_errors(answer(*line))]
        wrong += [(line[:2], error) for error in errors]
        seen.add(line[0])
    assert not wrong, wrong
    there = {path.name.split(".")[0] for path in (DOCS / "schemas").glob("*.json")}
    assert seen == there - {"manifest"}


def test_manifests_and_certificates_are_what_their_schemas_say(made: dict[str, str], tmp_path: Path) -> None:
    folders = [Path(path) for path in made.values()]
    for folder in folders:
        validator("manifest").validate(json.loads(_native.manifest(folder / "manifest.yaml")))
        validator("certificate").validate(json.loads((folder / "certificate.json").read_text()))


def test_what_is_another_key_or_kind_is_refused(made: dict[str, str]) -> None:
    found = answer("eval", made["spleat"], "--data", DATA, "--limit", "3")
    validator("eval").validate(found)
    for change in (
        lambda f: f.pop("latency"),
        lambda f: f.update(another=1),
        lambda f: f["per_layer"][0].update(neurons="many"),
        lambda f: f["per_layer"][0].pop("name"),
    ):
        other = copy.deepcopy(found)
        change(other)
        assert not validator("eval").is_valid(other)


def test_keys_of_arrays_are_those_of_the_page(made: dict[str, str], tmp_path: Path) -> None:
    out, trace = tmp_path / "out.npz", tmp_path / "trace.npz"
    line = ["run", made["spleat"], "--input", DATA, "--limit", "5", "-o", str(out), "--trace", str(trace)]
    _native.execute(line)
    with np.load(out) as arrays:
        assert set(arrays.files) == {"output", "logits", "codes", "prediction"}
        assert arrays["output"].shape == (5, 10) and arrays["output"].dtype == np.float32
        assert arrays["codes"].dtype == np.int64 and arrays["prediction"].shape == (5,)
    manifest = json.loads(_native.manifest(Path(made["spleat"]) / "manifest.yaml"))
    names = {row["name"] for row in manifest["populations"]}
    with np.load(trace) as arrays:
        assert names <= set(arrays.files) and all(a.ndim >= 3 and a.dtype == np.int64 for a in arrays.values())


def test_networks_are_read_by_the_published_schema(made: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "checker"))
    from snnc_check import wire

    graph = wire.read((Path(made["spleat"]) / "source.snn").read_bytes())
    assert graph is not None


def test_links_of_the_page_lead_somewhere() -> None:
    page = (DOCS / "formats.md").read_text()
    links = re.findall(r"\]\(([^)#]+)", page)
    assert len(links) > 15 and all((DOCS / link).exists() for link in links)
    assert "formats.md" in (DOCS / "SUMMARY.md").read_text()
