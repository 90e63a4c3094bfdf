"""Memory stays flat while data that is larger than a limit on memory is streamed.

The limit is RLIMIT_DATA, what a process may write to and shares with no other: the heap, and what is mapped without a
file. (RLIMIT_AS counts the addresses of libraries and of mapped files too, and torch alone takes gigabytes of these.)
The data is larger than all that the process may have under the limit, the libraries' own memory included; the largest
resident size, mapped files included, is measured besides.
"""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset

ROWS, LENGTH = 4096, 48 * 1024  # 192 KiB a row, 768 MiB altogether
GROUP = 32
LIMIT = 640 << 20

CODE = """
import os, resource, sys
import torch
torch.set_num_threads(1)
from fokker import build, load_plugins
from fokker.training.batches import Order, batches

spec, whole, rows, limit = sys.argv[1], sys.argv[2] == "whole", int(sys.argv[3]), int(sys.argv[4])
data = build(load_plugins(), "data", spec)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
examples = data.open()
assert len(examples) == rows
if whole:
    try:
        examples.fetch(range(rows))
    except (MemoryError, RuntimeError) as error:
        print("refused")
    sys.exit()
order, seen, sizes = Order(rows, 16, 0, examples.blocks), set(), []
for batch in batches(examples, order, 0, rows // 16, slice(0, 16), 0):
    seen.update(batch.x[:, 0].int().tolist())
    with open("/proc/self/status") as status:
        values = dict(line.split(":", 1) for line in status)
    sizes.append(int(values["VmRSS"].split()[0]) >> 10)
assert seen == set(range(rows))
n = len(sizes)
print(max(sizes[n // 4: n // 2]), max(sizes[-n // 4:]), max(sizes))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Rows of float32 numbers, the first of which is the number of the row."""
    place = tmp_path_factory.mktemp("large")
    schema = pa.schema({"x": pa.list_(pa.float32(), LENGTH)})
    block = np.random.default_rng(0).normal(size=(GROUP, LENGTH)).astype(np.float32)
    with pq.ParquetWriter(place / "x.parquet", schema, compression="none", use_dictionary=False) as file:
        for first in range(0, ROWS, GROUP):
            block[:, 0] = np.arange(first, first + GROUP)
            column = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), LENGTH)
            file.write_table(pa.table({"x": column}, schema=schema))
    (place / "shards").mkdir()
    for s in range(16):
        with webdataset.TarWriter(str(place / "shards" / f"{s:02d}.tar")) as tar:
            for i in range(s * ROWS // 16, (s + 1) * ROWS // 16):
                row = block[i % GROUP].copy()
                row[0] = i
                tar.write({"__key__": f"{i:05d}", "npy": row})
    yield place
    for path in place.rglob("*"):
        if path.is_file():
            path.unlink()


def ran(spec, what):
    done = subprocess.run(
        [sys.executable, "-c", CODE, spec, what, str(ROWS), str(LIMIT)],
        # a pool that gives back what it took, so that what is measured is what is needed
        env={**os.environ, "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.parametrize("which", ["hf:path=x.parquet,array=x", "webdataset:path=shards,array=npy"])
def test_memory_is_flat_on_data_larger_than_the_limit(large, which):
    name, _, rest = which.partition(":path=")
    path, _, more = rest.partition(",")
    spec = f"{name}:path='{large / path}',{more},together=4,test_share=0.0"
    size = sum(f.stat().st_size for f in [large / path, *(large / path).glob("*")] if f.is_file())
    assert size > LIMIT
    early, late, most = (int(v) << 20 for v in ran(spec, "streamed"))
    assert late < early + (32 << 20)
    assert most < size
    assert ran(spec, "whole") == ["refused"]  # the limit is one: the data does not fit under it
