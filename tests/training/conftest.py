"""Tiny trainings: a handful of weights, fifty examples, milliseconds a step."""

import json
import sys
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import numpy as np
import pytest

from fokker import hookimpl
from fokker.plan import resolve
from fokker.plugins import load_plugins
from fokker.run import checkpoint as checkpoints

NETWORKS = {
    "mlp": {"name": "mlp", "width": 8, "depth": 1, "dropout": 0.3, "embedding_width": 8},
    "plain": {"name": "mlp", "width": 8, "depth": 1, "embedding_width": 8},
    "batch-norm": {
        "name": "unet",
        "channels": 4,
        "multipliers": [1, 2],
        "blocks": 1,
        "attention": [],
        "time_dim": 8,
        "norm": "batch",
        "dropout": 0.3,
    },
}


@pytest.fixture(scope="session")
def host():
    return load_plugins()


@pytest.fixture
def make_plan(host, tmp_path):
    """Plans on random data; keywords are settings of `[train]`, and what is said of the data and of the plan."""

    def make(*, shape=(3,), network="mlp", n=50, labels=None, objective="denoising", parameterization="edm", **train):
        x = np.random.default_rng(0).normal(2.0, 3.0, (n, *shape)).astype(np.float32)
        np.savez(tmp_path / "data.npz", x=x, label=np.arange(n) % (labels or 1))
        data = {"name": "array", "path": str(tmp_path / "data.npz"), "key": "x", "test_share": 0.0}
        if labels:
            data["labels_key"] = "label"
        settings = {"batch_size": 8, "lr": 1e-2, "decay": "constant", "warmup": 0, "ema": 0.9, "device": "cpu"}
        settings |= {
            "labels": bool(labels),
            "steps": 10,
            "log_every": 5,
            "checkpoint_every": 4,
            "preview_n": 2,
            **train,
        }
        tables = {"data": data, "network": NETWORKS[network], "objective": objective}
        tables["parameterization"] = parameterization
        tables |= {"train": settings, "sample": {"steps": 2}}
        return resolve(host.registry, tables)

    return make


@pytest.fixture
def outcome():
    """All that a training leaves behind of which not a bit may differ."""

    def read(run):
        place = checkpoints.latest(run / "checkpoints")
        kept = {f.name: f.read_bytes() for f in place.iterdir()} | {"name": place.name}
        return kept | {"metrics": (run / "metrics.jsonl").read_bytes()}

    return read


@pytest.fixture
def metrics():
    """The lines of a run's metrics.jsonl."""
    return lambda run: [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def host_with(monkeypatch):
    """Hosts with one more plugin, `made-up`, made of hooks given by name."""

    def make(**hooks):
        module = ModuleType("fokker_made_up")
        for name, hook in hooks.items():
            setattr(module, name, hookimpl(hook))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return load_plugins([*entry_points(group="fokker"), EntryPoint("made-up", module.__name__, "fokker")])

    return make
