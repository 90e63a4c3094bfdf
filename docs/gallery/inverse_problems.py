"""Sample by measurements, compare with exact posteriors, and draw the pictures of the gallery.

    python docs/gallery/inverse_problems.py runs/digits runs/coloured docs/gallery

takes some minutes on one CPU core. The two runs are those of the page.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from coloured_digits import colours
from ring import ring
from sklearn.svm import SVC
from torch import Tensor

from fokker import draw
from fokker.config import build
from fokker.data import Chain
from fokker.draw.picture import from_figure
from fokker.draw.style import DENSITY, axes, figure
from fokker.exact import Gaussian, Mixture
from fokker.grid import LogSNR
from fokker.guidance import Guidance, Subject
from fokker.model import ScoreModel
from fokker.network import DataSpec
from fokker.perturbation import VP
from fokker.plugins.host import Host, load_plugins
from fokker.prediction import Prediction
from fokker.run.folder import Run, open_run
from fokker.sampler import Sampler
from fokker.sampling import generate
from fokker.testing.moments import affine_map

P = VP()
SDE = "ddim:eta=1.0"
CORRECTED = "pc:predictor=ddim(eta=1.0),corrector=annealed-langevin(step=0.1),corrections=5"
STRONGLY = "pc:predictor=ddim(eta=1.0),corrector=annealed-langevin(step=0.3),corrections=10"


class Observed(ScoreModel):
    """Guided Gaussian data, every sample with the same measurement."""

    perturbation = P

    def __init__(self, guidance: Guidance, prior: Gaussian) -> None:
        self.event_shape = prior.event_shape
        self.cond = dict(guidance.conditions(Subject(DataSpec(prior.event_shape)), [0]))
        self.posterior = guidance.law(prior, self.cond)
        self.model = guidance.wrap(prior)

    def __call__(self, x: Tensor, t: Tensor | float, cond: object = None) -> Prediction:
        """See `ScoreModel`."""
        return self.model(x, t, {k: v.expand(len(x), *v.shape[1:]) for k, v in self.cond.items()})


def gaussians(host: Host, folder: Path) -> None:
    """The second of two numbers of which something was measured: mean and variance, by the law of the updates."""
    np.save(folder / "sum.npy", [[1.0, 2.0]])
    noisy = f"operator='{folder}/sum.npy',values=[1.0],noise=0.5"
    eye, pair = torch.eye(2), torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    problems = (
        ("noisy sum", eye, [f"linear:{noisy}", f"pigdm:{noisy}", f"dps:{noisy}"]),
        (
            "one of a pair",
            pair,
            ["inpaint:values=[1.0,0.0]"]
            + [f"pigdm:operator=left,values=[1.0],noise=0.0,spread={spread}" for spread in ("isotropic", "full")],
        ),
        (
            "one of a pair, with an error of 0.2",
            pair,
            [
                f"{name}:operator=left,values=[1.0],noise=0.2{rest}"
                for name, rest in (("linear", ""), ("pigdm", ""), ("pigdm", ",spread=full"), ("dps", ""))
            ],
        ),
    )
    print("| problem | guidance | exact | probability flow | reverse SDE | 5 corrections |")
    print("| --- | --- | --- | --- | --- | --- |")
    for problem, covariance, specs in problems:
        prior = Gaussian(P, torch.zeros(2), covariance)
        for spec in specs:
            model = Observed(build(host.registry, "guidance", spec), prior)
            cells = [told(model.posterior.mean, model.posterior.covariance)]
            for way in ("ddim", SDE, CORRECTED):
                with torch.no_grad():
                    found = affine_map(build(host.registry, "sampler", way), model, LogSNR().times(P, 100))
                cells.append(told(*found.push(torch.zeros(2).double(), torch.eye(2).double())))
            name = spec.split(":")[0] + (" (full)" if "full" in spec else "")
            print(f"| {problem} | `{name}` | " + " | ".join(cells) + " |", flush=True)


def told(mean: Tensor, covariance: Tensor) -> str:
    """Mean and variance of the second number."""
    return f"{mean[1]:.3f}, {covariance[1, 1]:.3f}"


def plane(host: Host, pictures: Path, n: int = 4000) -> None:
    """A ring over two modes: histograms, and their total variation from the exact posterior."""
    means = torch.tensor([[1.0, 0.5], [-1.5, -0.5]])
    covariances = torch.tensor([[[1.0, 0.5], [0.5, 1.0]], [[0.6, -0.3], [-0.3, 1.0]]])
    prior = Mixture(P, torch.tensor([0.6, 0.4]), means, covariances)
    cells, fine, reach = 40, 5, 4.0
    at = (torch.arange(cells * fine, dtype=torch.float64) + 0.5) / (cells * fine) * 2 * reach - reach
    x = torch.stack(torch.meshgrid(at, at, indexing="ij"), -1).reshape(-1, 2)

    def coarse(log_weights: Tensor) -> Tensor:
        return log_weights.softmax(0).reshape(cells, fine, cells, fine).sum((1, 3))

    data, exact = coarse(prior.log_prob(x, 0.0)), coarse(prior.log_prob(x, 0.0) + ring(x))

    def distance(found: Tensor) -> float:
        return float((found - exact).abs().sum() / 2)

    draws = torch.multinomial(exact.flatten(), n, True, generator=torch.Generator().manual_seed(0))
    floor = torch.bincount(draws, minlength=cells**2).reshape(cells, cells) / n
    print(f"\n{n} exact draws: total variation {distance(floor):.3f}")
    shown = [("data", data), ("exact posterior", exact)]
    for name, spec, steps, at_end in (
        ("reverse SDE", SDE, 100, None),
        ("10 corrections a level", STRONGLY, 50, None),
        ("Langevin at sigma = 0.2", "langevin:step=0.5", 2000, 0.06),
    ):
        guidance = build(host.registry, "guidance", f"posterior:likelihood='{Path(__file__).parent}/ring.py:ring'")
        way, times = build(host.registry, "sampler", spec), LogSNR(end=at_end).times(P, steps)
        chunks = list(generate(prior, Chain(), DataSpec((2,)), way, times, n=n, guidance=[guidance], batch_size=4000))
        place = ((torch.cat([c.x for c in chunks]) + reach) / (2 * reach) * cells).long().clamp(0, cells - 1)
        found = torch.bincount(place[:, 0] * cells + place[:, 1], minlength=cells**2).reshape(cells, cells) / n
        print(f"{name}: {distance(found):.3f}, NFE {chunks[0].nfe}", flush=True)
        shown.append((name, found))
    canvas = figure(1500, 330)
    for k, (name, density) in enumerate(shown):
        ax = axes(canvas.add_subplot(1, len(shown), k + 1), title=name)
        ax.imshow(
            density.T, origin="lower", extent=(-reach, reach, -reach, reach), cmap=DENSITY, vmin=0, vmax=exact.max()
        )
    from_figure(canvas).save(pictures / "inverse-problems-plane.png")


def samples(run: Run, host: Host, guidance: str, n: int, sampler: str, steps: int = 100) -> tuple[Tensor, int]:
    """Samples 0 to n - 1, each guided by the held-out example of its number."""
    way: Sampler = build(host.registry, "sampler", sampler)
    guided = [build(host.registry, "guidance", guidance)]
    times = LogSNR().times(run.plan.perturbation, steps)
    chunks = list(generate(run.model(), run.plan.chain, run.spec, way, times, n=n, guidance=guided, data=run.plan.data))
    return torch.cat([c.x for c in chunks]), chunks[0].nfe


def measured(run: Run, host: Host, guidance: str, n: int) -> Tensor:
    """What the guidance was told of the first n held-out examples, (n, m)."""
    told = build(host.registry, "guidance", guidance).conditions(
        Subject(run.spec, run.plan.chain, run.plan.data), range(n)
    )
    return next(v for k, v in told.items() if k.endswith(".y"))


def digits(run: Run, host: Host, pictures: Path, n: int = 128) -> None:
    """Three problems of held-out digits: what a reader of digits makes of the answers, and how far they are off."""
    train = run.plan.data.open("train")
    batch = train.fetch(range(len(train)))
    reader = SVC(gamma="scale").fit(batch.x.flatten(1).numpy(), batch.cond["label"].numpy())
    held = run.plan.data.open("test").fetch(range(n))
    labels = held.cond["label"].numpy()

    def read(x: Tensor) -> float:
        return float((reader.predict(x.flatten(1).clamp(0, 1).numpy()) == labels).mean())

    def off(x: Tensor) -> float:
        return float((x - held.x).square().mean().sqrt())

    print(f"\nread rightly of the held-out digits themselves: {read(held.x):.1%}\n")
    print("| problem | guidance | NFE | read rightly | off by |")
    print("| --- | --- | --- | --- | --- |")
    left = held.x.clone()
    left[..., 4:] = 0.5
    small = measured(run, host, "linear:operator=average-2,noise=0.0", n).reshape(n, 1, 4, 4).float()
    blurred = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    noisy = measured(run, host, "linear:operator=identity,noise=0.3", n).reshape(n, 1, 8, 8).float()
    strips = []
    for problem, given, specs in (
        (
            "right half",
            left,
            [
                ("inpaint:mask=left", SDE),
                ("inpaint:mask=left", CORRECTED),
                ("pigdm:operator=left,noise=0.0", SDE),
                ("pigdm:operator=left,noise=0.0", CORRECTED),
            ],
        ),
        (
            "4x4 to 8x8",
            blurred,
            [("linear:operator=average-2,noise=0.0", SDE), ("pigdm:operator=average-2,noise=0.0", SDE)],
        ),
        (
            "noise of 0.3",
            noisy,
            [("linear:noise=0.3", SDE), ("pigdm:noise=0.3", SDE), ("dps:noise=0.3", SDE)],
        ),
    ):
        print(f"| {problem} | nothing is done | | {read(given):.1%} | {off(given):.3f} |")
        strips += [held.x[:16], given[:16]]
        for spec, sampler in specs:
            x, nfe = samples(run, host, spec, n, sampler)
            name = spec.split(":")[0] + ("` and 5 corrections" if sampler == CORRECTED else "`")
            print(f"| {problem} | `{name} | {nfe} | {read(x):.1%} | {off(x):.3f} |", flush=True)
            strips.append(x[:16])
    draw.image_grid(torch.cat(strips), pictures / "inverse-problems-digits.png", limits=(0, 1), columns=16, width=800)


def coloured(run: Run, host: Host, pictures: Path, n: int = 128) -> None:
    """Colours of grey digits: whose hue they are."""
    held = run.plan.data.open("test").fetch(range(n)).x
    hues = torch.tensor(colours()).float()

    def hue(x: Tensor) -> Tensor:
        """The nearest of the ten colours, by the sums of the channels."""
        total = x.flatten(2).sum(2)
        return torch.nn.functional.cosine_similarity((total - total.mean(1, True))[:, None], hues - 0.5, dim=2).argmax(
            1
        )

    truth = hue(held)
    print("\n| guidance | NFE | the digit's own hue |")
    print("| --- | --- | --- |")
    grey = held.mean(1, keepdim=True).expand_as(held)
    strips = [held[:16], grey[:16]]
    for spec, sampler in (
        ("colorize", SDE),
        ("colorize", CORRECTED),
        ("pigdm:operator=grey,noise=0.02", SDE),
        ("pigdm:operator=grey,noise=0.02", CORRECTED),
    ):
        x, nfe = samples(run, host, spec, n, sampler)
        own = float((hue(x) == truth).float().mean())
        name = spec.split(":")[0] + ("` and 5 corrections" if sampler == CORRECTED else "`")
        print(f"| `{name} | {nfe} | {own:.1%} |", flush=True)
        strips.append(x[:16])
    draw.image_grid(torch.cat(strips), pictures / "inverse-problems-colours.png", limits=(0, 1), columns=16, width=800)


def main(arguments: Sequence[str]) -> None:
    """Everything."""
    torch.set_num_threads(1)
    host = load_plugins()
    plain, colour, pictures = map(Path, arguments)
    with tempfile.TemporaryDirectory() as folder:
        gaussians(host, Path(folder))
    plane(host, pictures)
    digits(open_run(plain, host), host, pictures)
    coloured(open_run(colour, host), host, pictures)


if __name__ == "__main__":
    main(sys.argv[1:])
