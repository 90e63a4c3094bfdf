"""The network of NCSNv2."""

from typing import Annotated, Any

from annotated_types import Ge, Gt, MinLen
from torch import Tensor, nn

from fokker.component import component
from fokker.network import Condition, DataSpec, Network, Published
from fokker_ncsn.norm import InstanceNormPlus, Keep
from fokker_ncsn.original import opened, renamed
from fokker_ncsn.refinenet import RefineNet, refuse_unfit

__all__ = ["NCSNv2", "NCSNv2Backbone"]


@component
class NCSNv2(Network):
    """RefineNet that is told nothing of the noise level (Song & Ermon, 2020, section 3.3 and appendix B).

    The score is its output over sigma: the parameterization `sigma-scaled`, technique 3 of the paper. It is the network
    of NCSN without conditions, with max pooling, and with normalisations on the way down alone. Published widths are
    (1, 2, 2, 2) for images of 32x32 pixels, (1, 2, 2, 4, 4) for 64x64 and (1, 2, 2, 2, 4, 4) for 128x128 and above,
    in units of 128 channels. Images may have any number of channels and any size.

    Args:
        channels: Channels of the first stage; the unit of `multipliers`.
        multipliers: Channels of each stage in units of `channels`, from the finest to the coarsest. Every stage but the
            first and the last two halves the image; the last two are dilated, by 2 and by 4.
        stem: Side of the cells of pixels that stage 1 has one position for; 1 as published. At 2, an image costs a
            quarter.
        recentre: Whether the network sees 2 x - 1 instead of x, as published for data in [0, 1].
    """

    channels: Annotated[int, Ge(2)] = 128
    multipliers: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(3)] = (1, 2, 2, 2)
    stem: Annotated[int, Gt(0)] = 1
    recentre: bool = True

    @classmethod
    def published(cls, content: Any) -> Published | None:
        """Take in a checkpoint of NCSNv2, its Deeper and Deepest; see `Network.published`.

        The table of sigmas is in the file. How it was sampled is not: the default is CIFAR-10's, 5 updates a level and
        a step of 6.2e-6 at sigma_L = 0.01.
        """
        found = opened(content, "normalizer.alpha")
        if found is None:
            return None
        weights = dict(found.weights)
        facts: dict[str, Any] = {
            "network": {"name": "ncsnv2", **found.sizes},
            "parameterization": "sigma-scaled",
            "train": found.train(),
        }
        sigmas = weights.pop("sigmas", None)
        if sigmas is not None:
            facts["perturbation"] = {"name": "sigmas", "values": sigmas.flip(0).tolist()}
        levels = 232 if sigmas is None else len(sigmas)
        sampler = {"name": "smld", "form": "ncsn", "step": 6.2e-6, "steps_per_level": 5}
        return Published(
            renamed(weights),
            facts,
            {
                "perturbation": "sigmas",
                "label": "sigma",
                "objective": "ncsn",
                "sample": {"sampler": sampler, "grid": "knots", "steps": levels - 1, "init": "uniform"},
            },
            renamed(found.ema) if found.ema else None,
        )

    def build(self, spec: DataSpec) -> "NCSNv2Backbone":
        """Build the backbone; see `Network.build`.

        Raises:
            ConfigError: If the data are no images, too small ones, or carry conditions, class labels among them.
        """
        refuse_unfit("ncsnv2", spec, len(self.multipliers), self.stem)
        return NCSNv2Backbone(self, spec.event_shape[0])


class NCSNv2Backbone(nn.Module):
    """The module that `NCSNv2` builds.

    Args:
        config: The configuration.
        values: Channels of the image.
    """

    def __init__(self, config: NCSNv2, values: int) -> None:
        super().__init__()
        self.net = RefineNet(
            values,
            [config.channels * m for m in config.multipliers],
            InstanceNormPlus,
            lambda channels: Keep(),
            "max",
            stem=config.stem,
            recentre=config.recentre,
        )

    def forward(self, x: Tensor, label: Tensor, cond: Condition = None) -> Tensor:
        """Evaluate the network.

        Args:
            x: The network's input, (B, C, H, W).
            label: Not looked at.
            cond: Not looked at; there is none.

        Returns:
            The network's output, (B, C, H, W).
        """
        out: Tensor = self.net(x, label)
        return out
