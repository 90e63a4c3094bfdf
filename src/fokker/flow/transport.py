"""Carrying states along the probability flow: data to latents, and latents to data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from fokker.integrate import Variables, integrate
from fokker.model import ScoreModel

__all__ = ["Carried", "decode", "encode", "some_rows"]

Cond = Mapping[str, Tensor] | None


@dataclass(frozen=True, eq=False)
class Carried:
    """States that were carried along the flow.

    Args:
        x: Where they arrived, in the model's units, (B, *D).
        nfe: Evaluations of the network for each of them, int64 on the host, (B,).
    """

    x: Tensor
    nfe: Tensor


def encode(
    model: ScoreModel,
    x: Tensor,
    *,
    cond: Cond = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    on_step: Callable[[float], None] | None = None,
) -> Carried:
    """Latents of data: the flow from `t_min` up to t = 1.

    The data is taken for a state at `t_min`, without noise (Song et al., 2021, appendix D.2).

    Args:
        model: The model, carrying its perturbation.
        x: Data in the model's units, (B, *D).
        cond: Conditions passed on to the model.
        rtol: Relative tolerance of a step.
        atol: Absolute tolerance of a step.
        on_step: Called with the share of the way that is done.

    Raises:
        ConfigError: If a tolerance is out of range.
        IntegrationError: If it cannot be met.
    """
    return _carry(model, x, model.perturbation.t_min, 1.0, cond, rtol, atol, on_step)


def decode(
    model: ScoreModel,
    z: Tensor,
    *,
    cond: Cond = None,
    temperature: float = 1.0,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    on_step: Callable[[float], None] | None = None,
) -> Carried:
    """Data of latents: the flow from t = 1 down to `t_min`, the inverse of `encode`.

    Args:
        model: The model, carrying its perturbation.
        z: Latents, states at t = 1, (B, *D); those of samples have the standard deviation `prior_std`.
        cond: Conditions passed on to the model.
        temperature: What latents are multiplied by first: below 1 they move towards the middle of the prior
            (Kingma & Dhariwal, 2018, section 6), which gives less varied data.
        rtol: Relative tolerance of a step.
        atol: Absolute tolerance of a step.
        on_step: Called with the share of the way that is done.

    Raises:
        ConfigError: If a tolerance is out of range.
        IntegrationError: If it cannot be met.
    """
    return _carry(model, temperature * z, 1.0, model.perturbation.t_min, cond, rtol, atol, on_step)


def _carry(
    model: ScoreModel,
    x: Tensor,
    start: float,
    end: float,
    cond: Cond,
    rtol: float,
    atol: float,
    on_step: Callable[[float], None] | None,
) -> Carried:
    def velocity(t: Tensor, y: Variables, rows: Tensor) -> Variables:
        return (model(y[0], t, some_rows(cond, rows)).velocity,)

    solution = integrate(velocity, (x,), start, end, rtol=rtol, atol=atol, on_step=on_step)
    return Carried(solution.y[0], solution.evaluations)


def some_rows(cond: Cond, rows: Tensor) -> Cond:
    """The conditions of some rows of the batch, int64 (A,)."""
    if cond is None:
        return None
    return {name: value[rows.to(value.device)] for name, value in cond.items()}
