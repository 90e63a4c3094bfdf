"""Guidance towards a class by a classifier of noisy data."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from fokker import config
from fokker.classifier import Classifier, NetworkClassifier
from fokker.component import component
from fokker.errors import ConfigError
from fokker.guidance import Guidance, GuidanceClaims
from fokker.jacobian import leaf, twice_differentiable
from fokker.model import ScoreModel
from fokker.network import DataSpec
from fokker.perturbation import Perturbation, Scale, expand
from fokker.plan import Plan
from fokker.plugins import load_plugins
from fokker.prediction import Prediction
from fokker.run.folder import Run, open_run
from fokker.spec import as_spec

__all__ = ["ByClassifier", "ClassifierGuided"]

_BEYOND = 1.4
"""How far the log-SNR of a model may fall below that of a classifier: twice the noise."""

Cond = Mapping[str, Tensor] | None


@component
class ByClassifier(Guidance):
    """Add the gradient of a classifier of noisy data to the score (Song et al., 2021, eq. 14; Dhariwal & Nichol, 2021).

        score + scale d log p(y | x_t = x) / dx

    At scale 1, with an exact classifier, that is the score of the class; a model without labels will do. At any other
    scale than 0 and 1 the densities p_t(x) p(y | x_t)^scale are not one another's marginals, so that samples are *not*
    those of p(x) p(y | x)^scale; a larger scale gives clearer examples of the class and fewer kinds of them.

    The classifier is a run of its own, trained with the objective `classifier` on data of the same shape, classes and
    transforms. Its perturbation may be another one: it is asked at the time of equal log-SNR, with the state scaled
    to its alpha, and at its own least noise about states with less than that. One evaluation of the model, and one of
    the classifier with its gradient.

    Args:
        run: Folder of the classifier's run; its last checkpoint's averaged weights are taken.
        scale: Factor of the gradient; 0 leaves the model as it is.
    """

    run: str
    scale: Annotated[float, Ge(0)] = 1.0

    @property
    def claims(self) -> GuidanceClaims:
        """One evaluation of the model; no law is claimed of a network."""
        return GuidanceClaims(evaluations=1, neutral={"scale": 0.0})

    @property
    def classes(self) -> int | None:
        """Those that the classifier tells apart."""
        return self._classifier().classes

    def check(self, plan: Plan, spec: DataSpec) -> None:
        """Refuse a model of other data.

        Raises:
            ConfigError: If event shapes or transforms differ, or the noise levels do.
        """
        own = _open(self.run)
        if own.spec.event_shape != spec.event_shape:
            raise ConfigError(
                f"The classifier {self.run} was trained on examples of shape {own.spec.event_shape}, and the model on "
                f"{spec.event_shape}."
            )
        if own.plan.data.transforms != plan.data.transforms:
            raise ConfigError(
                f"The classifier {self.run} sees data through {_specs(own.plan)}, the model through {_specs(plan)}; "
                "train one of them with the data's transforms=[...] of the other."
            )
        _refuse_other_levels(self._classifier().perturbation, plan.perturbation)

    def wrap(self, model: ScoreModel) -> ScoreModel:
        """The guided model.

        Raises:
            ConfigError: If the run is no classifier, or if the model has noise levels that it was not trained at.
        """
        return ClassifierGuided(model, self._classifier(), self.scale)

    def _classifier(self) -> NetworkClassifier:
        return _loaded(self.run, _open(self.run).checkpoint().stat().st_mtime_ns)


class ClassifierGuided(ScoreModel):
    """A model guided by a classifier.

    Args:
        model: The model.
        classifier: The classifier; where its perturbation is another one it is asked at equal log-SNR.
        scale: Factor of its gradient.

    Raises:
        ConfigError: If the model has noise levels that the classifier does not know.
    """

    def __init__(self, model: ScoreModel, classifier: Classifier, scale: float) -> None:
        _refuse_other_levels(classifier.perturbation, model.perturbation)
        self._model, self._classifier, self._scale = model, classifier, scale

    @property
    def perturbation(self) -> Perturbation:
        """That of the guided model."""
        return self._model.perturbation

    def __call__(self, x: Tensor, t: Tensor | float, cond: Cond = None) -> Prediction:
        """The model's prediction with the gradient in its score; examples without a label are left as they are."""
        if cond is None or "label" not in cond:
            raise ConfigError("A model with classifier guidance is called with labels.")
        if x.shape[1:] != self._classifier.event_shape:
            raise ConfigError(
                f"The classifier takes events of shape {self._classifier.event_shape}, not {tuple(x.shape[1:])}."
            )
        q = self._model(x, t, cond)
        slope = self._slope(x, t, cond["label"])
        # delta v = -sigma (alpha^2 + sigma^2) / alpha delta score; where alpha = 0 nothing is known of a class
        change = self._scale * q.sigma * (q.alpha**2 + q.sigma**2) * slope
        return Prediction(x, q.alpha, q.sigma, v=q.v - _divided(change, q.alpha), rates=q.rates, log_var=q.log_var)

    def _slope(self, x: Tensor, t: Tensor | float, label: Tensor) -> Tensor:
        """d log p(label | x) / dx, (B, *D), under `torch.no_grad` too."""
        own_t, ratio = self._matched(t, x)
        again = torch.is_grad_enabled()
        with twice_differentiable():
            at = x if again and x.requires_grad else leaf(x)
            log_prob = self._classifier.log_prob(ratio * at, own_t)
            known = label < self._classifier.classes
            chosen = log_prob.gather(1, label.clamp(max=self._classifier.classes - 1)[:, None]).squeeze(1)
            (slope,) = torch.autograd.grad((chosen * known).sum(), at, create_graph=again)
        return slope

    def _matched(self, t: Tensor | float, x: Tensor) -> tuple[Tensor | float, Scale]:
        """The classifier's time of equal log-SNR, and what scales the state to it."""
        own, other = self._classifier.perturbation, self._model.perturbation
        if own == other:
            return t, 1.0
        host = torch.as_tensor(t, dtype=torch.float64, device="cpu")
        own_t = own.time(other.log_snr(host)).clamp(min=own.t_min)
        ratio = own.alpha(own_t) / other.alpha(host)
        return own_t, float(ratio) if host.ndim == 0 else expand(ratio.to(x.device, x.dtype), x)


def _divided(change: Tensor, alpha: Scale) -> Tensor:
    if isinstance(alpha, float):
        return change / alpha if alpha else torch.zeros_like(change)
    return torch.where(alpha > 0, change / torch.where(alpha > 0, alpha, 1.0), 0.0)


def _refuse_other_levels(own: Perturbation, other: Perturbation) -> None:
    """Refuse a model with more noise than a classifier was trained at."""
    if own == other:
        return
    ends = [float(p.log_snr(torch.ones((), dtype=torch.float64))) for p in (own, other)]
    low, wanted = ends
    if wanted < low - _BEYOND:
        raise ConfigError(
            f"The classifier knows log-SNRs down to {low:.3g} ({type(own).__name__}), and the model goes down to "
            f"{wanted:.3g} ({type(other).__name__}); train a classifier with the model's perturbation."
        )


def _specs(plan: Plan) -> str:
    """The transforms of a plan's data as they are written."""
    registry = load_plugins().registry
    each = [str(as_spec(config.to_table(registry, t, "transform"))) for t in plan.data.transforms]
    return f"[{','.join(each)}]"


def _open(path: str) -> Run:
    file = Path(path) / "run.toml"
    return _read(path, file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(maxsize=8)
def _read(path: str, modified: int) -> Run:
    """A run, read once for all calls; what was modified since is read again."""
    return open_run(Path(path), load_plugins())


@lru_cache(maxsize=8)
def _loaded(path: str, modified: int) -> NetworkClassifier:
    return _open(path).classifier()
