"""Artefacts of the digits networks, compiled by the binary under test."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "checker"), str(ROOT / "checker/tests")]
MODELS = ROOT / "examples/digits"
BINARIES = [ROOT / "target/release/snnc", ROOT / "target/debug/snnc"]


def binary():
    """`SNNC`, else the newest binary that cargo built."""
    named = os.environ.get("SNNC")
    built = [named] if named else sorted((b for b in BINARIES if b.exists()), key=lambda b: -b.stat().st_mtime)
    if not built:
        pytest.fail("no snnc binary: cargo build --bin snnc, or set SNNC")
    return str(built[0])


def model(name):
    return MODELS / f"{name}.onnx"


class Artefacts:
    def __init__(self, folder):
        self.folder, self.made = folder, {}

    def __call__(self, name, target, code, timesteps=None, path=None):
        """The folder of an artefact, or None where the target refuses the network."""
        key = (name, target, code, timesteps)
        if key not in self.made:
            out = self.folder / "-".join(map(str, key))
            command = [binary(), "compile", path or model(name), "--target", target, "--code", code, "-o", out, "-j", "1"]
            done = subprocess.run([*command, *(["--timesteps", str(timesteps)] if timesteps else [])], capture_output=True)
            assert done.returncode in (0, 3), done.stderr.decode()
            self.made[key] = out / target if done.returncode == 0 else None
        return self.made[key]


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory):
    return Artefacts(tmp_path_factory.mktemp("artefacts"))


@pytest.fixture
def copy(tmp_path):
    """A copy of an artefact that may be changed."""
    def make(folder, name="copy"):
        out = tmp_path / name
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(folder, out)
        return out
    return make


def sha(content):
    return hashlib.sha256(content).hexdigest()


def sign(folder):
    """Makes every checksum right again: what is left to find is what the numbers say."""
    import zlib

    path = folder / "manifest.json"
    if path.exists():
        manifest = json.loads(path.read_text())
        for layer in manifest["layers"]:
            memories, first = [], None
            for f in layer["files"]:
                if f["format"] != "mem":
                    continue
                lines = (folder / f["path"]).read_text().splitlines()
                words = [int(l, 16) for l in lines if not l.startswith("//")]
                each = min(-(-f["width"] // 8), 8)
                memories.append((f, lines[0], words, each))
            content = lambda words, each: b"".join(w.to_bytes(8, "little")[:each] for w in words)
            if memories and memories[0][0]["kind"] == "configuration":
                words = memories[0][2]
                words[30] = 0
                words[30] = zlib.crc32(b"".join(content(w, e) for _, _, w, e in memories))
                f, head, _, _ = memories[0]
                (folder / f["path"]).write_text("\n".join([head, *(f"{w:08X}" for w in words)]) + "\n")
            for f, _, words, each in memories:
                f["crc32"] = f"{zlib.crc32(content(words, each)):08x}"
                f["sha256"] = sha((folder / f["path"]).read_bytes())
        path.write_text(json.dumps(manifest, indent=2) + "\n")
    path = folder / "certificate.json"
    certificate = json.loads(path.read_text())
    for f in certificate["files"]:
        f["sha256"] = sha((folder / f["path"]).read_bytes())
    path.write_text(json.dumps(certificate, indent=2) + "\n")
    sign_manifest(folder)


def sign_manifest(folder):
    """The sums in `manifest.yaml`, for snnc itself."""
    lines, name = [], None
    for line in (folder / "manifest.yaml").read_text().splitlines():
        if line.startswith("- path: "):
            name = line[8:].strip("'\"")
        elif name and line.startswith("  bytes: "):
            line = f"  bytes: {(folder / name).stat().st_size}"
        elif name and line.startswith("  sha256: "):
            line = f"  sha256: {sha((folder / name).read_bytes())}"
        elif not line.startswith("  "):
            name = None
        lines.append(line)
    (folder / "manifest.yaml").write_text("\n".join(lines) + "\n")
