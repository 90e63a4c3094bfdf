"""Measure the orders of the exponential integrators: `python docs/maths/multistep_orders.py`.

On Gaussian data in equal times from 0.9 to 0.1, under VP and VE: the order between 256 and 512 steps, and the error of
512.
"""

from fokker.config import build
from fokker.perturbation import VE, VP
from fokker.plugins.host import load_plugins
from fokker.testing.order import measure_order, measure_weak_order
from fokker.testing.worlds import gaussian

STEPS = (64, 128, 256, 512)
SAMPLERS = (
    "exponential-adams:order=2",
    "exponential-adams",
    "exponential-adams:order=4",
    "exponential-adams:prediction=x0",
    "exponential-adams:prediction=v",
    "exponential-adams:start=plain",
    "deis",
    "lms",
    "dpm-solver-1",
    "dpm-solver-2",
    "dpm-solver-3",
    "dpm-solver-2m",
    "dpm-solver-2m:form=published",
    "dpm-solver-3m",
    "dpm-solver-3m:form=published",
    "unipc",
    "unipc:variant=exact",
    "unipc:order=3",
    "sde-dpm-solver:order=1",
    "sde-dpm-solver",
    "sde-dpm-solver:order=3",
)


def main() -> None:
    """Print the rows of the table."""
    host = load_plugins()
    for spec in SAMPLERS:
        sampler = build(host, "sampler", spec)
        measure = measure_weak_order if sampler.claims.stochastic else measure_order
        cells = [str(sampler.claims.weak_order if sampler.claims.stochastic else sampler.claims.order)]
        for p in (VP(), VE()):
            found = measure(sampler, gaussian(p), steps=STEPS)
            cells += [f"{found.local_orders[-1]:.2f}", f"{found.errors[-1]:.1e}"]
        print(f"| `{spec}` | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
