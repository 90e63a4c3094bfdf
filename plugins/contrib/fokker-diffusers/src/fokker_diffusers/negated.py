"""EDM's preconditioning with the output's sign turned, as diffusers' EDM schedulers read v."""

from typing import Annotated

from annotated_types import Gt
from fokker import Parameterization, Prediction, component
from fokker.parameterization import EDM
from fokker.perturbation import Scale
from fokker.prediction import Rates
from torch import Tensor

__all__ = ["EDMv"]


@component
class EDMv(Parameterization):
    """x0 = c_skip x - c_out F(c_in x), with the factors of `edm` (Karras et al., 2022, eq. 7).

    At sigma_data = 1 the output is v (Salimans & Ho, 2022), and at any other one its like in units of the data;
    diffusers' EDM schedulers call it `v_prediction`.

    Args:
        sigma_data: Standard deviation of the model's data, over all examples and dimensions.
    """

    sigma_data: Annotated[float, Gt(0)] = 0.5

    def inputs(self, x: Tensor, alpha: Scale, sigma: Scale) -> Tensor:
        """c_in x."""
        return EDM(self.sigma_data).inputs(x, alpha, sigma)

    def target(self, x0: Tensor, eps: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Tensor:
        """That of `edm`, turned."""
        return -EDM(self.sigma_data).target(x0, eps, alpha, sigma, rates)

    def predict(self, output: Tensor, x: Tensor, alpha: Scale, sigma: Scale, rates: Rates | None = None) -> Prediction:
        """Reads the output turned back."""
        return EDM(self.sigma_data).predict(-output, x, alpha, sigma, rates)
