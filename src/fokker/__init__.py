"""fokker: score-based (diffusion) generative modelling through stochastic differential equations.

    x_t = alpha(t) x_0 + sigma(t) z

Every method is a plugin. What a plugin's `__init__` needs is here at once: the marker `hookimpl`, the decorator
`component`, and the errors. The names that need torch are loaded when they are first used, so that `import fokker` and
the listing commands stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker

# `component` is the decorator here and the name of the module it lives in: bound at once, the decorator wins for good.
from fokker.component import component
from fokker.errors import ConfigError, FokkerError

if TYPE_CHECKING:
    from fokker.config import build
    from fokker.data import DataSource, Examples, Transform
    from fokker.grid import Grid
    from fokker.guidance import Guidance
    from fokker.label import Label
    from fokker.metric import Metric
    from fokker.model import ScoreModel
    from fokker.network import DataSpec, Network
    from fokker.noise import Noise
    from fokker.noise_source import NoiseSource
    from fokker.objective import Objective
    from fokker.parameterization import Parameterization
    from fokker.perturbation import Perturbation
    from fokker.plugins.host import load_plugins
    from fokker.prediction import Prediction
    from fokker.sampler import Claims, Corrector, OneStep, Sampler, State, sample
    from fokker.weighting import Weighting

    __version__: str

__all__ = [
    "Claims",
    "ConfigError",
    "Corrector",
    "DataSource",
    "DataSpec",
    "Examples",
    "FokkerError",
    "Grid",
    "Guidance",
    "Label",
    "Metric",
    "Network",
    "Noise",
    "NoiseSource",
    "Objective",
    "OneStep",
    "Parameterization",
    "Perturbation",
    "Prediction",
    "Sampler",
    "ScoreModel",
    "State",
    "Transform",
    "Weighting",
    "__version__",
    "build",
    "component",
    "hookimpl",
    "load_plugins",
    "sample",
]

hookimpl = HookimplMarker("fokker")
"""Marks a plugin's implementation of a hook; the hooks are described in `fokker.plugins.hookspecs`."""

_HOMES = {
    "Claims": "fokker.sampler",
    "Corrector": "fokker.sampler",
    "DataSource": "fokker.data",
    "DataSpec": "fokker.network",
    "Examples": "fokker.data",
    "Grid": "fokker.grid",
    "Guidance": "fokker.guidance",
    "Label": "fokker.label",
    "Metric": "fokker.metric",
    "Network": "fokker.network",
    "Noise": "fokker.noise",
    "NoiseSource": "fokker.noise_source",
    "Objective": "fokker.objective",
    "OneStep": "fokker.sampler",
    "Parameterization": "fokker.parameterization",
    "Perturbation": "fokker.perturbation",
    "Prediction": "fokker.prediction",
    "Sampler": "fokker.sampler",
    "ScoreModel": "fokker.model",
    "State": "fokker.sampler",
    "Transform": "fokker.data",
    "Weighting": "fokker.weighting",
    "build": "fokker.config",
    "load_plugins": "fokker.plugins.host",
    "sample": "fokker.sampler",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'fokker' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("fokker")
    except PackageNotFoundError:  # the sources on the path, without an installation
        return "0+unknown"
