"""Labels that tell a network less than they seem to."""

from fokker.component import component
from fokker.label import Label, LogSigma, ThousandTime, Time


@component
class Rounded(Label):
    """1000 t as a whole number, for a table of 1000 levels."""

    def __call__(self, perturbation, t):
        return (1000 * t).round().long() // 20


@component
class LogTime(Label):
    """log t."""

    def __call__(self, perturbation, t):
        return t.log()


@component
class Column(Label):
    """The time with a trailing dimension, ready for a linear layer."""

    def __call__(self, perturbation, t):
        return t.unsqueeze(-1)


@component
class InPlace(Label):
    """1000 t, written into the times."""

    def __call__(self, perturbation, t):
        return t.mul_(1000)


@component
class Standardised(Label):
    """The log-SNR less its mean over the batch."""

    def __call__(self, perturbation, t):
        log_snr = perturbation.log_snr(t)
        return log_snr - log_snr.mean()


MUTANTS = {
    "rounds to whole numbers": (ThousandTime(), Rounded(), "monotone[vp]"),
    "is infinite at the first level": (Time(), LogTime(), "finite[ve]"),
    "has a dimension too many": (Time(), Column(), "shape[vp]"),
    "writes into the times": (ThousandTime(), InPlace(), "shape[sigmas]"),
    "depends on the other times of the batch": (LogSigma(), Standardised(), "each-on-its-own[vp]"),
}
