"""How good samples are for a number of evaluations, with an exact score, beside other packages.

    python benchmarks/quality.py flow [--plot FILE.png] [--json]
    python benchmarks/quality.py laws [--json]
    python benchmarks/quality.py noise [--seeds 3] [--json]

`flow`: the mean distance of the samples of `auto` on its own grid to where the exact probability flow takes their
latents, for three problems, over the best of other packages: as they were recorded, and as they run here. `laws`: the
same for mixtures made here, over the best that runs here. `noise`: the energy distance to exact draws, of `auto`
with and without noise, and of all the others.

States are float32; the score is evaluated in float64 and handed to everybody, and whoever asks for it is counted.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from math import exp, inf, log
from pathlib import Path
from typing import Any

import torch
from exact_peers import Contender, contenders
from mixtures import CHOSEN, THREE, Law, laws, recorded
from torch import Tensor

from fokker.config import build
from fokker.exact import Mixture
from fokker.grid import Grid
from fokker.model import ScoreModel
from fokker.noise import Noise, PerSample, Zero
from fokker.plugins import Registry, load_plugins
from fokker.prediction import Prediction
from fokker.sampler import Sampler, trajectory

BUDGETS = (5, 10, 20, 50, 100)
TOPS = (15.0, 80.0)
"""Largest noise: what standardised data needs, and what EDM begins with."""

RECORDED = {
    5: (0.037, 0.042, 1.3),
    10: (0.0063, 0.012, 0.31),
    20: (0.0020, 0.0032, 0.077),
    50: (3.7e-4, 8.8e-4, 0.0088),
    100: (7.0e-5, 1.6e-4, 0.0011),
}
"""Least mean distance of 204 pairs of sampler and grid of azula 0.11.1, diffusers 0.42.1, k-diffusion 0.1.1,
smalldiffusion 0.5.0, score_sde and edm, on each of `THREE`: 2,000 samples, seed 0, two digits, float32 samplers."""

STOCHASTIC = {10: (0.033, 0.012, 0.039), 20: (0.0048, 0.0070, 0.027)}
"""Least reweighted energy distance of their samplers that draw: 10,000 samples, seed 0. From 50 on, the floor."""

Way = Callable[[Law, Tensor, int, int], Tensor]
"""Samples of a law from latents, by a number of evaluations and a seed."""

NOISY = ("auto:eta=0.5", "auto:eta=1", "sde-dpm-solver")


class Exact(ScoreModel):
    """A law's score evaluated in float64, answered in the precision of the state, and counted.

    Args:
        law: The mixture.
    """

    def __init__(self, law: Mixture) -> None:
        self.law, self.calls = law, 0
        self.event_shape = law.event_shape

    @property
    def perturbation(self) -> Any:
        """That of the law."""
        return self.law.perturbation

    def __call__(self, x: Tensor, t: Tensor | float, cond: Any = None) -> Prediction:
        """See `ScoreModel`."""
        self.calls += 1
        answer = self.law(x.double(), t)
        return Prediction(x, *self.perturbation.scales(t, x), v=answer.v.to(x.dtype))

    def denoise(self, y: Tensor, s: float) -> Tensor:
        """Expected data given y = x0 + s z."""
        self.calls += 1
        return self.law(y.double(), s / self.perturbation.sigma_max).x0.to(y.dtype)


@cache
def _registry() -> Registry:
    return load_plugins().registry


def ours(law: Law, top: float, z: Tensor, nfe: int, name: str = "auto", grid: str = "auto", seed: int = 0) -> Tensor:
    """Samples by a sampler of fokker, which may take `nfe` evaluations and not one more."""
    model = Exact(law.model(top))
    sampler: Sampler = build(_registry(), "sampler", name)
    path: Grid = build(_registry(), "grid", grid)
    claims = sampler.claims
    steps = (nfe - 1 - (0 if claims.finishes else claims.at_end)) // (claims.evaluations or 1)
    noise: Noise = PerSample(seed, range(len(z)), tuple(z.shape[1:])) if claims.stochastic else Zero()
    *_, end = trajectory(model, sampler, path.times(model.perturbation, steps), noise, top * z)
    assert model.calls <= nfe, (name, model.calls, nfe)
    return end.x


def theirs(law: Law, contender: Contender, z: Tensor, nfe: int, seed: int = 0) -> Tensor:
    """Samples by a sampler of another package, likewise."""
    model = Exact(law.model(contender.top * 1.0001))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        x = contender.run(model.denoise, z, nfe)
    assert model.calls <= nfe, (model.calls, nfe)
    return x


def distance(law: Law, top: float, x: Tensor) -> float:
    """Mean distance to the ends of the exact flow, infinite where a sample is not finite."""
    found = float((x.double() - law.end(top)).norm(dim=1).mean())
    return found if found < inf else inf


def flow(problems: Iterator[Law]) -> list[dict[str, Any]]:
    """Distances to the exact flow: a row for each problem and budget."""
    others, rows = {name: c for name, c in _contenders().items() if not c.stochastic}, []
    for law in problems:
        z = law.z.float()
        for nfe in BUDGETS:
            row: dict[str, Any] = {"law": law.name, "nfe": nfe}
            row["auto"] = {f"{top:g}": distance(law, top, ours(law, top, z, nfe)) for top in TOPS}
            row["peers"] = {name: distance(law, c.top, theirs(law, c, z, nfe)) for name, c in others.items()}
            if law.name in THREE:
                row["recorded"] = RECORDED[nfe][THREE.index(law.name)]
            rows.append(row)
    return rows


def energies(seeds: int, n: int = 10_000) -> Iterator[dict[str, Any]]:
    """Energy distances on the three problems: a row for each, each budget and each sampler, as they are measured."""
    others = _contenders()
    ways: dict[str, tuple[bool, Way]] = {
        **{name: (c.stochastic, partial(theirs_of, c)) for name, c in others.items()},
        **{name: (True, partial(ours_of, name, 15.0)) for name in NOISY},
        **{f"auto from {top:g}": (False, partial(ours_of, "auto", top)) for top in TOPS},
    }
    for law in recorded():
        reference = law.reference(n)
        latents = [torch.randn(n, law.z.shape[1], generator=torch.Generator().manual_seed(s)) for s in range(seeds)]
        drawn = [law.model(15.0).draw(n, PerSample(100 + s, range(n), (1,))) for s in range(seeds)]
        yield _energy(law.name, 0, "exact draws", [law.energy(x, reference) for x in drawn])
        for nfe in (5, 10, 20, 50):
            for name, (stochastic, way) in ways.items():
                if stochastic and nfe == 5:
                    continue  # nobody's samples are of any use
                each = [law.energy(way(law, z, nfe, seed), reference) for seed, z in enumerate(latents)]
                yield _energy(law.name, nfe, name, each)


def _energy(law: str, nfe: int, what: str, each: list[float]) -> dict[str, Any]:
    return {"law": law, "nfe": nfe, "what": what, "energy": sum(each) / len(each), "each": each}


def theirs_of(contender: Contender, law: Law, z: Tensor, nfe: int, seed: int) -> Tensor:
    """`theirs`, the sampler first."""
    return theirs(law, contender, z, nfe, seed)


def ours_of(name: str, top: float, law: Law, z: Tensor, nfe: int, seed: int) -> Tensor:
    """`ours` on its own grid, the sampler first."""
    return ours(law, top, z, nfe, name, "auto", seed)


def _contenders() -> dict[str, Contender]:
    found, missing = contenders()
    for line in missing:
        _MISSING.setdefault(line)
    return found


_MISSING: dict[str, None] = {}
"""Packages that are not there, in the order in which they were looked for."""


def mean_ratio(rows: list[dict[str, Any]], top: str, base: Callable[[dict[str, Any]], float]) -> tuple[float, float]:
    """Geometric mean and largest of the ratios of `auto` to a base."""
    ratios = [row["auto"][top] / base(row) for row in rows]
    return exp(sum(map(log, ratios)) / len(ratios)), max(ratios)


def best(row: dict[str, Any]) -> tuple[str, float]:
    """The best of the others that ran on this row, and its distance; nothing and infinity without any."""
    return min(row["peers"].items(), key=lambda item: item[1], default=("-", inf))


def print_flow(rows: list[dict[str, Any]]) -> None:
    """Tables of distances and of ratios."""
    print(f"{'law':10}{'nfe':>4}{'auto, 15':>11}{'auto, 80':>11}{'recorded':>11}{'here':>11}  best here")
    for row in rows:
        name, value = best(row)
        known = f"{row['recorded']:11.2g}" if "recorded" in row else " " * 11
        own = "".join(f"{row['auto'][top]:11.3g}" for top in ("15", "80"))
        print(f"{row['law']:10}{row['nfe']:4}{own}{known}{value:11.3g}  {name}")
    bases: dict[str, Callable[[dict[str, Any]], float]] = {"here": lambda row: best(row)[1]}
    if all("recorded" in row for row in rows):
        bases["recorded"] = lambda row: float(row["recorded"])
    groups = {"three problems": THREE, "chosen on": CHOSEN, "held out": ()}
    known = {name for names in groups.values() for name in names}
    print(f"\n{'geometric mean (largest) of auto / best':42}" + "".join(f"{nfe:>14}" for nfe in BUDGETS))
    for group, names in groups.items():
        among = [row for row in rows if (row["law"] in names if names else row["law"] not in known)]
        for base, of in bases.items():
            if not among or (base == "here" and not among[0]["peers"]):
                continue
            for top in ("15", "80"):
                found = [mean_ratio([row for row in among if row["nfe"] == nfe], top, of) for nfe in BUDGETS]
                line = "".join(f"{f'{mean:.3f} ({most:.2f})':>14}" for mean, most in found)
                print(f"{f'{group}, {base}, from {top}':42}{line}")


def plot(rows: list[dict[str, Any]], to: Path) -> None:
    """Distance against evaluations on the three problems."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 3), THREE, strict=True):
        own = [row for row in rows if row["law"] == name]
        axes.loglog(BUDGETS, [row["recorded"] for row in own], "k.--", label="best of other packages, at each NFE")
        for (top, dash), colour in zip((("15", "o-"), ("80", "s:")), ("tab:blue", "tab:orange"), strict=True):
            axes.loglog(BUDGETS, [row["auto"][top] for row in own], dash, color=colour, label=f"auto, noise from {top}")
        axes.set(title=name, xlabel="evaluations", xticks=BUDGETS, xticklabels=BUDGETS)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("mean distance to the exact flow")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(to, dpi=100)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("part", choices=("flow", "laws", "noise"))
    parser.add_argument("--seeds", type=int, default=3, help="of `noise`")
    parser.add_argument("--samples", type=int, default=10_000, help="of `noise`")
    parser.add_argument("--latents", type=int, default=400, help="of `laws`")
    parser.add_argument("--plot", type=Path, help="draw what `flow` measures")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.part == "noise":
        rows = []
        for row in energies(options.seeds, options.samples):
            rows.append(row)
            if not options.json:
                each = " ".join(f"{value:.4f}" for value in row["each"])
                print(f"{row['law']:8}{row['nfe']:5}  {row['what']:36}{row['energy']:8.4f}   {each}", flush=True)
    else:
        rows = flow(recorded() if options.part == "flow" else laws(options.latents))
    if options.plot:
        plot(rows, options.plot)
    if options.json:
        print(json.dumps({"rows": rows, "missing": list(_MISSING)}))
        return
    if options.part != "noise":
        print_flow(rows)
    for line in _MISSING:
        print(f"not measured: {line}")


if __name__ == "__main__":
    main()
