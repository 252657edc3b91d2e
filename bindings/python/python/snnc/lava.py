"""Artefacts of the target ``loihi`` in Lava, which is imported when it is asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from snnc._errors import usage
from snnc._network import Artefact, Network

if TYPE_CHECKING:
    from snnc._kinds import Path_


def load(artefact: Artefact | Path_, **options: Any) -> Any:
    """The network of an artefact as ``lava.lib.dl.netx.hdf5.Network``, whose ``inp`` and ``out`` are ports.

    Args:
        artefact: of the target ``loihi``, or the path of a ``.net`` file.
        options: of NetX: ``reset_interval``, ``reset_offset``, ``skip_layers``, ..

    Raises:
        UsageError: for another target, and where lava-dl is not installed.
    """
    if isinstance(artefact, Network):
        manifest = getattr(artefact, "manifest", None)
        if manifest is None or manifest["target"] != "loihi":
            raise usage("artefact", "is not for Loihi", "compile the model with target='loihi'")
        path = os.fspath(artefact.path / manifest["entry"])
    else:
        path = os.fspath(artefact)
    try:
        from lava.lib.dl.netx import hdf5
    except ImportError:
        raise usage("lava", "lava-dl is not installed", "install lava-nc and lava-dl") from None
    return hdf5.Network(net_config=path, **options)
