"""Score-based modelling through SDEs (Song et al., 2021): predictors, correctors and their composition."""

from typing import Any

from fokker import hookimpl

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: Any) -> None:
    """Register the built-in components of this plugin."""
    em = "fokker_sde.euler_maruyama:EulerMaruyama"
    milstein = "fokker_sde.milstein:Milstein"
    sra1 = "fokker_sde.sra1:SRA1"
    rd = "fokker_sde.reverse_diffusion:ReverseDiffusion"
    registry.sampler("pc", "fokker_sde.pc:PredictorCorrector", summary="Any predictor with any corrector.")
    registry.sampler("euler-maruyama", em, summary="Euler-Maruyama on the reverse SDE.")
    registry.sampler("milstein", milstein, summary="Milstein's step, which is Euler-Maruyama's here.")
    registry.sampler("sra1", sra1, summary="Stochastic Runge-Kutta method of strong order 1.5.")
    registry.sampler("reverse-diffusion", rd, summary="The forward transition's discretisation, reversed.")
    adaptive = "fokker_sde.adaptive_sde:AdaptiveSDE"
    registry.sampler("adaptive-sde", adaptive, summary="The reverse SDE, each sample with its own steps.")
    registry.predictor("identity", "fokker_sde.pc:Identity", summary="No prediction: the time alone goes on.")
    registry.predictor("euler-maruyama", em, summary="Euler-Maruyama on the reverse SDE.")
    registry.predictor("milstein", milstein, summary="Milstein's step, which is Euler-Maruyama's here.")
    registry.predictor("sra1", sra1, summary="Stochastic Runge-Kutta method of strong order 1.5.")
    registry.predictor("reverse-diffusion", rd, summary="The forward transition's discretisation, reversed.")
    registry.corrector("unchanged", "fokker_sde.pc:Unchanged", summary="No correction.")
    registry.corrector("langevin", "fokker_sde.langevin:Langevin", summary="Langevin steps of a set signal-to-noise.")
    for name, summary in (
        ("digits-vp", "Score SDE on 8x8 digits, variance preserving, 5 minutes on one core."),
        ("digits-ve", "Score SDE on 8x8 digits, variance exploding, 5 minutes on one core."),
        ("digits-sub-vp", "Score SDE on 8x8 digits, sub-variance preserving, 5 minutes on one core."),
    ):
        registry.recipe(name, f"fokker_sde:recipes/{name}.toml", summary=summary)
