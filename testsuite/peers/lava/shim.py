"""Lets lava-nc 0.10.0 and lava-dl 0.6.0 be imported on Python 3.11 and without torch.

Import this module before anything of lava. No installed file is changed.

* lava-dl names torch in annotations only, as far as NetX is concerned: a stub is enough.
* NetX takes one function from lava.lib.dl.slayer, which needs torch in earnest. It turns the
  decays of resonate-and-fire neurons into period and decay rate; here it is on its own.
* lava-nc has dataclass instances as defaults, which Python 3.11 allows only if they are hashable.
"""

import dataclasses
import math
import sys
import types


def _module(name, **contents):
    module = types.ModuleType(name)
    module.__path__ = []
    vars(module).update(contents)
    sys.modules[name] = module


def _rf_parameters(device_params):
    """Period and decay of a resonate-and-fire neuron from its 12-bit sine and cosine decays."""
    sine, cosine = device_params["sinDecay"], device_params["cosDecay"]
    return {
        "threshold": device_params["vThMant"],
        "period": 2 * math.pi / math.atan2(sine, cosine),
        "decay": 1 - math.hypot(sine, cosine) / 4096,
    }


def _hashable_dataclasses():
    original = dataclasses.dataclass

    def decorate(cls, **options):
        made = original(cls, **options)
        if made.__hash__ is None:
            made.__hash__ = object.__hash__
        return made

    def dataclass(cls=None, /, **options):
        if cls is None:
            return lambda c: decorate(c, **options)
        return decorate(cls, **options)

    dataclasses.dataclass = dataclass


def install():
    try:
        import torch  # noqa: F401
    except ImportError:
        _module("torch", tensor=object, is_tensor=lambda x: False)
    _module("lava.lib.dl.slayer")
    _module("lava.lib.dl.slayer.neuron")
    _module("lava.lib.dl.slayer.neuron.rf", neuron_params=_rf_parameters)
    if sys.version_info >= (3, 11):
        _hashable_dataclasses()


install()
