"""Data sets of a few examples in every format, made here."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before datasets is imported

import datasets
import pytest
import torch
from made import N, dataset, picture, write_shard

from fokker import build, load_plugins

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Files of forty examples: `a.parquet` and `b.parquet`, a saved dataset, `w-0.tar` to `w-3.tar`, pictures."""
    datasets.disable_progress_bars()
    place = tmp_path_factory.mktemp("data")
    whole = dataset()
    (place / "parquet").mkdir()
    whole.select(range(25)).to_parquet(place / "parquet" / "a.parquet", batch_size=6)
    whole.select(range(25, N)).to_parquet(place / "parquet" / "b.parquet", batch_size=6)
    whole.save_to_disk(place / "saved", num_shards=3)
    (place / "shards").mkdir()
    for s in range(4):
        write_shard(place / "shards" / f"w-{s}.tar", range(10 * s, 10 * s + 10))
    for i in range(N):
        path = place / "pictures" / ("train" if i < 30 else "test") / "xyz"[i % 3] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i).save(path)
    return place


@pytest.fixture(scope="session")
def host():
    return load_plugins()


@pytest.fixture
def source(host):
    """Builds a source from a spec's tables."""
    return lambda name, **fields: build(host, "data", {"name": name, **fields})
