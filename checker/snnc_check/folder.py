"""The files of an artefact."""

import io
import pathlib
import zipfile
import zlib

import numpy as np

from . import akida, loihi, nir, spleat, wire
from .common import MALFORMED, Refused


class Folder:
    """The files of an artefact; what the certificate states the SHA-256 of must have it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def bytes(self, name):
        if "\\" in name or name.startswith("/") or ".." in name.split("/"):
            raise Refused(f"a file `{name}` outside the artefact")
        try:
            return (self.path / name).read_bytes()
        except OSError as e:
            raise Refused(f"{name} cannot be read: {e.strerror}") from e

    def text(self, name):
        try:
            return self.bytes(name).decode()
        except UnicodeDecodeError as e:
            raise Refused(f"{name} is no text") from e

    def arrays(self, name):
        try:
            with np.load(io.BytesIO(self.bytes(name)), allow_pickle=False) as archive:
                return {k: archive[k] for k in archive.files}
        except (ValueError, OSError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile, SyntaxError) as e:
            raise Refused(f"{name} is no NPZ archive: {e}") from e

    def network(self, names):
        for name, read in (("network.snn", lambda: wire.read(self.bytes("network.snn"))), ("manifest.json", lambda: spleat.read(self)),
                           ("model.spec.json", lambda: akida.read(self)), ("network.nir", lambda: nir.read(self.bytes("network.nir"))),
                           ("network.net", lambda: loihi.read(self.bytes("network.net"), self.text("manifest.yaml"), names))):
            if (self.path / name).exists():
                try:
                    return read()
                except MALFORMED as e:
                    raise Refused(f"{name}: {type(e).__name__}: {e}") from e
        raise Refused(f"{self.path} holds no artefact")

    def remainders(self, host):
        """What `host.snn` adds first of all to a decoder's scores, by the decoder's name."""
        found, nodes = {}, host["nodes"] if host else []
        for i, node in enumerate(nodes):
            users = [n for n in nodes if any(s == i for s, _ in n["operands"])]
            if node["op"] != "input" or len(users) != 1 or users[0]["op"] != "binary" or users[0]["parameters"] != "add":
                continue
            others = [nodes[s]["data"] for s, _ in users[0]["operands"] if s != i]
            if len(others) == 1 and others[0] is not None:
                found[node["name"]] = others[0].astype(np.float64).ravel()
        return found
