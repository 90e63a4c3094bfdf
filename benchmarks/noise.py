"""What noise costs that makes sample i depend on its index alone, beside one `torch.randn` of the same numbers.

python benchmarks/noise.py [--rounds 200] [--json]
"""

import argparse
import json
from collections.abc import Callable

import torch
from interleave import interleaved

from fokker.noise import PerSample

SHAPES = ((64, 2), (2048, 2), (10000, 2), (256, 16), (64, 1, 8, 8), (64, 1, 28, 28), (16, 3, 64, 64))


def drawing(shape: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    """The two draws of one shape."""
    x, noise = torch.empty(shape), PerSample(0, range(shape[0]), shape[1:])
    return {"randn": lambda: torch.randn(shape), "per sample": lambda: noise(x)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for shape in SHAPES:
        found = interleaved(drawing(shape), options.rounds)
        one, mine = found["randn"], found["per sample"]
        rows.append(
            {
                "shape": "x".join(map(str, shape)),
                "randn": 1e6 * one.median,
                "per_sample": 1e6 * mine.median,
                "ratio": mine.median / one.median,
                "least_ratio": mine.least / one.least,
            }
        )
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'shape':14}{'randn, us':>11}{'per sample, us':>16}{'ratio':>8}{'least':>8}")
    for row in rows:
        print(
            f"{row['shape']:14}{row['randn']:11.1f}{row['per_sample']:16.1f}{row['ratio']:8.2f}{row['least_ratio']:8.2f}"
        )


if __name__ == "__main__":
    main()
