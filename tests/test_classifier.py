import torch
from torch.testing import assert_close

from fokker.classifier import MixtureClassifier
from fokker.exact import Gaussian, Mixture
from fokker.perturbation import VP

D = torch.float64


def test_the_classifier_of_a_mixture_is_bayes_rule():
    p, weights = VP(), torch.tensor([0.2, 0.8], dtype=D)
    means, variances = torch.tensor([[0.0, 1.0], [2.0, -1.0]], dtype=D), torch.tensor([0.5, 1.5], dtype=D)
    mixture = Mixture(p, weights, means, variances)
    classifier = MixtureClassifier(mixture)
    assert (classifier.classes, classifier.event_shape, classifier.perturbation) == (2, (2,), p)
    x, t = torch.randn(5, 2, dtype=D), torch.linspace(0.1, 1.0, 5, dtype=D)
    each = torch.stack([Gaussian(p, m, v).log_prob(x, t) for m, v in zip(means, variances, strict=True)], 1)
    expected = weights.log() + each - mixture.log_prob(x, t)[:, None]
    assert_close(classifier.log_prob(x, t), expected, rtol=1e-10, atol=1e-10)
    assert_close(classifier.log_prob(x, t).exp().sum(1), torch.ones(5, dtype=D))
