"""The plugin `core`: fokker's own components, registered like anybody's."""

from typing import TYPE_CHECKING

from fokker import hookimpl

if TYPE_CHECKING:
    from fokker.plugins.registry import Registry

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: "Registry") -> None:
    """Register the components of `fokker` itself."""
    registry.perturbation("vp", "fokker.perturbation:VP", summary="Variance-preserving SDE, beta linear in time.")
    registry.perturbation("ve", "fokker.perturbation:VE", summary="Variance-exploding SDE, sigma geometric in time.")
    registry.perturbation("sub-vp", "fokker.perturbation:SubVP", summary="Sub-variance-preserving SDE.")
    registry.perturbation("cosine", "fokker.perturbation:Cosine", summary="Cosine schedule in continuous time.")
    registry.perturbation("sigmas", "fokker.table:Sigmas", summary="Table of noise levels, as in NCSN and SMLD.")
    registry.perturbation("betas", "fokker.table:Betas", summary="Table of betas, as in DDPM.")
    registry.perturbation("edm", "fokker.linear:EDMNoise", summary="Noise linear in time, as in EDM.")
    registry.perturbation("flow", "fokker.linear:Flow", summary="Straight lines from data to noise, as rectified flow.")
    registry.perturbation("none", "fokker.vanishing:Vanishing", summary="The data as it is, for score matching.")

    registry.label("t", "fokker.label:Time", summary="The time t in [0, 1].")
    registry.label("1000t", "fokker.label:ThousandTime", summary="1000 t.")
    registry.label("index", "fokker.label:Index", summary="The level of a table, a whole number.")
    registry.label("sigma", "fokker.label:Sigma", summary="The relative noise sigma / alpha.")
    registry.label("log-sigma", "fokker.label:LogSigma", summary="log(sigma / alpha).")
    registry.label("log-snr", "fokker.label:LogSNR", summary="2 log(alpha / sigma).")
    registry.label("alpha", "fokker.label:Alpha", summary="The scale of the data alpha.")
    registry.label("c-noise", "fokker.label:CNoise", summary="log(sigma / alpha) / 4, as in EDM.")

    registry.parameterization("score", "fokker.parameterization:Score", summary="The network gives the score.")
    registry.parameterization(
        "energy", "fokker.parameterization:Energy", summary="The network gives an energy, whose slope is the score."
    )
    registry.parameterization("eps", "fokker.parameterization:Eps", summary="The network gives the noise.")
    registry.parameterization("x0", "fokker.parameterization:X0", summary="The network gives the data.")
    registry.parameterization("v", "fokker.parameterization:V", summary="The network gives alpha eps - sigma x0.")
    registry.parameterization(
        "velocity", "fokker.parameterization:Velocity", summary="The network gives the drift of the probability flow."
    )
    registry.parameterization(
        "edm", "fokker.parameterization:EDM", summary="Input and target kept at unit variance, as in EDM."
    )
    registry.parameterization(
        "sigma-scaled", "fokker.parameterization:SigmaScaled", summary="The score is the network's output over sigma."
    )

    registry.objective("denoising", "fokker.objective:Denoising", summary="Denoising score matching.")
    registry.weighting("sigma2", "fokker.weighting:Sigma2", summary="sigma^2 on the score's error.")
    registry.weighting("score", "fokker.weighting:ScoreError", summary="1 on the score's error, as in score matching.")
    registry.weighting(
        "likelihood", "fokker.weighting:Likelihood", summary="g^2 on the score's error, which bounds the likelihood."
    )
    registry.weighting("simple", "fokker.weighting:Simple", summary="1 on the noise's error, as in DDPM.")
    registry.weighting("min-snr", "fokker.weighting:MinSNR", summary="SNR, clipped, on the data's error.")
    registry.weighting(
        "edm", "fokker.weighting:EDMWeight", summary="SNR + 1 / sigma_data^2 on the data's error, as in EDM."
    )
    registry.weighting("p2", "fokker.weighting:P2", summary="Perception prioritised: small noise weighs less.")

    registry.grid("uniform", "fokker.grid:Uniform", summary="Equal steps in t.")
    registry.grid("quadratic", "fokker.grid:Quadratic", summary="Equal steps in the square root of t.")
    registry.grid("log-snr", "fokker.grid:LogSNR", summary="Equal steps in log-SNR.")
    registry.grid("karras", "fokker.grid:Karras", summary="Equal steps in (sigma / alpha)^(1 / rho).")
    registry.grid("trailing", "fokker.grid:Trailing", summary="Levels of a table, equally spaced, from the last one.")
    registry.grid("exponential", "fokker.grid:Exponential", summary="Equal steps in log(sigma / alpha).")
    registry.grid("edm", "fokker.edm_grid:EDMGrid", summary="The levels of EDM, in units of the data.")
    registry.grid(
        "polyexponential", "fokker.edm_grid:Polyexponential", summary="Powers of the way in log sigma / alpha."
    )
    registry.grid("on-levels", "fokker.levelled:OnLevels", summary="Any grid, moved onto the levels of a table.")
    registry.grid(
        "auto", "fokker.auto_grid:AutoGrid", summary="The levels that go with the sampler auto, by the budget."
    )
    registry.grid(
        "optimized", "fokker.optimized_grid:OptimizedGrid", summary="The levels tuned for the run, sampler and budget."
    )
    registry.grid("knots", "fokker.grid:Knots", summary="The table's own levels.")

    registry.noise("independent", "fokker.noise_source:Independent", summary="Every draw is independent of all others.")
    registry.format("weights", "fokker.run.weights:Weights", summary="A file of weights that a network knows.")

    registry.recipe("demo", "fokker:recipes/demo.toml", summary="The digits of 'fokker demo'.")
    registry.recipe("demo-roll", "fokker:recipes/demo-roll.toml", summary="The swiss roll of 'fokker demo'.")
