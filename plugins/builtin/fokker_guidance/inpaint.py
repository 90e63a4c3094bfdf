"""Inpainting: some values of each sample are known."""

from collections.abc import Mapping, Sequence
from math import inf

import torch
from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.exact import Gaussian
from fokker.guidance import Guidance, GuidanceClaims, Subject
from fokker.model import ScoreModel
from fokker.noise import Zero
from fokker.perturbation import Scale
from fokker.prediction import Prediction
from fokker_guidance.answer import Guided, conditioned, moved, without
from fokker_guidance.operators import region
from fokker_guidance.regions import known
from fokker_guidance.values import Values, held_out, stored

__all__ = ["Inpaint"]


@component
class Inpaint(Guidance):
    """Fill in what is not known of an example by replacement (Song et al., 2021, appendix I.2).

        x0_i = y_i,    so eps_i = (x_i - alpha y_i) / sigma,        where y_i is known
        x0_i = that of the model                                    elsewhere

    The known values of a sample then come from N(alpha y, sigma^2) at every time, as in the source, and the model sees
    them beside the unknown ones. The source draws them afresh after each update; here the sampler carries them along.

    It is not the posterior: at high noise the model sees known values that are hardly known, and what it then decides
    of the others stays. Of N(0, [[1, .8], [.8, 1]]) with x_1 = 1 known, of which x_2 is N(.8, .36), the probability
    flow of `vp` makes N(.34, .65), its reverse SDE N(.49, .50), and five corrections of `pc` at each of 100 levels
    N(.71, .40): noise forgets, so the more of it, the better. `pigdm` with a region as its operator comes closer.

    Args:
        mask: Where values are known: `left`, `right`, `top`, `bottom` (half, or a share as in `left-0.25`), `every-K`,
            `border`, `centre`, or a file with an array that is not 0 there, *D or (N, *D).
        values: What is known: `test` or `train`, of which sample i gets example i modulo their number, a file with
            examples, or the numbers of one, in the data's own units. Values that are nan are not known either.
    """

    mask: str = "left"
    values: Values = "test"

    @property
    def claims(self) -> GuidanceClaims:
        """One evaluation; the bias is that of the kit's example."""
        return GuidanceClaims(bias=0.3 if self == Inpaint() else inf)

    def conditions(self, subject: Subject, index: Sequence[int]) -> Mapping[str, Tensor]:
        """`y` and `known`, both (B, *D), in the model's units; see `Guidance.conditions`.

        Raises:
            ConfigError: If an unknown value would change what a known one is in the model's units.
        """
        shape = subject.spec.event_shape
        x = held_out(self.values, subject, index)
        if x is None:
            x = stored(self.values, torch.Size(shape).numel(), index).reshape(len(index), *shape)
        mask = known(self.mask, shape)
        if mask.ndim > len(shape):
            mask = mask[[i % len(mask) for i in index]]
        mask = mask.expand(x.shape) & ~x.isnan()
        if not bool(mask.any()):
            raise ConfigError(f"All values that the mask {self.mask!r} says to be known are nan.")
        # whatever stands where nothing is known must not matter, as it would behind a transform that mixes values
        low, high = (
            subject.chain.forward(torch.where(mask, x, torch.full_like(x, filled)), Zero()) for filled in (0.25, 0.5)
        )
        if not torch.equal(low[mask], high[mask]):
            raise ConfigError("The data's transforms mix known values with unknown ones; train without, to inpaint.")
        return {f"{self!r}.y": torch.where(mask, low, 0.0), f"{self!r}.known": mask}

    def wrap(self, model: ScoreModel) -> ScoreModel:
        """The model with its expected data replaced where it is known."""
        return _Inpainted(model, f"{self!r}.")

    def law(self, prior: Gaussian, cond: Mapping[str, Tensor] | None = None) -> Gaussian:
        """The exact posterior given the first sample's values.

        Raises:
            ConfigError: If there are none.
        """
        own, _ = without(cond, f"{self!r}.")
        mask, y = own["known"][0], own["y"][0]
        return conditioned(prior, region(mask), y[mask], torch.zeros_like(y), torch.ones_like(y), 0.0)


class _Inpainted(Guided):
    exact = True

    def __init__(self, model: ScoreModel, name: str) -> None:
        super().__init__(model)
        self._name = name

    def __call__(self, x: Tensor, t: Tensor | float, cond: Mapping[str, Tensor] | None = None) -> Prediction:
        own, rest = without(cond, self._name)
        q = self.model(x, t, rest)
        return moved(q, torch.where(own["known"], own["y"] - q.x0, 0.0))

    def known_part(self, alpha: Scale, off: Tensor, cond: Mapping[str, Tensor] | None) -> Tensor:
        own, _ = without(cond, self._name)
        return torch.where(own["known"], alpha * own["y"] + off, 0.0)
