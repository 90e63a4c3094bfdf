"""Schedulers that look their coefficients up in a table of alpha_bar: DDPM, DDIM and PNDM.

The table that they are given is the grid itself: entry k is (alpha / c)^2 of the grid's k-th level from its end.
"""

from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Interval
from fokker import Claims, ConfigError, component

from fokker_diffusers.driven import Call, Coordinates, Driven, Ladder

__all__ = ["DDIM", "DDPM", "PNDM"]


class _OnTable(Driven):
    coordinates: ClassVar[Coordinates] = "table"

    def tabled(self, ladder: Ladder, **more: Any) -> Any:
        """The scheduler with the grid as its table."""
        n = len(ladder.scale)
        scheduler = self.made(num_train_timesteps=max(n, 2), **more)
        scheduler.alphas_cumprod = ladder.alpha.flip(0) ** 2
        scheduler.timesteps = torch.arange(n - 1, -1, -1)
        scheduler.num_inference_steps = max(n, 2)
        return scheduler


@component
class DDPM(_OnTable):
    """diffusers' DDPMScheduler: ancestral sampling (Ho et al., 2020, algorithm 2; Lin et al., 2024, for v).

        x_s = (a_s beta / sigma_t^2) x0 + (a sigma_s^2 / sigma_t^2) x_t + sqrt(variance) z

    with a = a_t / a_s, beta = 1 - a^2, and (a, sigma) those of a table with a^2 + sigma^2 = 1.

    Args:
        variance_type: `fixed_small`, the posterior's beta sigma_s^2 / sigma_t^2, or `fixed_large`, beta.
        clip_sample: Whether the expected data is clamped at every step. diffusers does so unless told otherwise.
        clip_sample_range: Clamped to this from zero.
        thresholding: Whether the expected data is clamped to a quantile of its own (Saharia et al., 2022, section 2.3).
        dynamic_thresholding_ratio: That quantile, of the absolute values of an example.
        sample_max_value: The most that it may be.
    """

    scheduler: ClassVar[str] = "DDPMScheduler"
    timesteps: ClassVar[str] = "ddpm"
    wants: ClassVar[Literal["eps", "v"]] = "v"

    variance_type: Literal["fixed_small", "fixed_large"] = "fixed_small"
    clip_sample: bool = False
    clip_sample_range: Annotated[float, Gt(0)] = 1.0
    thresholding: bool = False
    dynamic_thresholding_ratio: Annotated[float, Interval(ge=0, le=1)] = 0.995
    sample_max_value: Annotated[float, Ge(1)] = 1.0

    @property
    def claims(self) -> Claims:
        """The law's order, of the expected data as it is."""
        free = not (self.clip_sample or self.thresholding)
        return Claims(
            weak_order=1 if free else None,
            stochastic=True,
            schedule_invariant=True,
            finishes=self.finishing,
            at_end=int(self.finishing),
            exact_on_point_mass=free and self.variance_type == "fixed_small",
        )

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        scheduler = self.tabled(ladder, prediction_type="v_prediction")
        scheduler.custom_timesteps = True
        steps = len(ladder.scale) - 1
        return scheduler, [[Call(k, torch.tensor(steps - k))] for k in range(steps)]


@component
class DDIM(_OnTable):
    """diffusers' DDIMScheduler: implicit models (Song et al., 2021, eq. 12).

        x_s = a_s x0 + sqrt(sigma_s^2 - tau^2) eps + tau z,    tau = eta sqrt(posterior variance)

    Args:
        eta: Share of the posterior's noise that is put back.
        use_clipped_model_output: Whether eps is made to fit the expected data after that was clamped.
        clip_sample: Whether the expected data is clamped at every step. diffusers does so unless told otherwise.
        clip_sample_range: Clamped to this from zero.
        thresholding: Whether the expected data is clamped to a quantile of its own (Saharia et al., 2022, section 2.3).
        dynamic_thresholding_ratio: That quantile, of the absolute values of an example.
        sample_max_value: The most that it may be.
    """

    scheduler: ClassVar[str] = "DDIMScheduler"
    timesteps: ClassVar[str] = "ddim"
    wants: ClassVar[Literal["eps", "v"]] = "v"
    of_steps: ClassVar[frozenset[str]] = frozenset({"eta", "use_clipped_model_output"})

    eta: Annotated[float, Interval(ge=0, le=1)] = 0.0
    use_clipped_model_output: bool = False
    clip_sample: bool = False
    clip_sample_range: Annotated[float, Gt(0)] = 1.0
    thresholding: bool = False
    dynamic_thresholding_ratio: Annotated[float, Interval(ge=0, le=1)] = 0.995
    sample_max_value: Annotated[float, Ge(1)] = 1.0

    @property
    def claims(self) -> Claims:
        """As fokker's own, of the expected data as it is."""
        free = not (self.clip_sample or self.thresholding)
        return Claims(
            order=1 if free and self.eta == 0 else None,
            weak_order=1 if free and self.eta == 1 else None,
            stochastic=self.eta > 0,
            schedule_invariant=True,
            finishes=self.finishing,
            at_end=int(self.finishing),
            exact_on_point_mass=free,
        )

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        scheduler = self.tabled(ladder, prediction_type="v_prediction")
        steps = len(ladder.scale) - 1
        return scheduler, [[Call(k, steps - k)] for k in range(steps)]


@component
class PNDM(_OnTable):
    """diffusers' PNDMScheduler without Runge-Kutta steps: PLMS (Liu et al., 2022, eq. 12 and algorithm 2).

    Adams-Bashforth weights of steps of one length on the last four eps, in DDIM's transfer from level to level; the
    first step is made twice, with the mean of the eps at its two ends. Steps of different lengths are weighted as if
    they had one, which no order is claimed of.
    """

    scheduler: ClassVar[str] = "PNDMScheduler"
    timesteps: ClassVar[str] = "pndm"
    wants: ClassVar[Literal["eps", "v"]] = "eps"

    @property
    def claims(self) -> Claims:
        """One evaluation more than there are steps, for the first one."""
        return Claims(at_end=1, schedule_invariant=True, exact_on_point_mass=True)

    def start(self, ladder: Ladder) -> tuple[Any, list[list[Call]]]:
        """See `Driven`."""
        if bool(ladder.alpha[0] == 0):
            raise ConfigError(
                "PNDM has no first step where alpha = 0; take 'ddim' or 'dpm-solver-multistep', or begin later."
            )
        scheduler = self.tabled(ladder, skip_prk_steps=True, prediction_type="epsilon")
        scheduler.prk_timesteps = ()
        steps = len(ladder.scale) - 1
        calls = [[Call(k, steps - k)] for k in range(steps)]
        calls[0].append(Call(1, steps - 1))
        return scheduler, calls
