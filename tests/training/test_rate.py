"""Learning rates against closed forms, and one cycle against torch's own."""

from math import cos, pi

import pytest
import torch

from fokker.errors import ConfigError
from fokker.training.rate import learning_rate
from fokker.training.settings import TrainSettings


def rates(**settings):
    s = TrainSettings(**settings)
    return [learning_rate(s, step) for step in range(s.steps)]


def test_constant():
    assert rates(decay="constant", warmup=0, steps=5, lr=0.3) == [0.3] * 5


def test_warm_up_rises_in_equal_steps_to_the_rate_itself():
    assert rates(decay="constant", warmup=3, steps=6, lr=4.0) == [1.0, 2.0, 3.0, 4.0, 4.0, 4.0]


def test_cosine_goes_down_from_the_end_of_the_warm_up():
    found = rates(decay="cosine", warmup=4, steps=12, lr=2.0)
    assert found[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert found[4:] == pytest.approx([1 + cos(pi * k / 8) for k in range(8)])
    assert found[8] == pytest.approx(1.0)
    assert found[4:] == sorted(found[4:], reverse=True) and found[-1] > 0


@pytest.mark.parametrize("steps", [10, 11, 37, 1000])
def test_one_cycle_is_that_of_torch(steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.7, total_steps=steps)
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < steps:
            cycle.step()
    assert rates(decay="one-cycle", steps=steps, lr=0.7) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_one_cycle_of_few_steps_has_a_rate(steps):
    assert all(0 < rate <= 0.7 for rate in rates(decay="one-cycle", steps=steps, lr=0.7))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight_decay": 0.1}, "weight_decay has no effect on 'adam'"),
        ({"decay": "one-cycle", "warmup": 1}, "warmup has no effect on 'one-cycle'"),
        ({"batch_size": 10, "accumulate": 4}, r"batch_size = 10 cannot be split into train\.accumulate = 4"),
    ],
)
def test_settings_without_effect_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TrainSettings(**settings)


def test_adamw_decays_unless_told_otherwise():
    assert TrainSettings(optimizer="adamw").weight_decay == 0.01
    assert TrainSettings(optimizer="adamw", weight_decay=0.0).weight_decay == 0.0
