"""The commands that make something: their arguments are those of the command line."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from snnc import _native
from snnc._errors import Error, usage
from snnc._inputs import Files
from snnc._network import Artefact, Evaluation, Network
from snnc._options import arguments
from snnc._progress import shown

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from snnc._kinds import (
        CalibrateOptions,
        CompileOptions,
        ExploreOptions,
        ImportOptions,
        Model,
        Path_,
        Progress,
        Samples,
    )


@overload
def compile(
    model: Model,
    *,
    target: str,
    example: object = None,
    output: Path_ | None = None,
    jobs: int | None = None,
    progress: Progress = None,
    **options: Unpack[CompileOptions],
) -> Artefact: ...
@overload
def compile(
    model: Model,
    *,
    target: Sequence[str],
    example: object = None,
    output: Path_ | None = None,
    jobs: int | None = None,
    progress: Progress = None,
    **options: Unpack[CompileOptions],
) -> dict[str, Artefact]: ...
def compile(
    model: Model,
    *,
    target: str | Sequence[str],
    example: object = None,
    output: Path_ | None = None,
    jobs: int | None = None,
    progress: Progress = None,
    **options: Unpack[CompileOptions],
) -> Artefact | dict[str, Artefact]:
    """Compiles a model for a target.

    Args:
        model: a path (ONNX, or NIR for ``target="nir"``), the bytes of an ONNX file, an ``onnx.ModelProto``,
            a ``nir.NIRGraph``, or a ``torch.nn.Module`` with ``example``.
        target: ``reference``, ``loihi``, ``akida1``, ``akida2``, ``spleat`` or ``nir``; for a list of them the
            answer is a dict by target.
        example: an input of the module, with a batch of one, if the model is a ``torch.nn.Module``.
        output: a folder that keeps the artefacts, each in a folder with its target's name, as ``snnc compile
            -o`` does; else they are in a temporary folder until :meth:`Artefact.save`.
        jobs: number of threads, at most that of the cores; all without.
        progress: True for a bar of tqdm, or a function of what is done, the steps done and their number.
        options: as those of ``snnc compile``, with ``_`` for ``-``: ``data`` and ``calibration`` take arrays
            ``(N, ..)``, pairs ``(x, y)``, dicts of arrays or paths; ``set``, ``site_bits``, ``layer_bits`` and
            ``budget`` dicts.

    Raises:
        UnsupportedError: when the model does not fit the target; ``error.artefacts`` has those of the
            other targets.
        CheckFailed: when a certificate failed.
    """
    targets = [target] if isinstance(target, str) else list(target)
    if not targets:
        raise usage("target", "names no target", "write target='reference'")
    temporary = tempfile.mkdtemp(prefix="snnc-") if output is None else None
    folder = temporary or os.fspath(cast("Path_", output))
    kept: dict[str, Artefact] = {}
    try:
        with Files() as files, shown(progress) as tell:
            line = _line("compile", files, model, example, ["--target", ",".join(targets), "-o", folder], options)
            try:
                answer, notes = _native.execute(line, jobs, tell)
            except Error as error:
                error.artefacts.update(_artefacts(error.answer, [], temporary, kept))
                raise
        made = _artefacts(answer, notes, temporary, kept)
    finally:
        if temporary is not None and not kept:
            shutil.rmtree(temporary, ignore_errors=True)
    one = isinstance(target, str) and target != "all" and "," not in target
    return made[target] if one else made  # type: ignore[index]


# Arguments that a function has besides the options of its command.
_OWN = {
    "compile": ("target", "output", "example"),
    "inspect": ("example",),
    "explore": ("output", "example"),
    "calibrate": ("output", "example"),
}


def _line(
    command: str,
    files: Files,
    model: Model,
    example: object,
    own: Sequence[str],
    options: Mapping[str, object],
) -> list[str]:
    """The line of a command on a model that answers in JSON; ``own`` are the options for which the Python function
    has arguments of its own."""
    line = [command, files.model(model, example), *own, "--format", "json"]
    return line + arguments(command, options, files, _OWN[command])


def _artefacts(
    answer: str, notes: list[tuple[str, str]], temporary: str | None, kept: dict[str, Artefact]
) -> dict[str, Artefact]:
    """The artefacts that ``compile --format json`` says it wrote."""
    try:
        rows = json.loads(answer)
    except json.JSONDecodeError:
        return {}
    for row in rows:
        if row["folder"] is None:
            continue
        artefact = Artefact(row["folder"])
        if temporary is not None:
            artefact._owning(row["folder"])
        artefact.notes = [*notes, *((n["node"], n["text"]) for n in row["manifest"].get("notes", []))]
        if row["evaluation"] is not None:
            artefact.evaluation = Evaluation(row["evaluation"])
        kept[row["target"]] = artefact
    return kept


def load(
    path: Path_,
    *,
    input_scale: float | None = None,
    input_offset: float | None = None,
    dim: Mapping[str, int] | None = None,
    input_shape: Mapping[str, Sequence[int]] | None = None,
) -> Network:
    """Opens an artefact's folder (an :class:`Artefact`), a file of a target, or a model.

    Args:
        path: the file or folder.
        input_scale: factor for whole numbers given to an input of reals; else the artefact's, or 1/255.
        input_offset: added after the factor.
        dim: sizes of symbolic dimensions of a model.
        input_shape: shapes of a model's inputs.
    """
    kind = Artefact if (Path(path) / "manifest.yaml").is_file() else Network
    return kind(
        path,
        input_scale=input_scale,
        input_offset=input_offset,
        dim=dim,
        input_shape=input_shape,
    )


def inspect(model: Model, *, example: object = None, **options: Unpack[ImportOptions]) -> dict[str, Any]:
    """What is in a model or an artefact, and what each target makes of it: as ``snnc inspect --format json``.

    Args:
        model: as :func:`compile` takes it, or an artefact.
        example: an input of a ``torch.nn.Module``.
    """
    with Files() as files:
        line = _line("inspect", files, model, example, [], options)
        return cast("dict[str, Any]", json.loads(_native.execute(line)[0]))


class Exploration(list[dict[str, Any]]):
    """The points of an exploration, one dict each: ``pandas.DataFrame(points)`` takes them as they are.

    Attributes:
        about: model, target, samples and profile.
        left_out: settings that cannot express the network, with the reason.
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        super().__init__(found["points"])
        self.left_out: list[tuple[str, str]] = [tuple(pair) for pair in found["left_out"]]
        self.about = {k: v for k, v in found.items() if k not in ("points", "left_out")}

    def _repr_html_(self) -> str:
        """A table for notebooks; what another point beats is grey."""
        import html

        shown = ("name", "code", "top1", "latency", "spikes_per_neuron", "image_bits", "cycles")
        head = "".join(f"<th>{name}</th>" for name in shown)

        def cell(value: object) -> str:
            text = f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)
            return f"<td>{html.escape(text)}</td>"

        def row(point: Mapping[str, Any]) -> str:
            grey = ' style="color:grey"' if point["dominated"] else ""
            return f"<tr{grey}>{''.join(cell(point[name]) for name in shown)}</tr>"

        return f"<table><tr>{head}</tr>{''.join(map(row, self))}</table>"


def explore(
    model: Model,
    data: Samples,
    *,
    example: object = None,
    output: Path_ | None = None,
    jobs: int | None = None,
    progress: Progress = None,
    **options: Unpack[ExploreOptions],
) -> Exploration:
    """Tries binary and multi-level spikes of few and many levels: what each gains, and what it costs.

    Args:
        model: as :func:`compile` takes it.
        data: samples and labels, ``(x, y)`` or a path.
        example: an input of a ``torch.nn.Module``.
        output: a folder for ``explore.html``, ``.csv`` and ``.json``.
        jobs: number of threads; all without.
        progress: True for a bar of tqdm, or a function of what is done, the steps done and their number.
        options: as those of ``snnc explore``: ``target``, ``calibration``, ``weight_bits``, ``limit``, ..
    """
    with Files() as files, shown(progress) as tell:
        own = ["--data", files.samples(data)]
        if output is not None:
            own += ["-o", os.fspath(output)]
        line = _line("explore", files, model, example, own, options)
        return Exploration(json.loads(_native.execute(line, jobs, tell)[0]))


class Statistics:
    """What the populations of a float model send on a calibration set, by which it is quantised.

    Attributes:
        content: the file that ``snnc calibrate`` writes.
        summary: what it says: the model's SHA-256, samples, and the errors of few bits by population.
    """

    def __init__(self, content: bytes, summary: Mapping[str, Any] | None = None) -> None:
        self.content = content
        self.summary = dict(summary or {})

    def save(self, path: Path_) -> Path:
        """Writes the file, for ``statistics=`` of :func:`compile`."""
        Path(path).write_bytes(self.content)
        return Path(path)

    @classmethod
    def merged(cls, parts: Sequence[Statistics | bytes | Path_]) -> Statistics:
        """The statistics of shards together: those of all their samples, to the last bit, in any order.

        Raises:
            InputError: when two parts share samples, or are of different models.
        """
        with Files() as files:
            paths = []
            for part in parts:
                if isinstance(part, (Statistics, bytes)):
                    path = files.path("part.stats")
                    path.write_bytes(part.content if isinstance(part, Statistics) else part)
                    paths.append(str(path))
                else:
                    paths.append(os.fspath(part))
            out = files.path("all.stats")
            line = ["calibrate", "--merge", *paths, "-o", str(out), "--format", "json"]
            answer, _ = _native.execute(line)
            return cls(out.read_bytes(), json.loads(answer))


def calibrate(
    model: Model,
    data: Samples,
    *,
    example: object = None,
    output: Path_ | None = None,
    jobs: int | None = None,
    progress: Progress = None,
    **options: Unpack[CalibrateOptions],
) -> Statistics:
    """Gathers what the populations of a float model send on a calibration set.

    Args:
        model: as :func:`compile` takes it.
        data: samples ``(N, ..)`` or a path.
        example: an input of a ``torch.nn.Module``.
        output: where the statistics go as well.
        jobs: number of threads; all without.
        progress: True for a bar of tqdm, or a function of what is done, the steps done and their number.
        options: as those of ``snnc calibrate``: ``shard="1/4"``, ``sensitivity``, ``limit``, ..
    """
    with Files() as files, shown(progress) as tell:
        path = files.path("all.stats")
        own = ["--data", files.samples(data), "-o", str(path)]
        line = _line("calibrate", files, model, example, own, options)
        answer, _ = _native.execute(line, jobs, tell)
        statistics = Statistics(path.read_bytes(), json.loads(answer))
    if output is not None:
        statistics.save(output)
    return statistics
