"""Networks that are loaded, and what they answer."""

from __future__ import annotations

import contextlib
import html
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from snnc import _native
from snnc._errors import usage
from snnc._inputs import Files, array
from snnc._options import arguments
from snnc._progress import shown

if TYPE_CHECKING:
    import nir
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Self, Unpack

    from snnc._kinds import Model, Progress, Samples, VerifyOptions


def _view(raw: Any) -> npt.NDArray[Any]:
    """The bytes of an array as that array."""
    _, data, kind, shape = raw
    return cast("npt.NDArray[Any]", data.view(kind).reshape(shape))


def _remove(folder: str) -> None:
    """Removes a folder, and the one around it with the last."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(folder))


class Trace(Mapping[str, "npt.NDArray[np.int64]"]):
    """What every encoder and population sent: integers of shape ``(N, T, ..)`` by name. The samples are run
    once more, timestep by timestep, when the first of them is asked for."""

    def __init__(self, network: Network, x: object) -> None:
        self._network, self._x = network, x
        self._arrays: dict[str, npt.NDArray[np.int64]] | None = None

    def _found(self) -> dict[str, npt.NDArray[np.int64]]:
        if self._arrays is None:
            self._arrays = self._network._traced(self._x)
            self._x = None
        return self._arrays

    def __getitem__(self, name: str) -> npt.NDArray[np.int64]:
        return self._found()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())


class Result:
    """What a network answered to ``N`` samples.

    Attributes:
        outputs: every output by its ONNX name, of the model's shapes and types; the first also as ``output``.
        trace: what every encoder and population sent, ``(N, T, ..)`` by name.
        timesteps: after how many timesteps each sample was answered, where the network says it.
    """

    __slots__ = ("_arrays", "timesteps", "trace")

    def __init__(
        self, arrays: dict[str, npt.NDArray[Any]], timesteps: Sequence[int], trace: Trace
    ) -> None:
        self._arrays, self.timesteps, self.trace = arrays, timesteps, trace

    @property
    def outputs(self) -> dict[str, npt.NDArray[Any]]:
        """Every output by its ONNX name, the first also as ``output``."""
        return {n: a for n, a in self._arrays.items() if n not in ("codes", "prediction")}

    @property
    def output(self) -> npt.NDArray[Any]:
        """The first output: one row of scores ``(N, classes)`` for a classifier."""
        return self._arrays["output"]

    @property
    def codes(self) -> npt.NDArray[np.int64] | None:
        """The integers that were read out for the first output; none for a continuous-time network."""
        return self._arrays.get("codes")

    @property
    def prediction(self) -> npt.NDArray[np.int64] | None:
        """The number of the largest score of each sample, ``(N,)``, -1 where a score is NaN; none where the
        first output is no vector of scores."""
        return self._arrays.get("prediction")

    def __repr__(self) -> str:
        shapes = ", ".join(f"{n} {a.dtype}{list(a.shape)}" for n, a in self._arrays.items())
        return f"<snnc.Result: {shapes}>"


class Evaluation(dict[str, Any]):
    """What ``snnc eval --format json`` says: ``top1`` and ``top5`` in percent, ``spikes_per_neuron``,
    ``synaptic_operations``, ``energy_nj`` by profile, ``per_layer``, and more (docs/formats.md)."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Network:
    """A network that answers samples: an ONNX model, an artefact, or a file of a target.

    Attributes:
        path: the file or folder.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        input_scale: float | None = None,
        input_offset: float | None = None,
        dim: Mapping[str, int] | None = None,
        input_shape: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.path = Path(path)
        self._feed = {
            "input_scale": input_scale,
            "input_offset": input_offset,
            "dim": dim,
            "input_shape": input_shape,
        }
        shapes = {name: list(shape) for name, shape in (input_shape or {}).items()}
        opened = _native.Network.open(self.path, dim or {}, shapes, input_scale, input_offset)
        self._native = opened
        self._answer = opened.answer if opened is not None else None
        self._shape = tuple(opened.input_shape) if opened is not None else None

    def run(self, x: Samples, **options: Any) -> Result:
        """Answers samples.

        Args:
            x: samples ``(N, ..)``, or one sample of the network's input shape: a NumPy array, a tensor of
                another package (through DLPack), or for several inputs a dict of arrays by their ONNX names.
                Whole numbers for an input of reals are scaled as the artefact says, else by 1/255. An array
                that is contiguous is not copied.
            options: of the command ``run``, for networks in time: ``timesteps``, ``dt``, ``bin_us``, ..

        Raises:
            InputError: when a sample does not fit, or has NaN or an infinity.
        """
        if self._answer is None or options or isinstance(x, (Mapping, str, os.PathLike)):
            return self._run_by_command(x, options)
        samples = self._samples(x)
        raw, timesteps = self._answer(samples)
        return Result({r[0]: _view(r) for r in raw}, timesteps, Trace(self, x))

    def _samples(self, x: object) -> npt.NDArray[Any]:
        """The samples in the order of their elements, the first dimension counting them."""
        samples = array(x)
        return samples.reshape(1, *samples.shape) if samples.shape == self._shape else samples

    def _run_by_command(
        self, x: object, options: Mapping[str, Any], trace: bool = False
    ) -> Result:
        import numpy as np

        with Files() as files:
            out = files.path("answers.npz")
            line = ["run", str(self.path), "--input", files.samples(x), "--format", "json", "-o", str(out)]
            if trace:
                spikes = files.path("trace.npz")
                line += ["--trace", str(spikes)]
            line += arguments("run", {**self._feed, **options}, files)
            answer, _ = _native.execute(line)
            with np.load(spikes if trace else out) as written:
                arrays = {name: written[name] for name in written.files}
        said = json.loads(answer) if answer.strip() else {}
        timesteps = said.get("settled") or said.get("timesteps") or []
        return Result(arrays, timesteps, Trace(self, x))

    def _traced(self, x: object) -> dict[str, npt.NDArray[np.int64]]:
        if self._native is None or isinstance(x, (Mapping, str, os.PathLike)):
            return self._run_by_command(x, {}, trace=True)._arrays
        return {raw[0]: _view(raw) for raw in self._native.trace(self._samples(x))}

    def evaluate(
        self,
        x: Samples,
        y: object = None,
        *,
        reference: bool = True,
        jobs: int | None = None,
        progress: Progress = None,
    ) -> Evaluation:
        """Runs labelled samples and sums up.

        Args:
            x: samples ``(N, ..)`` as :meth:`run` takes them, or the path of an ``.npz`` with ``x`` and ``y``.
            y: labels ``(N,)``, whole numbers from 0; without them there is no accuracy.
            reference: also run the quantised network of an artefact, and count the codes that differ.
            jobs: number of threads, at most that of the cores; all without.
            progress: True shows a bar of tqdm if it is installed; or a function of what is done, the steps
                done and their number.
        """
        with shown(progress) as tell:
            if self._native is not None and not isinstance(x, (Mapping, str, os.PathLike)):
                labels = None if y is None else [int(label) for label in array(y).reshape(-1)]
                answer = self._native.evaluate(self._samples(x), labels, reference, jobs, tell)
                return Evaluation(json.loads(answer))
            with Files() as files:
                data = files.samples(x if y is None else (x, y))
                line = ["eval", str(self.path), "--data", data, "--format", "json"]
                line += arguments("eval", {**self._feed, "no_reference": not reference}, files)
                return Evaluation(json.loads(_native.execute(line, jobs, tell)[0]))

    def energy(self, x: Samples, profile: str = "hardware", **options: Any) -> dict[str, Any]:
        """Energy of one sample in nJ, in the mean of these samples: ``total_nj``, by layer and by term.

        Args:
            x: samples as :meth:`evaluate` takes them.
            profile: whose figures are taken; :meth:`evaluate` gives those of all.
        """
        energy = self.evaluate(x, reference=False, **options)["energy"]
        found = {row["profile"]: row for row in energy}
        if profile not in found:
            raise usage("profile", f"there is no profile `{profile}`", _native.advice(profile, list(found)))
        return cast("dict[str, Any]", found[profile])

    def report(
        self, path: str | os.PathLike[str], x: Samples | None = None, y: object = None
    ) -> Path:
        """Writes a page on the network, that needs nothing but itself.

        Args:
            path: where the page goes, ``.html``.
            x: samples for accuracy, activity and energy; a page without them shows the network alone.
            y: their labels.
        """
        with Files() as files:
            line = ["report", str(self.path), "-o", os.fspath(path)]
            if x is not None:
                line += ["--data", files.samples(x if y is None else (x, y))]
            _native.execute(line)
        return Path(path)

    def __repr__(self) -> str:
        return f"<snnc.Network: {self.path.name}>"

    def _repr_html_(self) -> str:
        """The report for notebooks, in a frame of its own."""
        with Files() as files:
            page = self.report(files.path("report.html")).read_text()
        style = "width:100%;height:640px;border:0"
        return f'<iframe style="{style}" srcdoc="{html.escape(page)}"></iframe>'


class Artefact(Network):
    """What ``compile`` made for one target: a folder with the target's files, a manifest and a certificate.

    Attributes:
        path: the folder; a temporary one lives as long as this object.
        notes: what the compiler wants its user to know, each as (place, text).
        evaluation: what was seen on the samples of ``data=``, if any were given.
    """

    def __init__(self, path: str | os.PathLike[str], **feed: Any) -> None:
        super().__init__(path, **feed)
        self.notes: list[tuple[str, str]] = []
        self.evaluation: Evaluation | None = None
        self._manifest: dict[str, Any] | None = None
        self._certificate: dict[str, Any] | None = None

    def _owning(self, folder: str) -> Self:
        """Removes the folder with this object."""
        weakref.finalize(self, _remove, folder)
        return self

    @property
    def manifest(self) -> dict[str, Any]:
        """What ``manifest.yaml`` says (docs/formats.md)."""
        if self._manifest is None:
            self._manifest = json.loads(_native.manifest(self.path / "manifest.yaml"))
        return self._manifest

    @property
    def certificate(self) -> dict[str, Any]:
        """What ``certificate.json`` says (docs/certificate.md): ``verdict`` and the populations."""
        if self._certificate is None:
            self._certificate = json.loads((self.path / "certificate.json").read_text())
        return self._certificate

    @property
    def target(self) -> str:
        """Name of the target."""
        return str(self.manifest["target"])

    @property
    def files(self) -> dict[str, bytes]:
        """The content of every file of the folder, by its path inside."""
        found = (path for path in sorted(self.path.rglob("*")) if path.is_file())
        return {path.relative_to(self.path).as_posix(): path.read_bytes() for path in found}

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Copies the artefact to a folder that is not there yet, or holds an artefact.

        Raises:
            UsageError: when the folder holds anything else.
        """
        to = Path(folder)
        if to.exists() and not (to / "manifest.yaml").is_file():
            raise usage(f"`{to}`", "holds no artefact", "choose another folder")
        if to.exists() and to.resolve() == self.path.resolve():
            return to
        to.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: written next to the folder, then renamed.
        beside = Path(tempfile.mkdtemp(prefix=".snnc-", dir=to.parent))
        try:
            shutil.copytree(self.path, beside / "new")
            if to.exists():
                to.rename(beside / "old")
            (beside / "new").rename(to)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return to

    def verify(
        self,
        model: Model,
        data: Samples | None = None,
        *,
        example: object = None,
        **options: Unpack[VerifyOptions],
    ) -> dict[str, Any]:
        """Holds the artefact against the model; the certificate that this gives.

        Args:
            model: what it was compiled from, as :func:`snnc.compile` takes it.
            data: samples for a cross-check.
            options: as those of ``snnc verify``.

        Raises:
            CheckFailed: when a population differs or is approximate; ``allow_approximate=True`` lets those
                pass that the certificate names.
        """
        with Files() as files:
            line = ["verify", str(self.path), "--against", files.model(model, example)]
            line += ["--format", "json"]
            if data is not None:
                line += ["--data", files.samples(data)]
            line += arguments("verify", options, files)
            return cast("dict[str, Any]", json.loads(_native.execute(line)[0]))

    def to_nir(self) -> nir.NIRGraph:
        """The network as NIR says it; soft resets and payloads, which NIR has no words for, are in the
        metadata of the graph.

        Raises:
            UnsupportedError: for neurons that NIR does not have.
        """
        import nir

        with Files() as files:
            path = files.path("network.nir")
            path.write_bytes(_native.nir_of(self.path))
            return cast("nir.NIRGraph", nir.read(path))

    def __repr__(self) -> str:
        return f"<snnc.Artefact: {self.target}, {self.certificate['verdict']}>"
