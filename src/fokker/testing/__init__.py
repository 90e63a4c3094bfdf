"""Measuring instruments for components, built-in or not.

    fokker.testing.moments      the exact law of a sampler's output on Gaussian data, without Monte Carlo
    fokker.testing.order        the order of convergence of a sampler, measured
    fokker.testing.strategies   hypothesis strategies for perturbations, times and shapes

They import no test runner; `strategies` needs hypothesis.
"""

__all__: list[str] = []
