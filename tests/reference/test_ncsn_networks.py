"""The networks of NCSN and NCSNv2 with the originals' weights: outputs, annealed Langevin dynamics, and the loss.

Their levels descend from label 0, fokker's ascend from level 1.
"""

import pytest
import torch

from fokker.grid import Knots
from fokker.label import Index
from fokker.model import NetworkModel
from fokker.network import DataSpec
from fokker.noise import Recorded
from fokker.parameterization import Score, SigmaScaled
from fokker.sampler import trajectory
from fokker.table import Sigmas
from fokker_matching.ncsn import NCSN as Loss
from fokker_ncsn.ncsn import NCSN
from fokker_ncsn.ncsnv2 import NCSNv2
from fokker_ncsn.original import multipliers_of, renamed
from fokker_smld.smld import SMLD

FILES = {"ncsn": "ncsn_models/ncsn_v1_16px", "ncsnv2": "ncsnv2_models/ncsnv2_16px"}


class Original:
    """A recorded network as fokker's model, and its levels."""

    def __init__(self, name, data, dtype=torch.float32):
        config = data.meta["config"]["model"]
        weights = {k.removeprefix("state_dict/"): v for k, v in data.tensors.items() if k.startswith("state_dict/")}
        weights.pop("sigmas", None)
        kind, read = {"ncsn": (NCSN, Score), "ncsnv2": (NCSNv2, SigmaScaled)}[name]
        network = kind(channels=config["ngf"], multipliers=multipliers_of(weights))
        self.levels = config["num_classes"]
        self.p = Sigmas(minimum=config["sigma_end"], maximum=config["sigma_begin"], levels=self.levels)
        backbone = network.build(DataSpec((3, 16, 16), levels=self.levels)).eval().requires_grad_(False)
        backbone.load_state_dict(renamed(weights))
        self.model = NetworkModel(backbone.to(dtype), self.p, read(), Index())

    def times(self, labels):
        """Times of the original's labels."""
        return self.p.knots[self.levels - 1 - labels]


@pytest.fixture(params=FILES)
def original(request, record):
    data = record(FILES[request.param])
    return Original(request.param, data), data


def test_published_weights_give_the_published_output(original, agree):
    ours, data = original
    score = ours.model(data["x"].float(), ours.times(data["labels"])).score
    agree(score, data["output"], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", FILES)
def test_annealed_langevin_dynamics(name, record, agree):
    """Several updates a level in NCSN's form; a state is what a level was left with, the last the end of all."""
    data = record(FILES[name])
    ours = Original(name, data)
    call = data.meta["call"]["anneal_Langevin_dynamics"]
    each = call["n_steps_each"]
    smld = SMLD(step=call["step_lr"], form="ncsn", steps_per_level=each)
    grid = Knots().times(ours.p, ours.levels - 1)
    noise, start = Recorded(data["ald_noise"].float()), data["ald_x_init"].float()
    final = "tweedie" if call.get("denoise") else "none"
    states = [s.x for s in trajectory(ours.model, smld, grid, noise, start, final=final)]
    if name == "ncsn":  # recorded before every update, the very last one therefore not, and clamped in the record alone
        recorded = data["ald_states_clamped"][: -1 - each : each]
        agree(torch.stack(states[:-1]).clamp(0, 1), recorded, rtol=0, atol=2e-5)
    else:
        *left, last, end = states[1:]
        recorded = data["ald_states"][each - 1 : -1 : each]
        agree(torch.stack(left), recorded[:-2], rtol=0, atol=1e-5)
        agree(last, recorded[-1], rtol=0, atol=1e-5)
        agree(end, data["ald_states"][-1], rtol=0, atol=1e-5)


def test_loss(original, agree):
    ours, data = original
    t = ours.times(data["dsm_labels"])
    losses = Loss().loss(ours.model, data["dsm_data"].float(), t, Recorded(data["dsm_z"].float()[None]))
    agree(losses.mean(), data["dsm_loss"], rtol=1e-5)
