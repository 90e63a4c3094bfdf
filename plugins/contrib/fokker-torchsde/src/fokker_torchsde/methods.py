"""torchsde's solvers by name: what each is told of the noise, where it looks, and what it converges with.

Names are those of torchsde, in kebab-case. `srk` is two methods there, by the kind of noise: SRA1 for additive noise,
which that of every perturbation is, and SRID2 for noise that may depend on the state, number by number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["METHODS", "Method", "Name"]

Name: TypeAlias = Literal["srk", "srk-diagonal", "milstein", "euler", "euler-heun", "heun", "midpoint", "log-ode"]
"""How a solver is named."""


@dataclass(frozen=True)
class Method:
    """A solver of torchsde.

    Args:
        name: What torchsde calls it.
        calculus: The integral that it is for; with noise that depends on time alone, both are the same.
        noise: What torchsde is told of the noise: `additive`, or `diagonal` as though it depended on the state.
        stages: Where in a step the drift is evaluated or the noise looked up, shares of it.
        evaluations: Different states at which a step evaluates the drift.
        strong: Order in which states converge along a path, for additive noise.
        weak: Order in which moments converge, for additive noise; None where moments are not a linear function of those
            of the draws, so that nothing measures it exactly.
        area: Whether it needs the integral of the path over the step besides the increment.
    """

    name: str
    calculus: Literal["ito", "stratonovich"]
    noise: Literal["additive", "diagonal"]
    stages: tuple[float, ...]
    evaluations: int
    strong: float
    weak: int | None
    area: bool = False


METHODS: Mapping[Name, Method] = {
    "srk": Method("srk", "ito", "additive", (0.0, 0.75, 1.0), 2, 1.5, 2, area=True),
    "srk-diagonal": Method("srk", "ito", "diagonal", (0.0, 0.25, 0.5, 1.0), 4, 1.5, None, area=True),
    "milstein": Method("milstein", "ito", "diagonal", (0.0,), 1, 1.0, 1),
    "euler": Method("euler", "ito", "additive", (0.0,), 1, 1.0, 1),
    "euler-heun": Method("euler_heun", "stratonovich", "additive", (0.0, 1.0), 1, 1.0, 1),
    "heun": Method("heun", "stratonovich", "additive", (0.0, 1.0), 2, 1.0, 2),
    "midpoint": Method("midpoint", "stratonovich", "additive", (0.0, 0.5), 2, 1.0, 1),
    "log-ode": Method("log_ode", "stratonovich", "additive", (0.0, 0.5), 2, 1.0, 1),
}
"""The solvers that a sampler can use; `reversible_heun` is not among them, see the docs page of the package."""
