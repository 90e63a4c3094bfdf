"""What a noise-conditional classifier learns from."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from fokker.component import component
from fokker.errors import ConfigError
from fokker.model import NetworkModel, ScoreModel
from fokker.network import Answer
from fokker.noise import Noise
from fokker.objective import Objective, TimesIn, spread_times
from fokker.perturbation import Perturbation

__all__ = ["CrossEntropy"]

Cond = Mapping[str, Tensor] | None


@component
class CrossEntropy(Objective):
    """Cross-entropy of the class of noisy data (Dhariwal & Nichol, 2021, section 4; Song et al., 2021, appendix I.1).

        loss = -log p(y | alpha x0 + sigma z, t),    in nats, t from t_min to 1

    which is least where the network gives the probabilities of the classes of noisy data, at each noise level its own.

    Args:
        times_in: How often each noise level is trained: `log-snr` spreads the log-SNR uniformly, `uniform` the time,
            `levels` takes the levels of a table.
    """

    teaches: ClassVar[Answer] = "classes"

    times_in: TimesIn = "log-snr"

    def times(self, perturbation: Perturbation, u: Tensor) -> Tensor:
        """Uniform in log-SNR or in t, or a level chosen uniformly."""
        return spread_times(perturbation, u, self.times_in, "classifier")

    def loss(self, model: ScoreModel, x0: Tensor, t: Tensor, noise: Noise, cond: Cond = None) -> Tensor:
        """See `Objective.loss`.

        Raises:
            ConfigError: If there are no labels, or no network that could be asked for classes.
        """
        if cond is None or "label" not in cond:
            raise ConfigError("A classifier learns from class labels; set train.labels = true, on data that has some.")
        if not isinstance(model, NetworkModel):
            raise ConfigError(f"A classifier is a network that answers with classes; {type(model).__name__} is none.")
        others = {name: value for name, value in cond.items() if name != "label"}
        noisy = model.perturbation.perturb(x0, t, noise(x0))
        log_prob = model.answer(noisy, t, others or None).log_softmax(1)
        return -log_prob.gather(1, cond["label"][:, None]).squeeze(1)
