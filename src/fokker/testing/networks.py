"""What every Network should do.

A network is built for the first small data that it takes: what its `examples` say, else pictures, series, points and
volumes, with levels or classes where it will not be built without. Weights are moved away from where they begin, since
a layer that starts at zero hides what comes before it.
"""

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import suppress

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from fokker.errors import ConfigError
from fokker.network import DataSpec, Network
from fokker.plugins.registry import one_line
from fokker.testing.check import CheckFailed, NotApplicable, Suite, expect
from fokker.testing.compare import close, same
from fokker.testing.worlds import EVENT_SHAPES, normal

__all__ = ["suite"]

_LEVELS, _CLASSES = 10, 3
_SHAPES = ((2, 6, 5), (2, 9), (5,), (1, 4, 3, 5), *EVENT_SHAPES, (1, 16, 16), (3, 32, 32))
_TOO_MANY = 6_000_000
"""Parameters of a network that is looked at, but not run, to see what its fields do."""

Inputs = tuple[Tensor, Tensor, dict[str, Tensor]]
"""x, label and conditions of a call."""


def _structure(module: nn.Module) -> str:
    return "; ".join(f"{name} {tuple(value.shape)}" for name, value in module.state_dict().items())


def _observe(network: Network) -> list[object]:
    spec = _spec(network)
    with torch.device("meta"):
        outline = network.build(spec)
    if sum(p.numel() for p in outline.parameters()) > _TOO_MANY:
        return [_structure(outline)]
    backbone = _trained(network, spec).train()
    torch.manual_seed(5)  # what is dropped is part of what a network does
    return [_structure(outline), backbone(*_inputs(spec, 3, torch.float32)).detach()]


suite = Suite(Network, observe=_observe)


@suite.check
def some_data(network: Network) -> str:
    """Takes some data: points, series, pictures or volumes, or what its `examples` say."""
    try:
        return f"built for {_spec(network).event_shape}"
    except NotApplicable as reason:
        raise CheckFailed(f"{reason}; a network made for other data names it in `examples`") from None


@suite.check(over={"x".join(map(str, shape)): shape for shape in EVENT_SHAPES})
def event_shape(network: Network, shape: tuple[int, ...]) -> None:
    """Gives finite numbers of the shape of its input, or one for each class, for one example and for several."""
    spec = _accepted(network, shape)
    backbone = _trained(network, spec).eval()
    for n in (1, 3):
        x, label, cond = _inputs(spec, n, torch.float32)
        out = _run(backbone, x, label, cond)
        expected = x.shape if network.answers == "data" else (n, spec.classes)
        expect(out.shape == expected, f"gives {tuple(out.shape)} for an input of shape {tuple(x.shape)}")
        expect(out.dtype == x.dtype, f"gives {out.dtype} for an input of {x.dtype}")
        expect(bool(out.isfinite().all()), "gives a value that is not finite")


@suite.check
def batch_independent(network: Network) -> None:
    """Gives an example in evaluation mode the same output alone, in another order, and beside huge neighbours."""
    spec = _spec(network)
    backbone = _trained(network, spec).double().eval()
    x, label, cond = _inputs(spec, 4, torch.float64)
    together = _run(backbone, x, label, cond)
    atol = 1e-6 * float(together.abs().max())
    order = torch.tensor([2, 0, 3, 1])
    permuted = _run(backbone, x[order], label[order], {k: c[order] for k, c in cond.items()})
    close(permuted, together[order], "the output of an example that has changed its place", atol=atol)
    for i in range(4):
        alone = _run(backbone, x[i : i + 1], label[i : i + 1], {k: c[i : i + 1] for k, c in cond.items()})
        close(alone, together[i : i + 1], "the output of an example alone", atol=atol)
    huge = torch.cat([x[:3], 1e3 * x[3:]])
    close(_run(backbone, huge, label, cond)[:3], together[:3], "the output beside a huge neighbour", atol=atol)


@suite.check
def deterministic(network: Network) -> None:
    """Gives the same twice in evaluation mode, draws nothing, and keeps its weights and buffers."""
    spec = _spec(network)
    backbone = _trained(network, spec).eval()
    inputs = _inputs(spec, 3, torch.float32)
    kept, state = {k: v.clone() for k, v in backbone.state_dict().items()}, torch.get_rng_state()
    first = _run(backbone, *inputs).clone()
    same(_run(backbone, *inputs), first, "the second output for the same input")
    expect(torch.equal(torch.get_rng_state(), state), "draws from the global generator in evaluation mode")
    for name, value in backbone.state_dict().items():
        same(value, kept[name], f"{name} after evaluations")


@suite.check
def input_untouched(network: Network) -> None:
    """Leaves x, the label and the conditions as they are."""
    spec = _spec(network)
    x, label, cond = _inputs(spec, 3, torch.float32)
    kept = x.clone(), label.clone(), {k: c.clone() for k, c in cond.items()}
    _run(_trained(network, spec).eval(), x, label, cond)
    same(x, kept[0], "x after the call")
    same(label, kept[1], "the label after the call")
    expect(cond.keys() == kept[2].keys(), "adds to, or takes from, the conditions")
    for name, value in cond.items():
        same(value, kept[2][name], f"the condition {name} after the call")


@suite.check
def seeded(network: Network) -> None:
    """Starts from weights that follow from the seed of the global generator alone."""
    spec = _spec(network)
    first = _built(network, spec, seed=3).state_dict()
    _built(network, spec, seed=4)
    for name, value in _built(network, spec, seed=3).state_dict().items():
        same(value, first[name], f"{name}, built a second time from the same seed,")


@suite.check
def gradients(network: Network) -> None:
    """Gives every parameter, and x, a finite gradient in training mode, with or without a class."""
    spec = _spec(network, classes=_CLASSES)
    backbone = _trained(network, spec).train()
    x, label, cond = _inputs(spec, 4, torch.float32)
    x.requires_grad_()
    _backward(backbone(x, label, cond or None))
    if spec.classes is not None:
        with suppress(Exception):  # a row for "no class" learns from examples without; not every network takes those
            _backward(backbone(x, label, {k: c for k, c in cond.items() if k != "label"} or None))
    for name, tensor in [("x", x), *backbone.named_parameters()]:
        if tensor.requires_grad:
            expect(tensor.grad is not None, f"{name} gets no gradient, so that it is never trained")
            finite = bool(tensor.grad.isfinite().all())  # type: ignore[union-attr]
            expect(finite, f"{name} gets a gradient that is not finite")


@suite.check
def weights_round_trip(network: Network) -> None:
    """Is the same, bit for bit, after its weights went through safetensors into a fresh module."""
    spec = _spec(network)
    backbone = _trained(network, spec)
    inputs = _inputs(spec, 3, torch.float32)
    _run(backbone.train(), *inputs)  # running statistics move
    try:
        written = save(backbone.state_dict())
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CheckFailed(
            f"safetensors refuses its weights, which share memory or are not laid out: {reason}"
        ) from error
    fresh = _built(network, spec, seed=77)
    fresh.load_state_dict(load(written))
    same(_run(fresh.eval(), *inputs), _run(backbone.eval(), *inputs), "the output of what was saved and loaded")


@suite.check
def meta_device(network: Network) -> None:
    """Can be built without memory on the device `meta`, as `fokker plan` does, with the same structure."""
    spec = _spec(network)
    try:
        with torch.device("meta"):
            outline = network.build(spec)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise CheckFailed(f"cannot be built on the device meta, where tensors have no values: {reason}") from error
    expect(_structure(outline) == _structure(_built(network, spec)), "is built differently on the device meta")


@suite.check
def moves(network: Network) -> None:
    """Takes everything with it to another precision and device."""
    spec = _spec(network)
    backbone = _trained(network, spec).eval()
    x, label, cond = _inputs(spec, 2, torch.float64)
    single = _run(backbone, x.float(), label if not label.is_floating_point() else label.float(), cond)
    try:
        double = _run(copy.deepcopy(backbone).double(), x, label, cond)
    except RuntimeError as error:
        raise CheckFailed(f"cannot be run after .double(): {str(error).partition(chr(10))[0]}") from error
    expect(double.dtype == torch.float64, f"gives {double.dtype} in float64")
    close(single, double, "the output in float32", atol=1e-3 * float(double.abs().max()))
    away = [t.to("meta") for t in (x.float(), label if not label.is_floating_point() else label.float())]
    try:
        out = backbone.to("meta")(*away, {k: c.to("meta") for k, c in cond.items()} or None)
    except Exception as error:
        # code that looks at values cannot be run without any, which says nothing of devices
        reason = str(error).partition("\n")[0]
        expect("device" not in reason, f"leaves a tensor behind when it is moved to another device: {reason}")
        raise NotApplicable("it looks at values, so that it cannot be run on the device meta") from error
    expect(out.device.type == "meta", f"gives a tensor on {out.device} where its input is on another device")


@suite.check
def classes(network: Network) -> None:
    """Is told classes apart, and "no class" in one way, if it can be built for classes; not if it answers with them."""
    spec = _spec(network, classes=_CLASSES)
    if spec.classes is None:
        raise NotApplicable("it refuses data with classes")
    backbone = _trained(network, spec).double().eval()
    x, label, cond = _inputs(spec, 1, torch.float64)
    outs = [_run(backbone, x, label, {**cond, "label": torch.tensor([k])}) for k in range(_CLASSES)]
    if network.answers == "classes":
        for k in (1, 2):
            same(outs[k], outs[0], "the answer of a network that should find the class by itself, told another class,")
        return
    for a, b in ((0, 1), (0, 2), (1, 2)):
        expect(
            not torch.equal(outs[a], outs[b]), f"is built for {_CLASSES} classes and gives {a} and {b} the same output"
        )

    try:
        named = _run(backbone, x, label, {**cond, "label": torch.tensor([_CLASSES])})
        unnamed = _run(backbone, x, label, {k: c for k, c in cond.items() if k != "label"})
    except Exception:  # not every network takes examples without a class
        return
    close(unnamed, named, "the output without a label, beside that for the class after the last,", atol=1e-9)


@suite.check
def conditions(network: Network) -> None:
    """Is changed by every condition that it does not refuse when it is built."""
    plain = _spec(network)
    spec = plain if plain.condition else dataclasses.replace(plain, condition={"extra": (3,)})
    try:
        backbone = _trained(network, spec).double().eval()
    except ConfigError as error:
        raise NotApplicable(f"refused: {error}") from error
    x, label, cond = _inputs(spec, 2, torch.float64)
    out = _run(backbone, x, label, cond)
    for name in spec.condition:
        other = _run(backbone, x, label, {**cond, name: cond[name] + 1})
        expect(not torch.equal(other, out), f"is built for the condition {name} and gives the same whatever it is")


@suite.check
def published_weights(network: Network) -> None:
    """Passes over files of weights that are not its own, whatever they hold."""
    tensor = torch.ones(2, 3)
    for content in (None, 3, "text", [], {}, tensor, {"a": tensor}, {"model": {"a": tensor}}, [{"a": tensor}, {}, 3]):
        try:
            found = type(network).published(content)
        except Exception as error:
            raise CheckFailed(f"published() stumbles over {content!r}: {one_line(error)}") from error
        expect(found is None, f"published() takes {content!r} for its own weights")


def _variants(shape: tuple[int, ...], classes: int | None) -> Iterator[DataSpec]:
    """Data of a shape, with classes first if they are wanted, and with what some networks will not do without."""
    for wanted in (classes, _CLASSES if classes is None else None):
        yield DataSpec(shape, wanted)
        yield DataSpec(shape, wanted, levels=_LEVELS)


def _first(network: Network, specs: Iterator[DataSpec]) -> DataSpec:
    reason = ""
    for spec in specs:
        try:
            network.build(spec)
        except ConfigError as error:
            reason = reason or str(error)
        else:
            return spec
    raise NotApplicable(f"refused: {reason}")


def _accepted(network: Network, shape: tuple[int, ...]) -> DataSpec:
    return _first(network, _variants(shape, None))


def _spec(network: Network, *, classes: int | None = None) -> DataSpec:
    """The first data that it takes, with classes if it takes those."""

    def specs() -> Iterator[DataSpec]:
        for spec in network.examples:
            if classes is not None and spec.classes is None:
                yield dataclasses.replace(spec, classes=classes)
            yield spec
        for shape in _SHAPES:
            yield from _variants(shape, classes)

    try:
        return _first(network, specs())
    except NotApplicable as reason:
        shapes = ", ".join(map(str, _SHAPES))
        raise NotApplicable(f"it takes none of the event shapes {shapes}; the first is {reason}") from None


def _built(network: Network, spec: DataSpec, *, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return network.build(spec)


def _trained(network: Network, spec: DataSpec) -> nn.Module:
    """As after a little training: no weight is where it began."""
    backbone = _built(network, spec)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in backbone.parameters():
            p.add_(0.05 * torch.randn(p.shape, dtype=p.dtype, generator=generator))
    return backbone


def _inputs(spec: DataSpec, n: int, dtype: torch.dtype) -> Inputs:
    label = torch.linspace(0.9, 0.1, n, dtype=dtype)
    if spec.levels is not None:
        label = torch.arange(n) * 3 % spec.levels + 1
    cond = {name: normal(n, *shape, seed=2).to(dtype) for name, shape in spec.condition.items()}
    if spec.classes is not None:
        cond["label"] = torch.arange(n) % spec.classes
    return normal(n, *spec.event_shape, seed=1).to(dtype), label, cond


def _backward(out: Tensor) -> None:
    (out * normal(*out.shape, seed=9).to(out.dtype)).sum().backward()


def _run(backbone: nn.Module, x: Tensor, label: Tensor, cond: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        out: Tensor = backbone(x, label, cond or None)
    return out
