"""Every mutant is refuted or refused, unless it computes the same, which other evidence must then show.

A few are made, with `SNNC_LONG=1` 1,000. All checksums are made right again, so what is left to find is what the numbers say.
"""

import os
import subprocess

import numpy as np
import pytest
from conftest import ROOT, binary, model, sign, sign_manifest
from mutants import KINDS, mutate

from snnc_check.check import check
from snnc_check.common import Refused

LONG = bool(os.environ.get("SNNC_LONG"))
COUNT = 1000 if LONG else 72
SUBJECTS = [("reference", "graded"), ("spleat", "multi-level"), ("akida1", "graded"), ("nir", "graded"), ("akida2", "graded"),
            ("loihi", "sigma-delta"), ("reference", "few-spikes"), ("spleat", "few-spikes"), ("akida1", "graded"), ("nir", "multi-level"),
            ("akida2", "graded"), ("loihi", "sigma-delta"), ("reference", "rate-sync"), ("spleat", "rate-sync"),
            ("reference", "signed-rate"), ("reference", "multi-level"), ("reference", "sigma-delta")]
# Pairs, of which one gives its files to the other.
NAMES = {"digits_cnn_w2a2_qcdq": "digits_cnn_w4a4_qcdq", "digits_cnn_w4a4_qcdq": "digits_cnn_w2a2_qcdq", "digits_mlp_w4a4_qcdq": "digits_cnn_w4a4_qcdq"}


def same_function(folder, original, name, tmp_path):
    """Whether snnc, which shares no code with the checker, proves the mutant too, and runs it alike."""
    sign_manifest(folder)
    proof = subprocess.run([binary(), "verify", folder, "--against", model(name), "-q"], capture_output=True, text=True)
    if proof.returncode not in (0, 1):
        return f"snnc refuses it: {proof.stderr}"
    rng = np.random.default_rng(3)
    pixels = np.load(ROOT / "examples/digits/digits-test-360.npz")["x"]
    np.savez(tmp_path / "x.npz", x=np.concatenate([pixels, rng.integers(0, 256, (200, 1, 8, 8)).astype(np.uint8)]))
    outputs = []
    for i, artefact in enumerate((folder, original)):
        out = tmp_path / f"o{i}.npz"
        subprocess.run([binary(), "run", artefact, "--input", tmp_path / "x.npz", "-o", out, "-q"], check=True, capture_output=True)
        outputs.append(np.load(out)["output"])
    if not np.array_equal(*outputs):
        return "its outputs differ"
    before = subprocess.run([binary(), "verify", original, "--against", model(name), "-q"], capture_output=True)
    return None if proof.returncode == before.returncode else f"snnc does not prove it: {proof.stdout}"


def verdict(folder, name):
    try:
        answers = check(folder, model(name))
    except Refused as e:
        return "refused", str(e)
    wrong = [a for a in answers if a["answer"] == "refuted"]
    if wrong:
        assert all(w.get("witness") or w["why"] for w in wrong)
        return "refuted", wrong[0]["why"]
    if any(a["answer"] != "confirmed" for a in answers):
        return "open", str([a for a in answers if a["answer"] != "confirmed"])
    return "confirmed", ""


def test_mutants_are_found(artefacts, copy, tmp_path):
    rng, done, tally, escaped = np.random.default_rng(1), 0, {}, []
    for round_ in range(20 * COUNT):
        if done == COUNT:
            break
        target, code = SUBJECTS[done % len(SUBJECTS)]
        name = list(NAMES)[int(rng.integers(len(NAMES)))]
        kind = KINDS[int(rng.integers(len(KINDS)))]
        original, other = artefacts(name, target, code), artefacts(NAMES[name], target, code)
        if original is None:
            continue
        folder = copy(original)
        what = mutate(target, folder, rng, kind, other)
        if what is None:
            continue
        done += 1
        sign(folder)
        answer, why = verdict(folder, name)
        if answer == "confirmed":
            fault = same_function(folder, original, name, tmp_path)
            answer = "same function" if fault is None else "escaped"
            why = fault
        if answer in ("open", "escaped"):
            escaped.append((name, target, code, kind, what, answer, why))
        for key in (target, kind):
            tally[key, answer] = tally.get((key, answer), 0) + 1
    print(f"{done} mutants:", {f"{t} {a}": n for (t, a), n in sorted(tally.items())})
    assert done == COUNT
    assert not escaped, "\n".join(map(str, escaped))
    assert sum(tally.get((t, "refuted"), 0) for t, _ in set(SUBJECTS)) > COUNT // 3


@pytest.mark.parametrize("target", ["reference", "spleat", "nir", "akida1", "loihi"])
def test_a_changed_byte_without_new_sums_is_refused(artefacts, copy, target):
    folder = copy(artefacts("digits_cnn_w2a2_qcdq", target, "multi-level" if target == "spleat" else "sigma-delta" if target == "loihi" else "graded"))
    path = max((p for p in folder.iterdir() if p.name not in ("certificate.json", "manifest.yaml", "source.snn")), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Refused, match="SHA-256"):
        check(folder, model("digits_cnn_w2a2_qcdq"))


@pytest.mark.parametrize("target,code", [("reference", "graded"), ("spleat", "multi-level"), ("nir", "graded"), ("akida1", "graded")])
def test_damaged_files_are_refused(artefacts, copy, target, code):
    """Cut short or with bytes changed anywhere, files are refused or refuted; nothing else is raised."""
    original, rng = artefacts("digits_cnn_w2a2_qcdq", target, code), np.random.default_rng(5)
    for i in range(12):
        folder = copy(original)
        files = sorted(p for p in folder.iterdir() if p.name not in ("manifest.yaml", "source.snn", "certificate.json"))
        path = files[int(rng.integers(len(files)))]
        content = bytearray(path.read_bytes())
        if i % 2:
            content = content[:int(rng.integers(len(content)))]
        else:
            content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            sign(folder)
        except (ValueError, KeyError, IndexError, TypeError, OverflowError):
            continue  # not even readable enough to sign
        answer, _ = verdict(folder, "digits_cnn_w2a2_qcdq")
        assert answer in ("refused", "refuted", "confirmed")
