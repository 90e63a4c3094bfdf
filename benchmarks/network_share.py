"""The share of `fokker sample` that its network takes.

    python benchmarks/network_share.py RUN [-n 64] [--steps 50] [--sampler ddim] [--rounds 3] [--json]

The command itself runs in this process, on one thread, with files and progress as ever; the clock stands inside the
network, around `generate`, and around the command, whose imports were made before.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import fokker.sampling
from fokker.cli.main import cli
from fokker.model import NetworkModel
from fokker.run.folder import Run


class Clocked(torch.nn.Module):
    """A network that adds up the seconds that it takes."""

    seconds = 0.0
    calls = 0

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, *given: Any) -> torch.Tensor:
        """See `fokker.network`."""
        began = time.perf_counter()
        answer: torch.Tensor = self.backbone(*given)
        Clocked.seconds += time.perf_counter() - began
        Clocked.calls += 1
        return answer


class Generating:
    """`generate`, with the seconds that it takes."""

    seconds = 0.0

    def __init__(self) -> None:
        self.generate = fokker.sampling.generate

    def __call__(self, *given: Any, **named: Any) -> Iterator[Any]:
        """See `fokker.sampling.generate`."""
        chunks = self.generate(*given, **named)
        while True:
            began = time.perf_counter()
            chunk = next(chunks, None)
            Generating.seconds += time.perf_counter() - began
            if chunk is None:
                return
            yield chunk


def share(run: str, n: int, steps: int, sampler: str) -> dict[str, float]:
    """Seconds of one command, of `generate` in it, and of the network in that."""
    Clocked.seconds, Clocked.calls, Generating.seconds = 0.0, 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        options = ["--out", f"{folder}/x.npy", "-n", str(n), "--steps", str(steps), "--sampler", sampler]
        began = time.perf_counter()
        cli.main(["sample", run, *options, "--device", "cpu", "--quiet", "--json"], standalone_mode=False)
        seconds = time.perf_counter() - began
    return {
        "command": seconds,
        "generate": Generating.seconds,
        "network": Clocked.seconds,
        "calls": Clocked.calls,
        "share_of_generate": Clocked.seconds / Generating.seconds,
        "share_of_command": Clocked.seconds / seconds,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("-n", type=int, default=64)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--sampler", default="ddim")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model_of = Run.model

    def clocked(self: Run, **named: Any) -> NetworkModel:
        model = model_of(self, **named)
        model.backbone = Clocked(model.backbone)
        return model

    Run.model = clocked  # type: ignore[method-assign]
    fokker.sampling.generate = Generating()
    said, sys.stdout = sys.stdout, sys.stderr  # the command's own results are not the script's
    try:
        share(str(options.run), 1, 1, options.sampler)
        found = [share(str(options.run), options.n, options.steps, options.sampler) for _ in range(options.rounds)]
    finally:
        sys.stdout = said
    rows = {name: statistics.median(each[name] for each in found) for name in found[0]}
    if options.json:
        print(json.dumps(rows))
        return
    print(f"command {rows['command']:.2f} s, generate {rows['generate']:.2f} s, network {rows['network']:.2f} s")
    print(f"network: {rows['share_of_generate']:.2%} of generate, {rows['share_of_command']:.2%} of the command")


if __name__ == "__main__":
    main()
