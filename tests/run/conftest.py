"""Plans on a handful of examples, without training."""

import numpy as np
import pytest

from fokker.plan import fit, resolve, spec_of
from fokker.plugins import load_plugins


@pytest.fixture(scope="session")
def host():
    return load_plugins()


@pytest.fixture
def make_run(host, tmp_path):
    """Runs without a checkpoint; keywords are tables of the plan, `shape` and `labels` those of the data."""
    from fokker.run.folder import create

    def make(name="run", *, shape=(2,), labels=None, force=False, **tables):
        file = tmp_path / f"{name}.npz"
        x = np.random.default_rng(0).normal(2.0, 3.0, (10, *shape)).astype(np.float32)
        np.savez(file, x=x, label=np.arange(10) % (labels or 1))
        data = {"name": "array", "path": str(file), "key": "x"}
        if labels:
            data["labels_key"] = "label"
        tables.setdefault("network", {"name": "mlp", "width": 4, "depth": 1, "embedding_width": 4})
        tables["train"] = {"labels": bool(labels), "batch_size": 4, **tables.get("train", {})}
        plan = resolve(host.registry, {"data": data, **tables})
        examples = plan.data.open("train")
        plan = fit(plan, examples)
        return create(tmp_path / name, host, plan, spec_of(plan, examples), force=force)

    return make


@pytest.fixture
def save_weights():
    """Save a checkpoint of fresh weights, the average of them shifted by 1."""
    from fokker.run.checkpoint import Checkpoint, save

    def write(run, step=5, ema=True):
        weights = run.plan.model(run.spec).backbone.state_dict()
        tensors = {"weights": weights, "optimizer": {}}
        if ema:
            tensors["ema"] = {name: value + 1 for name, value in weights.items()}
        return save(run.checkpoints, step, Checkpoint(tensors, {"step": step}), keep=3)

    return write
