"""A user's own likelihood, any differentiable log p(y | x)."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError, DataError
from fokker.guidance import Guidance, GuidanceClaims, Subject
from fokker.jacobian import leaf
from fokker.model import ScoreModel
from fokker.plugins.registry import one_line
from fokker.prediction import Prediction
from fokker_data.array import read_array
from fokker_guidance.answer import Guided, noiseless, steered, with_gradient, without
from fokker_guidance.units import units
from fokker_guidance.values import Values, held_out, stored

__all__ = ["Posterior"]


@component
class Posterior(Guidance):
    """Sample the posterior of a likelihood of one's own, nonlinear too (Song et al., 2021, section 5, eq. 14).

        score + w d log p(y | x0) / dx        at = x0: x0 = E[data | x], through the network (Chung et al., 2023)
        score + w d log p(y | x / alpha) / dx at = state: no gradient of the network

    The likelihood is a Python function of examples in the data's own units, (B, *D), that returns log p(y | x) of each,
    (B,), made of torch operations and keeping examples apart. Both forms leave out the spread of the data given x,
    which vanishes with the noise: a single way down from noise does not end in the posterior, and Langevin dynamics at
    low noise, where both are exact, does, by `langevin`, or by `pc` with corrections at each level. `state` is for low
    noise alone, such as that of `langevin`: x / alpha of noise is far from all data. One evaluation; at = x0 with its
    gradient.

    Args:
        likelihood: The function, as `module:function` or `file.py:function`. It is imported where the guidance is made
            a model of; no run or checkpoint ever names one.
        values: What it is called with besides the examples, if anything, row by row: `test` or `train`, of which
            sample i gets example i modulo their number, or a file with something for each sample, (N, ...).
        at: Where it is evaluated.
        weight: Factor w; 0 leaves the model as it is.
    """

    likelihood: str
    values: Values | None = None
    at: Literal["x0", "state"] = "x0"
    weight: Annotated[float, Ge(0)] = 1.0

    def __post_init__(self) -> None:
        if ":" not in self.likelihood:
            raise ConfigError(
                f"Posterior.likelihood is 'module:function' or 'file.py:function', got {self.likelihood!r}; in a spec "
                "it stands in quotes."
            )

        if self.values == ():
            raise ConfigError("Posterior.values holds no numbers; leave it out, and the likelihood is given none.")

    @property
    def claims(self) -> GuidanceClaims:
        """One evaluation; no law is known of a likelihood that is not."""
        return GuidanceClaims(neutral={"weight": 0.0})

    def conditions(self, subject: Subject, index: Sequence[int]) -> Mapping[str, Tensor]:
        """`shift` and `scale`, (B, *D), and `y`, (B, ...), if there are values; see `Guidance.conditions`."""
        own = units(subject.chain, subject.spec.event_shape)
        each = (len(index), *subject.spec.event_shape)
        found = {f"{self!r}.shift": own.shift.expand(each), f"{self!r}.scale": own.scale.expand(each)}
        if self.values is not None:
            found[f"{self!r}.y"] = _given(self.values, subject, index)
        return found

    def wrap(self, model: ScoreModel) -> ScoreModel:
        """The model with the likelihood's gradient added to its score.

        Raises:
            ConfigError: If the function cannot be imported.
        """
        return _Likely(model, f"{self!r}.", _function(self.likelihood), self)


def _given(values: Values, subject: Subject, index: Sequence[int]) -> Tensor:
    x = held_out(values, subject, index)
    if x is not None:
        return x
    if isinstance(values, str):
        whole = torch.as_tensor(read_array(Path(values)).copy()).double()
        if not whole.ndim or not len(whole):
            raise DataError(f"{values} has the shape {tuple(whole.shape)}; its rows are what a likelihood is told.")
        return whole[[i % len(whole) for i in index]]
    return stored(values, len(values), index)


def _function(text: str) -> Callable[..., Any]:
    """What `module:function` or `file.py:function` names.

    Raises:
        ConfigError: If there is no such thing, or it cannot be imported.
    """
    place, _, name = text.rpartition(":")
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
    except Exception as error:
        raise ConfigError(f"The likelihood {text!r} cannot be imported: {type(error).__name__}: {error}.") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise ConfigError(f"{place} has no function {name!r}, which the likelihood {text!r} asks for.")
    function: Callable[..., Any] = found
    return function


class _Likely(Guided):
    def __init__(self, model: ScoreModel, name: str, function: Callable[..., Any], config: Posterior) -> None:
        super().__init__(model)
        self._name, self._function, self._config = name, function, config
        self._who = f"The likelihood {config.likelihood!r}"

    def __call__(self, x: Tensor, t: Tensor | float, cond: Mapping[str, Tensor] | None = None) -> Prediction:
        mine, rest = without(cond, self._name)
        weight = self._config.weight
        if noiseless(self.perturbation, t, x):
            return self.model(x, t, rest)
        if self._config.at == "x0":
            q, slope = with_gradient(self.model, x, t, rest, lambda q, back: back(self._gradient(q.x0, mine)))
            return steered(q, x, weight * slope)
        q = self.model(x, t, rest)
        return steered(q, x, weight * self._gradient(q.x / q.alpha, mine) / q.alpha)

    def _gradient(self, u: Tensor, mine: Mapping[str, Tensor]) -> Tensor:
        """Gradient of the log-likelihood in data in the model's units, (B, *D)."""
        again = torch.is_grad_enabled() and u.requires_grad
        with torch.enable_grad():
            at = u if again else leaf(u)
            given = (mine["y"],) if "y" in mine else ()
            try:
                value = self._function(mine["shift"] + mine["scale"] * at, *given)
            except Exception as error:  # a user's own code
                told = "with a measurement" if given else "without a measurement (no values= are given)"
                raise ConfigError(
                    f"{self._who}, called {told}, failed: {one_line(error)}; --debug shows where."
                ) from error
            if not isinstance(value, Tensor) or value.shape != u.shape[:1]:
                shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ConfigError(f"{self._who} returns log p of each example, ({len(u)},); got {shape}.")
            if not value.requires_grad:
                raise ConfigError(
                    f"{self._who} does not depend on the examples by way of torch operations, so it has no gradient."
                )
            (gradient,) = torch.autograd.grad(value.sum(), at, create_graph=again)
        return gradient
