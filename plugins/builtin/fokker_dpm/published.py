"""Weights as they are printed, where they are not the exact integrals."""

import torch
from torch import Tensor

from fokker_dpm.integrals import Levels, total
from fokker_dpm.multistep import Weigh

__all__ = ["Published"]


class Published(Weigh):
    """The multistep updates of DPM-Solver and DPM-Solver++ in log-SNR (Lu et al., 2022, and their code).

        two nodes     E1 (m_0 + D / 2)
        three nodes   E1 m_0 + E2 D1 + E3 D2 / 2,    E_i the integrals of 1, tau, tau^2,  tau = (ell - ell_t) / h
        r_i = h_i / h,  D = (m_0 - m_1) / r_0,  D' = (m_1 - m_2) / r_1,
        D2 = (D - D') / (r_0 + r_1),  D1 = D + r_0 D2

    The exact integral has E2 D in the first, to which E1 D / 2 is close for small h, and E3 D2 in the second: the
    update of three nodes is of order 2. One node is exact.
    """

    def __call__(self, levels: Levels, start: Tensor, end: Tensor, nodes: Tensor) -> Tensor:
        """See `Weigh.__call__`."""
        q = nodes.shape[1]
        if q == 1:
            return super().__call__(levels, start, end, nodes)
        kappa = 1 + self.churn
        first = total(levels, self.predicted, start, end, kappa)
        h = levels.ell[end] - levels.ell[start]
        r0 = (levels.ell[nodes[:, 0]] - levels.ell[nodes[:, 1]]) / h
        if q == 2:
            half = first / (2 * r0)
            return torch.stack([first + half, -half], dim=1)
        r1 = (levels.ell[nodes[:, 1]] - levels.ell[nodes[:, 2]]) / h
        if self.predicted == "x0":
            g = kappa * h
            alpha = levels.alpha[end]
            second = alpha * ((-g).expm1() / g + 1)
            third = -alpha * (((-g).expm1() / g + 1) / g - 0.5)
        else:
            scale = -levels.alpha[end] * levels.sigma[start] / levels.alpha[start] * (-h).exp()
            second = scale * (h.expm1() / h - 1)
            third = scale * ((h.expm1() / h - 1) / h - 0.5)
        # factors of D and of D2, then of the predictions in them
        d, d2 = second, second * r0 + third
        by_d0 = d + d2 / (r0 + r1)
        by_d1 = -d2 / (r0 + r1)
        return torch.stack([first + by_d0 / r0, by_d1 / r1 - by_d0 / r0, -by_d1 / r1], dim=1)
