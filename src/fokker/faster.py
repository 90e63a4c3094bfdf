"""A trained network that answers sooner: compiled, or replayed as one CUDA graph.

Neither changes what is sampled, but to the rounding of the network's kernels. Compiling pays after some hundred
evaluations; a graph replaces the launches of a network's kernels, one by one, by one launch, which pays where they are
small.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from fokker.errors import ConfigError

if TYPE_CHECKING:
    from fokker.model import NetworkModel

__all__ = ["Graphed", "hasten"]

Capture: TypeAlias = Callable[[Callable[[], Tensor]], tuple[Callable[[], object], Tensor]]
"""Records what a function does; gives a replay, and the tensor that every replay writes its result to."""

_WARM_UP = 3
"""Calls before a capture, in which kernels are chosen and memory is set aside."""


def hasten(
    model: "NetworkModel", device: torch.device, *, compile: bool = False, cuda_graphs: bool = False
) -> "NetworkModel":
    """Make a model's network quicker for sampling, in place.

    Args:
        model: The model, in evaluation mode.
        device: Where it is.
        compile: Put the network through `torch.compile`, which takes its time at the first evaluation.
        cuda_graphs: Capture the network as a CUDA graph for every size of a batch.

    Returns:
        The same model.

    Raises:
        ConfigError: If there is no CUDA device to capture on, or if the network is differentiated.
    """
    if cuda_graphs and device.type != "cuda":
        raise ConfigError(
            f"--cuda-graphs needs a cuda device, and this is {device.type}: there are no launches to save; leave it "
            "out, or take --compile."
        )
    if model.parameterization.differentiates and (compile or cuda_graphs):
        raise ConfigError(
            "The score of this model is the gradient of its network, which neither --compile nor --cuda-graphs gives; "
            "leave them out."
        )
    if compile:
        model.backbone = torch.compile(model.backbone)  # type: ignore[assignment]
    if cuda_graphs:
        model.backbone = Graphed(model.backbone)
    return model


class Graphed(nn.Module):
    """A network whose evaluations are captured once for each shape of its inputs, and replayed.

    Where gradients are on, as inside a guidance that needs them, the network itself is called.

    Args:
        backbone: See `fokker.network`.
        capture: How a function is recorded; by CUDA unless given.
    """

    def __init__(self, backbone: nn.Module, capture: Capture | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self._capture = capture or _captured
        self._records: dict[Any, tuple[dict[str, Tensor], Callable[[], object], Tensor]] = {}

    def forward(self, x: Tensor, label: Tensor, cond: Mapping[str, Tensor] | None = None) -> Tensor:
        """See `fokker.network.Network.build`; the answer is a tensor of its own."""
        if torch.is_grad_enabled():
            answer: Tensor = self.backbone(x, label, cond)
            return answer
        given = {"x": x, "label": label, **{f"cond.{name}": value for name, value in (cond or {}).items()}}
        key = tuple((name, value.shape, value.dtype, value.device) for name, value in given.items())
        if key not in self._records:
            inputs = {name: value.clone() for name, value in given.items()}
            named = {name: inputs[f"cond.{name}"] for name in cond or {}}
            replay, out = self._capture(
                lambda: self.backbone(inputs["x"], inputs["label"], None if cond is None else named)
            )
            self._records[key] = inputs, replay, out
        inputs, replay, out = self._records[key]
        for name, value in given.items():
            inputs[name].copy_(value)
        replay()
        return out.clone()


def _captured(answer: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
    """Capture as a CUDA graph, after some calls on a stream of their own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            answer()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = answer()
    return graph.replay, out
