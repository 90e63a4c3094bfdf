"""Encode the test split of two runs on the same data, and print how far their latents agree and come back.

python docs/gallery/latents.py runs/unet runs/mlp
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from fokker.flow import decode, encode, read
from fokker.plugins.host import load_plugins
from fokker.run.folder import open_run


def main(*runs: Path) -> None:
    """Encode, decode, compare."""
    host = load_plugins()
    latents = []
    for path in runs:
        run = open_run(path, host)
        model, chain, data = run.model(), run.plan.chain, run.plan.data.open("test")
        off, changed, found = 0.0, 0.0, []
        for chunk in read(data, chain, run.spec, n=len(data)):
            z = encode(model, chunk.x, cond=chunk.cond)
            back = decode(model, z.x, cond=chunk.cond).x
            given = data.fetch(range(chunk.first, chunk.first + len(back))).x
            off = max(off, float((back - chunk.x).abs().max()))
            changed += float((chain.inverse(back) != given).float().mean()) * len(back) / len(data)
            found.append(z.x.flatten(1))
        latents.append(torch.cat(found))
        print(f"{path}: comes back to {off:.4f} at worst, {changed:.2%} of the levels differ", flush=True)
    a, b = (z - z.mean(0) for z in latents)
    for name, other in (("the same", b), ("shuffled", b.roll(1, 0))):
        each = torch.nn.functional.cosine_similarity(a, other, dim=1)
        print(f"correlation of latents of {name} digits: {summary(each)}")


def summary(values: Tensor) -> str:
    """Mean and standard deviation."""
    return f"{float(values.mean()):.3f} +- {float(values.std()):.3f}"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
