"""Known parts drawn afresh after every update, as Score SDE does it."""

from collections.abc import Mapping

from torch import Tensor

from fokker.component import component
from fokker.model import ScoreModel
from fokker.noise import Noise
from fokker.perturbation import Perturbation
from fokker.sampler import Claims, Coefficients, Corrector, OneStep
from fokker_ddpm.ancestral import Ancestral
from fokker_guidance.answer import Guided
from fokker_smld.annealed_langevin import AnnealedLangevin

__all__ = ["ImputedCorrector", "ImputedPredictor"]


@component
class ImputedPredictor(OneStep):
    """A predictor after which what is known is drawn afresh (Song et al., 2021, appendix I.2 and I.3).

        x <- x with its known part replaced by that of alpha(s) y + sigma(s) z

    for models guided by `inpaint`, `colorize`, or `linear` without noise, the last guidance if there are several; of
    other models it is the predictor inside. The guidance alone carries the known part's noise along from step to step,
    with the same law at each time; here it is new each time. Of the pair of numbers of `inpaint`, the unknown one then
    has the same mean, .49, and the variance .46 in place of .50.

    The source's own loop differs in three points: it takes the noise level of the time that the step comes from, its
    first state has known values without noise, and the end that it returns keeps the last noise where nothing is known.

    Args:
        predictor: What makes the step.
    """

    predictor: OneStep = Ancestral()

    @property
    def claims(self) -> Claims:
        """Those of the predictor."""
        return self.predictor.claims

    def coefficients(self, p: Perturbation, t: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Those of the predictor."""
        return self.predictor.coefficients(p, t, s)

    def step(
        self,
        model: ScoreModel,
        x: Tensor,
        t: float | Tensor,
        s: float | Tensor,
        c: Coefficients,
        noise: Noise,
        cond: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """See `OneStep.step`."""
        x = self.predictor.step(model, x, t, s, c, noise, cond)
        return _imputed(model, x, s, noise, cond)


@component
class ImputedCorrector(Corrector):
    """A corrector after which what is known is drawn afresh (Song et al., 2021, appendix I.2); see the predictor.

    Args:
        corrector: What makes the update.
    """

    corrector: Corrector = AnnealedLangevin(step=0.05)

    @property
    def claims(self) -> Claims:
        """Those of the corrector."""
        return self.corrector.claims

    def coefficients(self, p: Perturbation, t: Tensor) -> dict[str, Tensor]:
        """Those of the corrector."""
        return self.corrector.coefficients(p, t)

    def correct(
        self,
        model: ScoreModel,
        x: Tensor,
        t: float | Tensor,
        c: Coefficients,
        noise: Noise,
        cond: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """See `Corrector.correct`."""
        x = self.corrector.correct(model, x, t, c, noise, cond)
        return _imputed(model, x, t, noise, cond)


def _imputed(
    model: ScoreModel, x: Tensor, t: float | Tensor, noise: Noise, cond: Mapping[str, Tensor] | None
) -> Tensor:
    if not isinstance(model, Guided) or not model.imputes:
        return x
    return model.impute(x, t, noise(x, t, t), cond)
