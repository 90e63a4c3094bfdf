"""What every Perturbation should do.

alpha and sigma are taken at their word; everything else is measured against them.
"""

from collections.abc import Callable, Iterator
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from fokker.errors import ConfigError
from fokker.perturbation import Perturbation
from fokker.testing.check import NotApplicable, Suite, expect
from fokker.testing.compare import close, same
from fokker.testing.worlds import EVENT_SHAPES, normal

__all__ = ["suite"]

_D = torch.float64
_SHAPES: tuple[tuple[int, ...], ...] = ((), (5,), (5, 1), (0,))


def _observe(p: Perturbation) -> list[Any]:
    t = torch.linspace(0.05, 1, 7, dtype=_D)
    return [p.alpha(t), p.sigma(t), p.knots, p.t_min, p.prior_std]


suite = Suite(Perturbation, observe=_observe)


@suite.check
def finite(p: Perturbation) -> None:
    """Has alpha and sigma that are finite and not negative on the whole of [0, 1], and t_min in [0, 1)."""
    t = torch.cat([torch.zeros(1, dtype=_D), _times(p)])
    for name, value in (("alpha", p.alpha(t)), ("sigma", p.sigma(t))):
        bad = ~(value.isfinite() & (value >= 0))
        if bool(bad.any()):
            expect(False, f"{name} is {value[bad][0].item():g} at t = {t[bad][0].item():g}")
    expect(0 <= p.t_min < 1, f"t_min is {p.t_min:g}, outside [0, 1)")


@suite.check
def decreasing(p: Perturbation) -> None:
    """Has a log-SNR that decreases strictly from the data to the prior."""
    t = torch.cat([torch.zeros(1, dtype=_D), _times(p)])
    log_snr = 2 * (p.alpha(t) / p.sigma(t)).log()
    rises = (~(log_snr.diff() < 0)).nonzero()
    if len(rises):
        i = int(rises[0])
        expect(
            False,
            f"2 log(alpha / sigma) goes from {log_snr[i].item():.6g} at t = {t[i].item():.6g} to "
            f"{log_snr[i + 1].item():.6g} at t = {t[i + 1].item():.6g}, where it must decrease; data is at t = 0",
        )


@suite.check
def logarithms(p: Perturbation) -> None:
    """Has a log_alpha and a log_snr that are those of alpha and sigma."""
    t = _inside(p)
    alpha, sigma = p.alpha(t), p.sigma(t)
    close(p.log_alpha(t), alpha.log(), "log_alpha", rtol=1e-8, atol=1e-7)
    close(p.log_snr(t), 2 * (alpha / sigma).log(), "log_snr", rtol=1e-8, atol=1e-7)


@suite.check
def time(p: Perturbation) -> None:
    """Inverts log_snr by time, which gives the nearest end for values beyond its range."""
    t = _inside(p)
    close(p.time(2 * (p.alpha(t) / p.sigma(t)).log()), t, "time(log_snr(t))", rtol=1e-6, atol=1e-8)
    beyond = torch.tensor([torch.inf, -torch.inf], dtype=_D)
    close(p.time(beyond), torch.tensor([0.0, 1.0], dtype=_D), "time of the log-SNRs inf and -inf", atol=1e-9)


@suite.check
def rates(p: Perturbation) -> str:
    """Has rates that are the slopes of alpha and sigma."""
    t, h = _smooth(p)
    expected_alpha, expected_sigma, ok = _log_slopes(p, t, h)
    d_alpha, d_sigma = p.rates(t)
    close((d_alpha / p.alpha(t))[ok], expected_alpha[ok], "alpha' / alpha", rtol=1e-5, atol=1e-6)
    close((d_sigma / p.sigma(t))[ok], expected_sigma[ok], "sigma' / sigma", rtol=1e-5, atol=1e-6)
    return f"at {int(ok.sum())} times"


@suite.check
def rates_at_round_times(p: Perturbation) -> None:
    """Has rates at 1/4, 1/2 and 3/4 that lie between the slopes on either side, where a formula may have a kink."""
    t, w = torch.tensor([0.25, 0.5, 0.75], dtype=_D), 1e-6
    for name, f, rate in zip(("alpha", "sigma"), (p.alpha, p.sigma), p.rates(t), strict=True):
        before, after = (f(t) - f(t - w)) / w, (f(t + w) - f(t)) / w
        slack = 1e-4 * (before.abs() + after.abs()) + 1e-6 * f(t)
        low, high = torch.minimum(before, after) - slack, torch.maximum(before, after) + slack
        for i, time in enumerate(t.tolist()):
            expect(
                bool(low[i] <= rate[i] <= high[i]),
                f"{name}' is {rate[i].item():.6g} at t = {time:g}, where the slopes on either side are "
                f"{before[i].item():.6g} and {after[i].item():.6g}; torch gives abs, sign and where one side",
            )


@suite.check
def drift_and_diffusion(p: Perturbation) -> str:
    """Has f = d log(alpha) / dt and g^2 = -sigma^2 d lambda / dt."""
    t, h = _smooth(p)
    of_alpha, of_sigma, ok = _log_slopes(p, t, h)
    close(p.drift(t)[ok], of_alpha[ok], "the drift f", rtol=1e-5, atol=1e-6)
    squared = (p.diffusion(t) / p.sigma(t)) ** 2
    close(squared[ok], 2 * (of_sigma - of_alpha)[ok], "g^2 / sigma^2", rtol=1e-5, atol=1e-6)
    return f"at {int(ok.sum())} times"


@suite.check
def moments(p: Perturbation) -> None:
    """Is the law of its own SDE: dm/dt = f m and dV/dt = 2 f V + g^2 lead from alpha, sigma^2 to alpha, sigma^2."""
    t = torch.linspace(0.05, 0.95, 10, dtype=_D)
    expected = torch.stack([p.alpha(t), p.sigma(t) ** 2], dim=1)
    fine, coarse = _integrated(p, t, 32), _integrated(p, t, 16)
    for k in range(1, len(t)):
        for i, name in enumerate("mV"):
            # f and g may jump at a time that is not a knot; halving the pieces tells what that costs
            cost = 20 * abs(float(fine[k, i] - coarse[k, i]))
            close(
                fine[k, i],
                expected[k, i],
                f"{name} of the moment equations at t = {t[k].item():g}",
                rtol=1e-3,
                atol=cost,
            )


@suite.check
def transition_composes(p: Perturbation) -> None:
    """Goes from r to s to t as it goes from r to t at once (Chapman-Kolmogorov), and from t to t not at all."""
    r, s, t = _ordered(p, 3)
    (a_rs, v_rs), (a_st, v_st), (a, v) = p.transition(r, s), p.transition(s, t), p.transition(r, t)
    close(a_st * a_rs, a, "a of transition(s, t) times that of transition(r, s)", rtol=1e-8, atol=1e-12)
    variance = p.sigma(t) ** 2
    close((a_st**2 * v_rs**2 + v_st**2) / variance, v**2 / variance, "the variance by way of s", atol=1e-8)
    still = torch.cat([torch.zeros(1, dtype=_D), _spread(p)])
    a, v = p.transition(still, still)
    close(a, torch.ones_like(a), "a of transition(t, t)", atol=1e-12)
    close(v, torch.zeros_like(v), "v of transition(t, t)", atol=1e-7 * float(p.sigma(still).max()))


@suite.check
def transition_agrees_with_the_marginals(p: Perturbation) -> None:
    """Carries the law at s to the law at t: a alpha_s = alpha_t and a^2 sigma_s^2 + v^2 = sigma_t^2."""
    s, t = _ordered(p, 2)
    a, v = p.transition(s, t)
    close(a * p.alpha(s), p.alpha(t), "a alpha(s)", rtol=1e-8, atol=1e-12)
    share = (a**2 * p.sigma(s) ** 2 + v**2) / p.sigma(t) ** 2
    close(share, torch.ones_like(share), "(a^2 sigma_s^2 + v^2) / sigma_t^2", atol=1e-8)


@suite.check
def levels(p: Perturbation) -> str:
    """Numbers the knots of a table 1, 2, ... from the smallest noise, and refuses an index elsewhere."""
    if p.knots is None:
        expect(_refuses(lambda: p.index(torch.tensor(0.5, dtype=_D))), "gives an index, but has no knots")
        return "it is continuous"
    knots = p.knots
    expect(
        knots.ndim == 1 and knots.dtype == _D, f"knots are {knots.dtype}, {tuple(knots.shape)}, not float64, (levels,)"
    )
    ascending = bool((knots.diff() > 0).all()) and 0 <= float(knots[0]) and float(knots[-1]) <= 1
    expect(ascending, f"knots must ascend within [0, 1]; they begin {_head(knots)} and end at {knots[-1].item():g}")
    expected = torch.arange(1, len(knots) + 1)
    same(p.index(knots), expected, "the index of a knot")
    same(p.index(knots.float()), expected, "the index of a knot in single precision")
    same(p.index(knots.flip(0).reshape(-1, 1)), expected.flip(0).reshape(-1, 1), "the index of a knot")
    middle = (knots[0] + knots[1]) / 2
    expect(_refuses(lambda: p.index(middle)), f"gives an index at t = {middle.item():g}, between two levels")
    return f"{len(knots)} levels"


@suite.check
def table(p: Perturbation) -> str:
    """Is exact on the levels of its table."""
    if p.knots is None:
        raise NotApplicable("it is continuous")
    if p.tabulated is None:
        raise NotApplicable("it has knots and does not say what was tabulated; give it 'tabulated'")
    alpha, sigma = p.tabulated
    close(p.alpha(p.knots), alpha, "alpha on a knot", rtol=1e-9, atol=1e-12)
    close(p.sigma(p.knots), sigma, "sigma on a knot", rtol=1e-9, atol=1e-12)
    return f"{len(alpha)} levels"


@suite.check
def shapes(p: Perturbation) -> None:
    """Keeps the shape and dtype of times, leaves them alone, and treats each on its own."""
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "alpha": p.alpha,
        "sigma": p.sigma,
        "log_alpha": p.log_alpha,
        "log_snr": p.log_snr,
        "drift": p.drift,
        "diffusion": p.diffusion,
        "alpha' of rates": lambda t: p.rates(t)[0],
        "sigma' of rates": lambda t: p.rates(t)[1],
        "time": lambda t: p.time(p.log_snr(t)),
    }
    for name, f in functions.items():
        alone = torch.stack([f(t) for t in torch.linspace(0.15, 0.9, 5, dtype=_D)])
        for shape in _SHAPES:
            for dtype in (_D, torch.float32):
                t = torch.linspace(0.15, 0.9, 5, dtype=_D)[: torch.Size(shape).numel()].reshape(shape).to(dtype)
                before = t.clone()
                value = f(t)
                what = f"{name} of times {shape}, {dtype}"
                expect(value.shape == shape, f"{what} has the shape {tuple(value.shape)}")
                expect(value.dtype == dtype, f"{what} has the dtype {value.dtype}")
                expect(not value.requires_grad, f"{what} requires a gradient that was not asked for")
                same(t, before, f"the time, after {name} was asked for,")
                if dtype == _D:
                    expected = alone[: value.numel()].reshape(shape)
                    close(value, expected, f"{name} of several times at once", rtol=1e-9, atol=1e-9)
    s, t = torch.tensor([[0.1], [0.2], [0.3]], dtype=_D), torch.tensor([0.4, 0.6, 0.8, 0.9], dtype=_D)
    for name, value in zip(("a", "v"), p.transition(s, t), strict=True):
        shape = tuple(value.shape)
        expect(shape == (3, 4), f"{name} of transition from times (3, 1) to times (4,) has the shape {shape}")


@suite.check
def device(p: Perturbation) -> str:
    """Computes on the device of the times."""
    t = torch.tensor([0.2, 0.5, 0.9])
    functions: dict[str, Callable[[Tensor], Tensor]] = {"alpha": p.alpha, "sigma": p.sigma}
    seen = []
    if torch.accelerator.is_available():
        there = t.to(torch.accelerator.current_accelerator())
        for name, f in functions.items():
            value = f(there)
            expect(value.device == there.device, f"{name} of times on {there.device} is on {value.device}")
            close(value, f(t), f"{name} on {there.device}", rtol=1e-5, atol=1e-6)
        seen.append(str(there.device))
    for name, f in functions.items():
        try:
            value = f(t.to("meta"))
        except Exception:  # tells nothing: tensors on `meta` have no numbers, which a formula may look at
            continue
        expect(value.device.type == "meta", f"{name} of times on another device is on {value.device}")
        seen.append(f"{name} on meta")
    if not seen:
        raise NotApplicable("there is no accelerator here, and it cannot be computed on the device 'meta'")
    return ", ".join(seen)


@suite.check
def single_precision(p: Perturbation) -> None:
    """Has in float32 an alpha within 1e-6 of that in float64, and a sigma within 1e-6 of itself, for t from 1e-6 on."""
    t = _times(p).float()
    for name, f, rtol, atol in (("alpha", p.alpha, 0.0, 1e-6), ("sigma", p.sigma, 1e-6, 0.0)):
        exact = f(t.double())
        allowed = atol + rtol * exact
        off = (f(t).double() - exact).abs()
        worst = int((off - allowed).nan_to_num(nan=torch.inf).argmax())
        expect(
            bool(off[worst] <= allowed[worst]),
            f"{name} at t = {t[worst].item():.6g} is off by {off[worst].item():.2g} in single precision, "
            f"where {allowed[worst].item():.2g} is allowed",
        )


@suite.check
def perturb(p: Perturbation) -> None:
    """Perturbs to alpha x0 + sigma eps, with one time for all or one for each example, whatever the event's shape."""
    each = torch.tensor([0.1, 0.4, 0.9], dtype=_D)
    alphas, sigmas = p.alpha(each).tolist(), p.sigma(each).tolist()
    for shape in EVENT_SHAPES:
        x0, eps = normal(3, *shape, seed=1), normal(3, *shape, seed=2)
        expected = torch.stack([a * x + s * z for a, s, x, z in zip(alphas, sigmas, x0, eps, strict=True)])
        close(p.perturb(x0, each, eps), expected, f"perturb of data {shape}", rtol=1e-9, atol=1e-12)
        for scale in p.scales(each, x0.float()):
            kind = (tuple(scale.shape), scale.dtype) if isinstance(scale, Tensor) else type(scale).__name__
            wanted = ((3,) + (1,) * len(shape), torch.float32)
            expect(kind == wanted, f"scales of 3 times for data {shape}, float32, are {kind}, not {wanted}")
        for i, t in enumerate(each):
            for one in (t, float(t)):
                expect(
                    all(isinstance(scale, float) for scale in p.scales(one, x0)),
                    "scales of one time must be Python floats",
                )
                close(p.perturb(x0, t, eps)[i], expected[i], f"perturb of data {shape}", rtol=1e-9, atol=1e-12)
                for name, scale, c in zip(("alpha", "sigma"), p.scales(one, x0), (alphas[i], sigmas[i]), strict=True):
                    close(scale, c, f"{name} of scales at t = {float(t):g}", rtol=1e-9)


@suite.check
def prior(p: Perturbation) -> str:
    """Starts from the width that data of unit variance has at t = 1, up to what is left of the data there."""
    end = torch.ones((), dtype=_D)
    alpha, sigma = float(p.alpha(end)), float(p.sigma(end))
    snr = (alpha / sigma) ** 2
    if snr > 0.01:
        raise NotApplicable(f"the SNR at t = 1 is {snr:.2g}: what is left of the data there decides on the prior")
    width = sqrt(alpha**2 + sigma**2)
    off = abs((p.prior_std / width) ** 2 - 1)
    expect(
        off <= 10 * snr + 1e-6,
        f"prior_std is {p.prior_std:.6g} where data of unit variance has {width:.6g} at t = 1 and the SNR is {snr:.2g}",
    )
    return f"SNR {snr:.2g} at t = 1"


def _times(p: Perturbation) -> Tensor:
    """From close to 0 to 1, on the knots of a table and between them."""
    t = torch.cat([torch.tensor([1e-6, 1e-5, 1e-4], dtype=_D), torch.linspace(1e-3, 1, 64, dtype=_D)])
    if p.knots is not None:
        t = _joined(t, p.knots, (p.knots[1:] + 2 * p.knots[:-1]) / 3)
    return t[(t >= 1e-6) & (t <= 1)]


def _inside(p: Perturbation) -> Tensor:
    """Times at which nothing is infinite and no formula loses all its digits."""
    t = _times(p)
    return t[(t >= 1e-4) & (t < 1)]


def _spread(p: Perturbation) -> Tensor:
    t = torch.tensor([1e-5, 1e-3, 0.01, 0.1, 0.25, 0.5, 0.77, 0.9, 1.0], dtype=_D)
    if p.knots is None:
        return t
    picked = p.knots[torch.linspace(0, len(p.knots) - 1, 4).long()]
    return _joined(t, picked[picked > 0])


def _ordered(p: Perturbation, n: int) -> Iterator[Tensor]:
    """All ways to choose n times in ascending order, equal ones included, the last of which is not 0."""
    t = torch.cat([torch.zeros(1, dtype=_D), _spread(p)])
    i = torch.cartesian_prod(*[torch.arange(len(t))] * n)
    i = i[(i.diff(dim=1) >= 0).all(1) & (i[:, -1] > 0)]
    return iter(t[i].T)


def _smooth(p: Perturbation) -> tuple[Tensor, Tensor]:
    """Times, and steps such that two steps to both sides stay within one piece of a table."""
    if p.knots is None:
        t = torch.linspace(0.005, 0.995, 34, dtype=_D)
        return t, torch.full_like(t, 1e-4)
    ends = _joined(torch.tensor([0.0, 1.0], dtype=_D), p.knots)
    width = ends.diff()
    place = torch.linspace(0.1, 0.9, len(width), dtype=_D)
    return ends[:-1] + place * width, 1e-3 * width


def _log_slopes(p: Perturbation, t: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """alpha' / alpha and sigma' / sigma by differences of fourth order, and where two widths of these agree."""

    def slope(f: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
        near, far = (f(t + k * w).log() - f(t - k * w).log() for k in (1, 2))
        return (8 * near - far) / (12 * w)

    found = []
    agree = torch.ones_like(t, dtype=torch.bool)
    for f in (p.alpha, p.sigma):
        wide, narrow = slope(f, h), slope(f, h / 2)
        found.append(narrow)
        agree &= (wide - narrow).abs() <= 1e-6 * (1 + narrow.abs())
    expect(
        2 * int(agree.sum()) > len(t),
        "alpha and sigma are too rough to be differentiated: differences of two widths disagree at "
        f"{len(t) - int(agree.sum())} of {len(t)} times; compute them in float64, and give a table its knots",
    )
    return found[0], found[1], agree


def _integrated(p: Perturbation, t: Tensor, pieces: int) -> Tensor:
    """Mean and variance by the moment equations at times t, from those at the first, (len(t), 2).

    Gauss-Legendre collocation on `pieces` pieces between two times, which are cut at knots too.
    """
    ends = torch.linspace(float(t[0]), float(t[-1]), pieces * (len(t) - 1) + 1, dtype=_D)
    ends[::pieces] = t
    if p.knots is not None:
        ends = _joined(ends, p.knots[(p.knots > t[0]) & (p.knots < t[-1])])
    h = ends.diff()
    nodes, weights, rest = _collocation()
    at = ends[:-1, None] + h[:, None] * nodes
    f, g2 = p.drift(at), p.diffusion(at) ** 2
    growth = (h * (f @ weights)).exp()  # exp of the integral of f over a piece
    brought = h * ((g2 * (2 * h[:, None] * (f @ rest.T)).exp()) @ weights)
    m, v = float(p.alpha(t[0])), float(p.sigma(t[0])) ** 2
    found = [(m, v)]
    for a, b in zip(growth.tolist(), brought.tolist(), strict=True):
        m, v = a * m, a**2 * v + b
        found.append((m, v))
    return torch.tensor(found, dtype=_D)[torch.searchsorted(ends, t)]


def _collocation() -> tuple[Tensor, Tensor, Tensor]:
    """Four Gauss-Legendre nodes c in (0, 1), their weights, and integrals of the Lagrange polynomials from c to 1."""
    inner, outer = sqrt(3 / 7 - 2 / 7 * sqrt(6 / 5)), sqrt(3 / 7 + 2 / 7 * sqrt(6 / 5))
    nodes = (1 + torch.tensor([-outer, -inner, inner, outer], dtype=_D)) / 2
    powers = torch.arange(4, dtype=_D)
    # column j has the coefficients of the polynomial that is 1 at node j and 0 at the others
    lagrange = torch.linalg.inv(nodes[:, None] ** powers)
    primitive = nodes[:, None] ** (powers + 1) / (powers + 1)
    return nodes, (1 / (powers + 1)) @ lagrange, (1 / (powers + 1) - primitive) @ lagrange


def _joined(*times: Tensor) -> Tensor:
    """Ascending, without repetition."""
    joined: Tensor = torch.cat([t.to(_D) for t in times]).unique()
    return joined


def _refuses(action: Callable[[], object]) -> bool:
    try:
        action()
    except ConfigError:
        return True
    return False


def _head(values: Tensor) -> str:
    return ", ".join(f"{v:g}" for v in values[:3].tolist())
