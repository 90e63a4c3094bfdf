"""The moving average of the weights against its closed form."""

import pytest
import torch
from torch import nn

from fokker.run import checkpoint as checkpoints
from fokker.training.average import moving_average
from fokker.training.learner import Learner
from fokker.training.loop import start


def closed_form(values, decay):
    """The average of w_1, ..., w_k in float64."""
    k = len(values)
    weights = [decay ** (k - 1)] + [(1 - decay) * decay ** (k - i) for i in range(2, k + 1)]
    return sum(w * v.double() for w, v in zip(weights, values, strict=True))


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_buffer("mean", torch.zeros(3, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("mask", torch.tensor([True, False]))


def test_every_tensor_of_a_module_has_its_average():
    module = Mixed()
    average = moving_average(module, 0.8)
    seen = []
    for k in range(6):
        with torch.no_grad():
            module.scale.copy_(torch.randn(3))
            module.frozen.add_(k)
            module.mean.copy_(torch.randn(3))
            module.count += 7
            module.mask.logical_not_()
        average.update_parameters(module)
        seen.append({name: value.clone() for name, value in module.state_dict().items()})
        found = average.module.state_dict()
        for name in ("scale", "frozen", "mean"):
            expected = closed_form([values[name] for values in seen], 0.8)
            assert found[name].dtype == seen[-1][name].dtype
            torch.testing.assert_close(found[name].double(), expected, rtol=1e-6, atol=1e-6)
        assert torch.equal(found["count"], module.count)
        assert torch.equal(found["mask"], module.mask)
    assert not average.module.training
    assert not any(p.requires_grad for p in average.parameters())
    assert module.scale.requires_grad and module.training


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_averages_weights_and_statistics(host, make_plan, tmp_path, precision):
    settings = {"network": "batch-norm", "shape": (1, 4, 4), "precision": precision, "ema": 0.7}
    list(start(host, make_plan(steps=6, checkpoint_every=1, keep=6, **settings), tmp_path / "run"))
    saved = [checkpoints.load(tmp_path / "run" / "checkpoints" / f"step-{k:08d}").tensors for k in range(1, 7)]
    names = saved[0]["weights"].keys()
    assert {name.rpartition(".")[2] for name in names} >= {"weight", "running_mean", "num_batches_tracked"}
    for k in range(1, 7):
        for name in names:
            found, now = saved[k - 1]["ema"][name], saved[k - 1]["weights"][name]
            if now.is_floating_point():
                assert now.dtype == torch.float32
                expected = closed_form([tensors["weights"][name] for tensors in saved[:k]], 0.7)
                torch.testing.assert_close(found.double(), expected, rtol=2e-6, atol=1e-6)
            else:
                assert torch.equal(found, now) and int(now) == k
            if k == 1:
                assert torch.equal(found, now)
    assert not torch.equal(saved[5]["ema"]["head.weight"], saved[5]["weights"]["head.weight"])


@pytest.mark.parametrize("ema", [0.9, 0.0])
def test_samples_are_drawn_in_evaluation_mode(make_plan, ema):
    plan = make_plan(network="batch-norm", shape=(1, 4, 4), ema=ema)
    from fokker.plan import spec_of

    learner = Learner(plan, spec_of(plan, plan.data.open("train")))
    before = {name: value.clone() for name, value in learner.backbone.state_dict().items()}
    with learner.sampling() as model:
        assert (model.backbone is learner.backbone) == (ema == 0)
        assert not any(module.training for module in model.backbone.modules())
        with torch.no_grad():
            model(torch.randn(5, 1, 4, 4), 0.5)
    assert all(module.training for module in learner.backbone.modules())
    assert all(torch.equal(value, before[name]) for name, value in learner.backbone.state_dict().items())
