"""NCSNv2 (Song & Ermon, 2020): its tables of sigmas, and a whole run of annealed Langevin dynamics.

Its levels descend from label 0, fokker's ascend from level 1.
"""

import pytest
import torch

from fokker.grid import Knots
from fokker.noise import Recorded
from fokker.sampler import trajectory
from fokker.table import Sigmas
from fokker_smld.smld import SMLD


@pytest.mark.parametrize("name", ["cifar10", "celeba", "ncsn_original"])
def test_sigmas(record, name, agree):
    data = record("ncsnv2_models/sigma_schedules")
    case = data.case(name)
    p = Sigmas(minimum=case["sigma_end"], maximum=case["sigma_begin"], levels=case["num_classes"])
    agree(p.table.flip(0), data[f"{name}/sigmas"], rtol=1e-6)


def test_annealed_langevin_dynamics(record, agree):
    """`smld` in the original's own form, several updates a level, then Tweedie."""
    data = record("ncsnv2_models/ald_analytic")
    config = data.meta["config"]
    p = Sigmas(minimum=config["sigma_end"], maximum=config["sigma_begin"], levels=config["num_classes"])
    smld = SMLD(step=config["step_lr"], form="ncsn", steps_per_level=config["n_steps_each"])
    grid = Knots().times(p, config["num_classes"] - 1)
    states = trajectory(data.law(p), smld, grid, Recorded(data["noise"]), data["x_init"], final="tweedie")
    # one state a time: the one that a level was left with, and at the last level the one that it ended with
    *left, last, end = [state.x for state in states][1:]
    each = data["states"][config["n_steps_each"] - 1 : -1 : config["n_steps_each"]]
    agree(torch.stack(left), each[:-2], rtol=1e-4, atol=1e-4)
    agree(last, each[-1], rtol=1e-4, atol=1e-4)
    agree(end, data["states"][-1], rtol=1e-4, atol=1e-4)
