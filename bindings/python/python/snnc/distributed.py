"""Calibration over shards, on more than one machine: an engine that is there already runs and retries them.

Nothing is scheduled here. Dask (``pip install snnc[dask]``) and Ray (``pip install snnc[ray]``) run the shards and run those
again whose worker died; the statistics of shards are merged in a fixed order, and merging is exact, so that the
result has the bytes of one process, for every number of shards and order of arrival. Batch schedulers do the same
through files: ``snnc calibrate --shard I/N`` and ``--merge``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from snnc._commands import Statistics
from snnc._commands import calibrate as _calibrate
from snnc._errors import usage
from snnc._inputs import Files

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from snnc._kinds import CalibrateOptions, Model, Samples


def _shard(model: bytes, data: bytes, shard: str, options: dict[str, Any]) -> bytes:
    """The statistics of one shard, on a worker: its files are temporary, its answer is bytes."""
    with Files() as files:
        path = files.path("samples.npz")
        path.write_bytes(data)
        return _calibrate(model, path, shard=shard, **options).content


def calibrate(
    model: Model,
    data: Samples,
    *,
    engine: Literal["dask", "ray"] | None = None,
    shards: int | None = None,
    client: Any = None,
    retries: int = 3,
    example: object = None,
    **options: Unpack[CalibrateOptions],
) -> Statistics:
    """As :func:`snnc.calibrate`, over shards; the bytes are those of one process.

    Args:
        model: as :func:`snnc.compile` takes it.
        data: samples ``(N, ..)`` or the path of a file.
        engine: ``"dask"``, ``"ray"``, or None for one shard after the other in this process.
        shards: how many; without, one for each worker.
        client: a ``distributed.Client``; without, the current one, or a local one.
        retries: how often the engine runs a shard again that failed.
        example: an input of a ``torch.nn.Module``.
        options: as those of ``snnc calibrate``, but ``shard``.

    Raises:
        UsageError: when the engine is not there.
    """
    if "shard" in options or "sensitivity" in options:
        reason = "takes no `shard` and no `sensitivity`: those are of one process"
        raise usage("distributed.calibrate", reason, "leave it out, and say shards=")
    with Files() as files:
        content = Path(files.model(model, example)).read_bytes()
        samples = Path(files.samples(data)).read_bytes()
    if engine is None:
        count = shards or 1
        parts = [_shard(content, samples, f"{i + 1}/{count}", dict(options)) for i in range(count)]
    elif engine == "dask":
        parts = _on_dask(content, samples, dict(options), shards, client, retries)
    elif engine == "ray":
        parts = _on_ray(content, samples, dict(options), shards, retries)
    else:
        raise usage("engine", f"there is no engine `{engine}`", "there are dask and ray")
    return Statistics.merged(parts)


def _on_dask(
    model: bytes, data: bytes, options: dict[str, Any], shards: int | None, client: Any, retries: int
) -> list[bytes]:
    try:
        import distributed
    except ImportError:
        raise usage("engine", "dask is not installed", "pip install 'dask[distributed]'") from None
    own = None
    if client is None:
        try:
            client = distributed.get_client()
        except ValueError:
            client = own = distributed.Client(n_workers=os.cpu_count(), threads_per_worker=1)
    try:
        count = shards or max(1, len(client.scheduler_info()["workers"]))
        # By name, so that a shard that is lost with its worker can be made again.
        there = client.scatter([model, data], broadcast=True)
        futures = [
            client.submit(_shard, *there, f"{i + 1}/{count}", options, retries=retries, pure=False)
            for i in range(count)
        ]
        return list(client.gather(futures))
    finally:
        if own is not None:
            own.close()


def _on_ray(
    model: bytes, data: bytes, options: dict[str, Any], shards: int | None, retries: int
) -> list[bytes]:
    try:
        import ray
    except ImportError:
        raise usage("engine", "ray is not installed", "pip install ray") from None
    if not ray.is_initialized():
        ray.init(logging_level="ERROR")
    count = shards or max(1, int(ray.cluster_resources().get("CPU", 1)))
    task = ray.remote(_shard).options(max_retries=retries)
    there = [ray.put(model), ray.put(data)]
    return list(ray.get([task.remote(*there, f"{i + 1}/{count}", options) for i in range(count)]))
