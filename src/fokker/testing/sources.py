"""What every DataSource should do.

A source that would have to download something is not applicable, with its reason: checks make no connections.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from fokker.data import Batch, Chain, DataSource, Examples, Split
from fokker.errors import DataError
from fokker.noise import Seeded, Zero
from fokker.perturbation import VP
from fokker.testing.check import NotApplicable, Suite, expect
from fokker.testing.compare import close, same
from fokker.testing.generators import untouched
from fokker.testing.jacobian import log_determinants
from fokker.testing.offline import offline

__all__ = ["suite"]

SPLITS: Mapping[str, Split] = {"train": "train", "test": "test"}

_SOME = 8  # examples that are looked at together
_MANY = 256  # examples whose labels are looked at
_NUMEL = 1024  # numbers of an event whose Jacobian is computed
_LAW, _LAW_NUMEL, _LAW_ERRORS = (
    4096,
    64,
    5.0,
)  # examples, numbers of each, and standard errors that a law is held against


def _observe(source: DataSource) -> list[Any]:
    """Size, shape, blocks, notes, some examples in both units, and their log-determinants, of each split."""
    seen: list[Any] = []
    for split in SPLITS.values():
        try:
            with offline():
                opened = source.open(split)
        except DataError as error:
            if split == "train":
                raise
            seen.append(str(error))  # this configuration leaves it empty
            continue
        batch = _fetch(opened, _spread(len(opened), _SOME))
        fitted = Chain(source.transforms).fit(batch.x, Seeded(0))
        seen += [len(opened), tuple(opened.event_shape), opened.classes, batch.x, *batch.cond.values()]
        seen += [opened.blocks, opened.notes]
        seen += fitted.forward_with_log_det(batch.x, Seeded(1))
    return seen


suite = Suite(DataSource, observe=_observe)


@suite.check(over=SPLITS)
def examples(source: DataSource, split: Split) -> str:
    """Opens, with at least one example, and fetches float32 tensors of the shape it names, finite, batch first."""
    opened = _open(source, split)
    expect(len(opened) > 0, "has no examples")
    index = _spread(len(opened), _SOME)
    x = _fetch(opened, index).x
    shape = tuple(opened.event_shape)
    expect(len(shape) > 0, "names the event shape (): a single number has the shape (1,)")
    expect(x.dtype == torch.float32, f"gives {x.dtype} where torch.float32 is due")
    expect(
        tuple(x.shape) == (len(index), *shape),
        f"gives a tensor of shape {tuple(x.shape)} for {len(index)} positions, and names the event shape {shape}",
    )
    expect(bool(x.isfinite().all()), "gives a value that is not finite")
    return f"{len(opened)} of shape {shape}"


@suite.check
def conditions(source: DataSource) -> str:
    """Gives conditions batch first, and labels, if there are any, as int64 in [0, classes)."""
    opened = _open(source)
    index = _spread(len(opened), _MANY)
    cond = _fetch(opened, index).cond
    expect(
        ("label" in cond) == (opened.classes is not None),
        f"names {opened.classes} classes and gives the conditions {', '.join(cond) or 'none'}: where there are "
        f"classes, each example has a label, and where not, none",
    )
    expect("label" not in opened.condition, "names the labels in `condition`; `classes` says that there are some")
    for name, shape in opened.condition.items():
        expect(name in cond, f"names the condition {name} and does not give it")
        found = tuple(cond[name].shape[1:])
        expect(found == tuple(shape), f"gives {name} of shape {found} where its `condition` says {tuple(shape)}")
    if not cond:
        raise NotApplicable("it gives no conditions")
    for name, value in cond.items():
        expect(value.ndim > 0 and len(value) == len(index), f"{name} has the shape {tuple(value.shape)}, not (B, ...)")
    if opened.classes is None:
        return f"gives {', '.join(cond)}"
    label = cond["label"]
    expect(label.dtype == torch.int64, f"gives labels as {label.dtype} where torch.int64 is due")
    expect(label.ndim == 1, f"gives labels of shape {tuple(label.shape)} where (B,) is due")
    low, high = int(label.min()), int(label.max())
    expect(low >= 0 and high < opened.classes, f"gives labels from {low} to {high}, and names {opened.classes} classes")
    return f"labels from {low} to {high} of {opened.classes} classes"


@suite.check(over=SPLITS)
def reproducible(source: DataSource, split: Split) -> None:
    """Has the same examples at the same positions whenever it is opened."""
    one, other = _open(source, split), _open(source, split)
    expect(len(one) == len(other), f"has {len(one)} examples when it is opened, and {len(other)} the next time")
    index = _spread(len(one), _SOME)
    _agree(_fetch(one, index), _fetch(other, index), "opened a second time, it gives other examples: a value")


@suite.check
def indexed(source: DataSource) -> None:
    """Fetches any positions in any order, with repeats, together or one by one."""
    opened = _open(source)
    index = _spread(len(opened), _SOME)
    together = _fetch(opened, index)
    order = [*reversed(range(len(index))), 0, 0]
    mixed = _fetch(opened, [index[k] for k in order])
    _agree(mixed, _rows(together, order), "with the positions in another order, and repeated, a value")
    for k, position in enumerate(index):
        _agree(_fetch(opened, [position]), _rows(together, [k]), f"with position {position} fetched alone, a value")


@suite.check(over=SPLITS)
def blocks(source: DataSource, split: Split) -> str:
    """Names blocks that hold its examples, each at least one, if it names any."""
    opened = _open(source, split)
    if opened.blocks is None:
        raise NotApplicable("it names no blocks")
    sizes, together = opened.blocks.sizes, opened.blocks.together
    expect(all(size > 0 for size in sizes), f"names a block of {min(sizes)} examples: leave it out")
    expect(sum(sizes) == len(opened), f"names blocks of {sum(sizes)} examples altogether, and has {len(opened)}")
    expect(together > 0, f"mixes {together} blocks at a time: one is the fewest")
    return f"{len(sizes)} blocks, {together} together"


@suite.check
def past_the_end(source: DataSource) -> None:
    """Refuses a position behind the last example."""
    opened = _open(source)
    try:
        batch = _fetch(opened, [len(opened)])
    except NotApplicable:
        raise
    except Exception:
        return
    expect(False, f"position {len(opened)} of {len(opened)} examples gives a tensor of shape {tuple(batch.x.shape)}")


@suite.check
def global_generators(source: DataSource) -> None:
    """Draws nothing from the global generators of torch, numpy and Python, and seeds none of them."""
    with untouched():
        opened = _open(source)
        _fetch(opened, _spread(len(opened), _SOME))


@suite.check
def owned(source: DataSource) -> None:
    """Gives tensors to keep: writing into them changes nothing of what is fetched next."""
    opened = _open(source)
    index = range(min(len(opened), _SOME))  # a run of neighbours, which is where views come from
    given = _fetch(opened, index)
    kept = Batch(given.x.clone(), {name: value.clone() for name, value in given.cond.items()})
    for value in (given.x, *given.cond.values()):
        value.fill_(-1)
    _agree(_fetch(opened, index), kept, "after the last batch was written into, a value")


@suite.check
def inverse(source: DataSource) -> str:
    """Its transforms lead back to the examples, but for the rounding of float32."""
    chain, x = _fitted(source)
    y = chain.forward(x, Seeded(1))
    expect(bool(y.isfinite().all()), "its transforms make a value that is not finite of its own examples")
    back = chain.inverse(y)
    scale = float(x.abs().max())
    close(back, x, "an example after its transforms and back", atol=1e-5 * scale)
    return f"off by {float((back - x).abs().max()):.1g}"


@suite.check
def log_det(source: DataSource) -> None:
    """Its transforms' log-determinants add up to that of the Jacobian by autograd."""
    chain, x = _fitted(source)
    if prod(x.shape[1:]) > _NUMEL:
        raise NotApplicable(f"an event has {prod(x.shape[1:])} numbers, too many for a Jacobian")
    x = x[:2].double()
    claimed = chain.forward_with_log_det(x, Zero())[1]
    measured = log_determinants(lambda row: chain.forward(row, Zero()), x)
    close(claimed, measured, "the log-determinant", rtol=1e-6, atol=1e-6 * prod(x.shape[1:]))


@suite.check
def law(source: DataSource) -> str:
    """Names the law that its examples are drawn from, if it names one: a score with E s = 0 and E x s^T = -I."""
    chain, x = _fitted(source, least=0, count=_LAW)
    p = VP()
    found = dataclasses.replace(source, transforms=chain.transforms).law(p)  # type: ignore[type-var]
    if found is None:
        raise NotApplicable("it names no law")
    numel = prod(x.shape[1:])
    if numel > _LAW_NUMEL:
        raise NotApplicable(f"an event has {numel} numbers, too many for a matrix of means")
    y = chain.forward(x, Seeded(1)).double()
    worst = 0.0
    for k, t in enumerate((0.15, 0.4, 0.7)):
        noisy = p.perturb(y, torch.tensor(t, dtype=torch.float64), Seeded(k)(y))
        score = torch.cat([found.score(part, t) for part in noisy.split(256)]).flatten(1)
        products = torch.einsum("ni,nj->nij", noisy.flatten(1), score) + torch.eye(numel, dtype=torch.float64)
        for what, each in (("E s", score), ("E x s^T + I", products.flatten(1))):
            errors = each.mean(0).abs() / (each.std(0) / len(each) ** 0.5)
            worst = max(worst, float(errors.max()))
            expect(
                worst < _LAW_ERRORS,
                f"names a law whose score has {what} = {float(each.mean(0).flatten()[errors.argmax()]):.3g} over its "
                f"examples at t = {t:g}, {worst:.1f} standard errors from 0",
            )
    return f"at most {worst:.1f} standard errors off"


def _open(source: DataSource, split: Split = "train") -> Examples:
    """Open a split.

    Raises:
        NotApplicable: If it has to be downloaded, or if there is no test split.
    """
    with offline():
        try:
            return source.open(split)
        except DataError as error:
            if split == "test":  # a source may have none
                raise NotApplicable(f"refused: {error}") from error
            raise


def _fetch(opened: Examples, index: Sequence[int]) -> Batch:
    with offline():
        return opened.fetch(index)


def _fitted(source: DataSource, *, least: int = 1, count: int = _MANY) -> tuple[Chain, Tensor]:
    """Its transforms, fitted, and some examples."""
    if len(source.transforms) < least:
        raise NotApplicable("it has no transforms")
    opened = _open(source)
    x = _fetch(opened, _spread(len(opened), count)).x
    return Chain(source.transforms).fit(x, Seeded(0)), x


def _spread(n: int, count: int) -> list[int]:
    """Up to `count` positions out of n, evenly spread, with the first and the last."""
    if n <= count:
        return list(range(n))
    return [k * (n - 1) // (count - 1) for k in range(count)]


def _rows(batch: Batch, rows: list[int]) -> Batch:
    return Batch(batch.x[rows], {name: value[rows] for name, value in batch.cond.items()})


def _agree(actual: Batch, expected: Batch, what: str) -> None:
    same(actual.x, expected.x, what)
    expect(actual.cond.keys() == expected.cond.keys(), "gives other conditions the next time")
    for name, value in expected.cond.items():
        same(actual.cond[name], value, f"{what} of {name}")
