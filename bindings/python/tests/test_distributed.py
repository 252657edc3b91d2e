"""Shards on Dask and Ray: the bytes are those of one process."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc
import snnc.distributed

from conftest import FLOAT, model


@pytest.fixture(scope="module")
def single(training: np.ndarray) -> bytes:
    return snnc.calibrate(model(FLOAT), training).content


def cluster(workers: int, folder: Path) -> Any:
    distributed = pytest.importorskip("distributed")
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=str(folder)
    )


@pytest.mark.parametrize("shards", [1, 3, 7])
def test_shards_in_this_process(shards: int, training: np.ndarray, single: bytes) -> None:
    assert snnc.distributed.calibrate(model(FLOAT), training, shards=shards).content == single


@pytest.mark.parametrize("workers", [2, 4])
def test_dask_gives_the_bytes_of_one_process(
    workers: int, training: np.ndarray, single: bytes, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    with cluster(workers, tmp_path) as local, distributed.Client(local) as client:
        found = snnc.distributed.calibrate(model(FLOAT), training, engine="dask", client=client, shards=workers + 1)
    assert found.content == single and found.summary["samples"] == len(training)


def test_a_shard_whose_worker_dies_is_run_again(training: np.ndarray, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    # Enough for the shards to be at work for a while.
    data = np.concatenate([training] * 3)
    whole = snnc.calibrate(model(FLOAT), data).content
    killed: list[int] = []
    with cluster(2, tmp_path) as local, distributed.Client(local) as client:

        def kill() -> None:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not killed:
                for address, keys in client.processing().items():
                    if keys and any("_shard" in str(key) for key in keys):
                        for nanny in local.workers.values():
                            if nanny.worker_address == address and nanny.pid:
                                os.kill(nanny.pid, signal.SIGKILL)
                                killed.append(nanny.pid)
                                return
                time.sleep(0.01)

        thread = threading.Thread(target=kill)
        thread.start()
        found = snnc.distributed.calibrate(model(FLOAT), data, engine="dask", client=client, shards=6)
        thread.join()
    assert killed, "a worker was at work on a shard when it was killed"
    assert found.content == whole


def test_ray_gives_the_bytes_of_one_process(training: np.ndarray, single: bytes) -> None:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, logging_level="ERROR")
    try:
        assert snnc.distributed.calibrate(model(FLOAT), training, engine="ray", shards=3).content == single
    finally:
        ray.shutdown()


def test_wrong_use_is_told(training: np.ndarray) -> None:
    with pytest.raises(snnc.UsageError) as caught:
        snnc.distributed.calibrate(model(FLOAT), training, engine="spark")
    assert caught.value.problems[0].place == "engine"
    with pytest.raises(snnc.UsageError):
        snnc.distributed.calibrate(model(FLOAT), training, shard="1/2")
    with pytest.raises(snnc.InputError):
        snnc.distributed.calibrate(model(FLOAT), np.zeros((4, 3)))
