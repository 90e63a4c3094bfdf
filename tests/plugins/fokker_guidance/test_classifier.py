"""Classifier guidance: exact where the classifier is, matched by SNR, and by a classifier that fokker trains."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from fokker.classifier import MixtureClassifier
from fokker.errors import ConfigError
from fokker.exact import Gaussian, Mixture
from fokker.grid import LogSNR
from fokker.noise import Zero
from fokker.perturbation import VE, VP, SubVP
from fokker.plan import check, resolve
from fokker.plugins import load_plugins
from fokker.run.folder import open_run
from fokker.sampler import trajectory
from fokker.testing import checks_for, run
from fokker.training.loop import resume, start
from fokker_guidance.classifier import ByClassifier, ClassifierGuided
from fokker_ode.ode import ODE

D = torch.float64
P = VP()
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=D)
MEANS = torch.tensor([[1.0, 0.0], [-1.0, 2.0], [0.5, -2.0]], dtype=D)
VARIANCES = torch.tensor([0.2, 0.4, 0.1], dtype=D)


def mixture(p=P):
    return Mixture(p, WEIGHTS, MEANS, VARIANCES)


def of_class(k, p=P):
    return Gaussian(p, MEANS[k], VARIANCES[k])


@pytest.mark.parametrize("p", [P, VE(), SubVP()], ids=repr)
def test_at_scale_1_an_exact_classifier_gives_the_score_of_the_class(p):
    guided = ClassifierGuided(mixture(p), MixtureClassifier(mixture(p)), 1.0)
    t = torch.linspace(0.05, 1.0, 9, dtype=D)
    label = torch.arange(9) % 3
    x = p.perturb(MEANS[label] + 0.3, t, torch.randn(9, 2, dtype=D))
    with torch.no_grad():
        q = guided(x, t, {"label": label})
        for k in range(3):
            rows = label == k
            exact = of_class(k, p)(x[rows], t[rows])
            assert_close(q.eps[rows], exact.eps, rtol=1e-8, atol=1e-9)
            assert_close(q.x0[rows], exact.x0, rtol=1e-6, atol=1e-8)


def test_the_guided_flow_is_that_of_the_class():
    guided = ClassifierGuided(mixture(), MixtureClassifier(mixture()), 1.0)
    x = torch.randn(6, 2, dtype=D)
    label = torch.arange(6) % 3
    grid = LogSNR().times(P, 100)
    end = None
    with torch.no_grad():
        for state in trajectory(guided, ODE(method="rk4"), grid, Zero(), x, cond={"label": label}, final="none"):
            end = state.x
    expected = torch.cat([of_class(int(k)).flow(x[i : i + 1], 1.0, float(grid[-1])) for i, k in enumerate(label)])
    assert_close(end, expected, rtol=1e-4, atol=1e-4)


def test_a_scale_of_0_and_no_label_leave_the_model_as_it_is():
    x, classifier = torch.randn(4, 2, dtype=D), MixtureClassifier(mixture())
    assert_close(
        ClassifierGuided(mixture(), classifier, 0.0)(x, 0.4, {"label": torch.zeros(4).long()}).eps,
        mixture()(x, 0.4).eps,
        rtol=1e-12,
        atol=1e-12,
    )
    q = ClassifierGuided(mixture(), classifier, 3.0)(x, 0.4, {"label": torch.tensor([3, 0, 3, 1])})
    same = (q.eps - mixture()(x, 0.4).eps).abs().amax(1) < 1e-12
    assert same.tolist() == [True, False, True, False]


def test_scales_multiply_the_gradient():
    x, cond = torch.randn(4, 2, dtype=D), {"label": torch.arange(4) % 3}
    free, one, three = (
        ClassifierGuided(mixture(), MixtureClassifier(mixture()), scale)(x, 0.3, cond).score
        for scale in (0.0, 1.0, 3.0)
    )
    assert_close(three - free, 3 * (one - free), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("p", [VE(sigma_max=30.0), SubVP(), VP(beta_max=15.0)], ids=repr)
@pytest.mark.parametrize("t", [0.3, torch.tensor(0.6, dtype=D), torch.linspace(0.2, 0.8, 3, dtype=D)], ids=str)
def test_a_classifier_of_another_perturbation_is_asked_at_equal_snr(p, t):
    guided = ClassifierGuided(mixture(p), MixtureClassifier(mixture()), 1.0)
    x = p.perturb(MEANS, torch.as_tensor(t, dtype=D), torch.randn(3, 2, dtype=D))
    found = guided(x, t, {"label": torch.arange(3)})
    for k in range(3):
        own = t[k : k + 1] if isinstance(t, torch.Tensor) and t.ndim else t
        assert_close(found.eps[k : k + 1], of_class(k, p)(x[k : k + 1], own).eps, rtol=1e-6, atol=1e-7)


def test_less_noise_than_it_knows_is_taken_for_the_least():
    classifier = MixtureClassifier(mixture(VP(t_min=0.1)))
    guided = ClassifierGuided(mixture(SubVP()), classifier, 1.0)
    x = MEANS + 0.1
    slope = guided(x, 1e-3, {"label": torch.arange(3)}).score - mixture(SubVP())(x, 1e-3).score
    t, p = classifier.perturbation.t_min, classifier.perturbation
    ratio = float(p.alpha(torch.tensor(t, dtype=D)) / SubVP().alpha(torch.tensor(1e-3, dtype=D)))
    at = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(classifier.log_prob(ratio * at, t).diagonal().sum(), at)
    assert_close(slope, expected, rtol=1e-6, atol=1e-6)


def test_noise_levels_that_the_classifier_does_not_know_are_refused():
    with pytest.raises(ConfigError, match=r"log-SNRs down to -4\.61 \(VE\), and the model goes down to -10 \(VP"):
        ClassifierGuided(mixture(), MixtureClassifier(mixture(VE(sigma_max=10.0))), 1.0)


def test_the_gradient_can_be_differentiated_again():
    guided = ClassifierGuided(mixture(), MixtureClassifier(mixture()), 1.0)
    x = torch.randn(3, 2, dtype=D, requires_grad=True)
    label = torch.arange(3)
    (found,) = torch.autograd.grad(guided(x, 0.4, {"label": label}).eps.sum(), x)
    for k in range(3):
        (expected,) = torch.autograd.grad(of_class(k)(x, 0.4).eps[k].sum(), x)
        assert_close(found[k], expected[k], rtol=1e-8, atol=1e-9)


def test_it_asks_for_labels_and_its_own_event_shape():
    guided = ClassifierGuided(mixture(), MixtureClassifier(mixture()), 1.0)
    with pytest.raises(ConfigError, match="is called with labels"):
        guided(torch.zeros(1, 2), 0.5)
    with pytest.raises(ConfigError, match=r"takes events of shape \(2,\), not \(3,\)"):
        guided(torch.zeros(1, 3), 0.5, {"label": torch.zeros(1).long()})


# what follows is trained by fokker


@pytest.fixture(scope="session")
def host():
    return load_plugins()


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """A plan for a classifier of the mixture's components."""
    folder = tmp_path_factory.mktemp("mixture")
    rng = np.random.default_rng(0)
    label = rng.choice(3, 3000, p=WEIGHTS.numpy())
    x = MEANS.numpy()[label] + np.sqrt(VARIANCES.numpy())[label][:, None] * rng.normal(size=(3000, 2))
    np.savez(folder / "data.npz", x=x.astype(np.float32), label=label)
    data = {"name": "array", "path": str(folder / "data.npz"), "key": "x", "labels_key": "label", "transforms": []}

    def make(network="mlp-classifier", objective="classifier", **train):
        size = {"width": 32, "depth": 1, "embedding_width": 16} if "mlp" in network else {}
        settings = {"labels": True, "steps": 400, "batch_size": 256, "lr": 1e-2, "ema": 0.98, "warmup": 0}
        return {
            "data": data,
            "network": {"name": network, **size},
            "label": "log-snr",
            "objective": objective,
            "train": {**settings, "device": "cpu", **train},
        }

    return make


@pytest.fixture(scope="session")
def trained(host, tables, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "classifier"
    for _ in start(host, resolve(host.registry, tables()), path):
        pass
    return path


@pytest.fixture(scope="session")
def checked(trained):
    return ByClassifier(run=str(trained), scale=1.5)


def test_a_trained_classifier_gives_the_probabilities_of_noisy_data(host, trained):
    classifier, exact = open_run(trained, host).classifier(), MixtureClassifier(mixture())
    label = torch.arange(600) % 3
    for t in (0.02, 0.2, 0.5, 0.9):
        x = P.perturb(
            MEANS[label] + VARIANCES[label].sqrt()[:, None] * torch.randn(600, 2, dtype=D),
            torch.tensor(t),
            torch.randn(600, 2, dtype=D),
        )
        off = (classifier.log_prob(x, t).exp() - exact.log_prob(x, t).exp()).abs().mean()
        assert float(off) < 0.03


def test_it_passes_the_kit(checked):
    outcomes = [run(each) for each in checks_for(checked)]
    assert not [o for o in outcomes if o.status == "failed"]
    passed = {o.check.partition("[")[0] for o in outcomes if o.status == "passed"}
    assert {"event-shape", "same-perturbation", "batch-independent", "evaluations", "neutral", "field"} <= passed


def test_a_classifier_resumes_as_the_same_run(host, tables, tmp_path):
    plan = resolve(host.registry, tables(steps=8, checkpoint_every=4))
    for _ in start(host, plan, tmp_path / "whole"):
        pass
    parts = iter(start(host, plan, tmp_path / "parts"))
    for state in parts:
        if state.step == 6:
            break
    parts.close()
    for _ in resume(host, tmp_path / "parts", {}):
        pass
    for name in ("weights", "ema", "optimizer"):
        file = f"checkpoints/step-00000008/{name}.safetensors"
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        ({"network": "mlp"}, "network", "CrossEntropy teaches classes, and MLP answers with data; use a network such"),
        ({"objective": "denoising"}, "network", "Denoising teaches data, and MLPClassifier answers with classes; use"),
        ({"labels": False}, "train.labels", "learns from class labels; set train.labels = true"),
        ({"label_dropout": 0.1}, "train.label_dropout", "would be taught none; leave train.label_dropout out"),
        ({"preview_every": 5}, "train.preview_every", "A classifier has no samples to show"),
    ],
)
def test_what_does_not_go_together_is_a_problem_of_the_plan(host, tables, changes, where, message):
    _, problems = check(resolve(host.registry, tables(**changes)))
    assert [p.message for p in problems if p.where == where and message in p.message]


def test_an_energy_of_classes_is_a_problem(host, tables):
    _, problems = check(resolve(host.registry, tables(), {"parameterization": "energy"}))
    assert "Energy reads a network's gradient, and MLPClassifier answers with classes" in problems[0].message


def test_a_classifier_is_no_model_of_the_data_and_the_reverse(host, trained, tables, tmp_path):
    with pytest.raises(ConfigError, match=r"is a classifier, which has nothing to sample; guide a model of the data"):
        open_run(trained, host).model()
    for _ in start(host, resolve(host.registry, tables("mlp", "denoising", steps=1)), tmp_path / "model"):
        pass
    with pytest.raises(ConfigError, match=r"is not a classifier; train one with the objective 'classifier'"):
        open_run(tmp_path / "model", host).classifier()
    model = open_run(tmp_path / "model", host)
    ByClassifier(run=str(trained)).check(model.plan, model.spec)


def test_other_transforms_are_refused(host, trained, checked, tables):
    other = tables()
    other["data"] = {**other["data"], "transforms": ["standardise"]}
    spec = open_run(trained, host).spec
    with pytest.raises(ConfigError, match=r"sees data through \[\], the model through \[standardise"):
        checked.check(resolve(host.registry, other), spec)
