"""One step's gradient: the same however its examples are split, and that of the loss per dimension."""

import pytest
import torch

from fokker.errors import ConfigError, RunError
from fokker.noise import PerSample
from fokker.plan import fit, spec_of
from fokker.training.batches import Order
from fokker.training.learner import Learner


@pytest.fixture
def learner(make_plan):
    def make(**settings):
        plan = make_plan(network="plain", **settings)
        examples = plan.data.open("train")
        plan = fit(plan, examples)
        learner = Learner(plan, spec_of(plan, examples))
        batches = [examples.fetch(Order(50, 8, 0).step(step)) for step in range(5)]
        return learner, batches

    return make


def take(learner, batches):
    found = []
    for step, batch in enumerate(batches):
        gradient = learner.gradient(step, batch)
        found.append((gradient.loss, gradient.norm, gradient.losses, gradient.times))
        learner.update(gradient, 1e-2)
    return found, learner.backbone.state_dict()


@pytest.mark.parametrize("accumulate", [2, 4, 8])
@pytest.mark.parametrize("classes", [{}, {"labels": 3}, {"labels": 3, "label_dropout": 0.4}])
def test_micro_batches_add_up_to_the_batch(learner, accumulate, classes):
    whole, weights = take(*learner(**classes))
    parts, same = take(*learner(**classes, accumulate=accumulate))
    for a, b in zip(whole, parts, strict=True):
        assert a[:2] == pytest.approx(b[:2], rel=1e-5)
        torch.testing.assert_close(a[2], b[2], rtol=1e-4, atol=1e-4)
        assert torch.equal(a[3], b[3])
    for name, value in weights.items():
        torch.testing.assert_close(same[name], value, rtol=1e-3, atol=1e-4)


def test_the_gradient_is_that_of_the_mean_loss_per_dimension(learner):
    """Written out: data standardised by hand, times and noise of the step, the objective, one backward pass."""
    trained, batches = learner(shape=(3,))
    gradient = trained.gradient(2, batches[2])
    plan, backbone = trained._plan, trained.backbone
    found = {name: p.grad.clone() for name, p in backbone.named_parameters()}
    backbone.zero_grad()
    every = plan.data.open("train").fetch(range(50)).x
    x0 = (batches[2].x - every.mean(0)) / every.std(0, correction=0)
    u = PerSample(0, range(8), (), stream=(1 << 40) + 2).uniform(torch.empty(8, dtype=torch.float64))
    times = plan.objective.times(plan.perturbation, u)
    noise = PerSample(0, range(8), (3,), stream=(1 << 41) + 2)
    loss = plan.objective.loss(trained._model(backbone), x0, times, noise)
    (loss.mean() / 3).backward()
    assert gradient.loss == pytest.approx(float(loss.detach().mean()), rel=1e-5)
    torch.testing.assert_close(gradient.losses, loss.detach(), rtol=1e-5, atol=1e-5)
    norm = torch.cat([p.grad.flatten() for p in backbone.parameters()]).norm()
    assert gradient.norm == pytest.approx(float(norm), rel=1e-5)
    for name, p in backbone.named_parameters():
        torch.testing.assert_close(found[name], p.grad, rtol=1e-5, atol=1e-6)


def test_clipping_bounds_the_gradient_and_reports_what_it_was(learner):
    free, batches = learner()
    bound, _ = learner(clip=0.01)
    assert free.gradient(0, batches[0]).norm == bound.gradient(0, batches[0]).norm > 0.01
    norm = torch.cat([p.grad.flatten() for p in bound.backbone.parameters()]).norm()
    assert float(norm) == pytest.approx(0.01, rel=1e-3)


def test_labels_are_left_out_with_the_probability_asked_for(learner):
    shown = []
    for share in (0.0, 0.3):
        trained, batches = learner(labels=3, label_dropout=share)
        watch = trained.backbone.conditioning.table.register_forward_pre_hook(lambda _, args: shown.append(args[0]))
        for step in range(200):
            trained.gradient(step, batches[step % 5])
        watch.remove()
    every, some = torch.cat(shown[:200]), torch.cat(shown[200:])
    dropped = some == 3
    assert torch.equal(some[~dropped], every[~dropped])
    assert not (every == 3).any()
    assert float(dropped.double().mean()) == pytest.approx(0.3, abs=0.035)  # 3 standard errors of 1600 examples
    # the first position of a step and the first step of a position have no say
    by_place = dropped.view(200, 8).double()
    assert by_place.mean(0).min() > 0.15
    assert len(by_place.unique(dim=0)) > 50


def test_labels_that_are_not_there_cannot_be_left_out(learner):
    with pytest.raises(ConfigError, match=r"label_dropout has no effect without labels; set train\.labels = true"):
        learner(label_dropout=0.1)


def test_weights_and_noise_follow_from_the_seed(learner):
    torch.manual_seed(0)
    _, weights = take(*learner(seed=4))
    torch.manual_seed(1)
    _, same = take(*learner(seed=4))
    _, other = take(*learner(seed=5))
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert not any(torch.equal(weights[name], other[name]) for name in weights)


def test_parameters_stay_in_float32(learner):
    trained, batches = learner(precision="bf16")
    exact, _ = learner()
    half, full = trained.gradient(0, batches[0]), exact.gradient(0, batches[0])
    assert half.norm != full.norm
    assert half.norm == pytest.approx(full.norm, rel=0.02)
    assert {p.dtype for p in trained.backbone.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in trained.backbone.parameters()} == {torch.float32}


def test_what_a_device_cannot_do_is_refused(learner):
    with pytest.raises(ConfigError, match=r"precision = 'fp16' needs a cuda device, not cpu; use bf16 or fp32"):
        learner(precision="fp16")
    with pytest.raises(ConfigError, match=r"no device 'qpu' here; use auto, .*cpu"):
        learner(device="qpu")


def test_a_launcher_that_shares_the_weights_is_refused(learner, monkeypatch):
    from accelerate import Accelerator, DistributedType

    monkeypatch.setattr(Accelerator, "distributed_type", DistributedType.FSDP)
    with pytest.raises(ConfigError, match=r"copies of the whole network \(DDP\); accelerate was asked for FSDP"):
        learner()


def test_a_snapshot_of_another_network_is_refused(learner, tmp_path):
    trained, _ = learner(shape=(3,))
    other, _ = learner(shape=(4,))
    with pytest.raises(RunError, match=r"step-1 does not fit the network of run\.toml \(size mismatch for first"):
        other.restore(trained.snapshot({}), tmp_path / "step-1")
