"""The network of NCSN."""

from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, MinLen
from torch import Tensor, nn

from fokker.component import component
from fokker.errors import ConfigError
from fokker.network import Condition, DataSpec, Network, Published
from fokker_ncsn.norm import ConditionalInstanceNormPlus
from fokker_ncsn.original import opened, renamed
from fokker_ncsn.refinenet import RefineNet, refuse_unfit

__all__ = ["NCSN", "NCSNBackbone"]


@component
class NCSN(Network):
    """RefineNet whose normalisations have weights for every noise level (Song & Ermon, 2019, section 4.1, appendix A).

    It gives the score itself, not divided by sigma: the parameterization `score`. All normalisations, of the refine
    blocks too, are InstanceNorm++ with the level's own gamma, alpha and beta; the chains pool averages. The level is
    told by the label `index`. The published network for images of 32x32 pixels is the default.

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

    reads_levels: ClassVar[bool] = True

    @classmethod
    def published(cls, content: Any) -> Published | None:
        """Take in a checkpoint of NCSN; see `Network.published`.

        The number of levels is in the file, their sigmas are not: geometric from 1 to 0.01 as published unless a recipe
        says otherwise. It is sampled by 100 updates a level with a step of 2e-5 at the smallest, and no denoising.
        """
        found = opened(content, "normalizer.embed.weight")
        if found is None:
            return None
        levels = len(found.weights["normalizer.embed.weight"])
        sampler = {"name": "smld", "form": "ncsn", "step": 2e-5, "steps_per_level": 100}
        return Published(
            renamed(found.weights),
            {
                "network": {"name": "ncsn", **found.sizes},
                "parameterization": "score",
                "label": "index",
                "train": found.train(),
            },
            {
                "perturbation": {"name": "sigmas", "minimum": 0.01, "maximum": 1.0, "levels": levels},
                "objective": "ncsn",
                "sample": {
                    "sampler": sampler,
                    "grid": "knots",
                    "steps": levels - 1,
                    "init": "uniform",
                    "final": "none",
                },
            },
            renamed(found.ema) if found.ema else None,
        )

    def build(self, spec: DataSpec) -> "NCSNBackbone":
        """Build the backbone; see `Network.build`.

        Raises:
            ConfigError: If the perturbation has no levels, or the data are no images, too small ones, or carry
                conditions, class labels among them.
        """
        refuse_unfit("ncsn", spec, len(self.multipliers), self.stem)
        if spec.levels is None:
            raise ConfigError(
                "The network ncsn has weights for each level of a table; use the perturbation 'sigmas' or 'betas', or "
                "the network 'ncsnv2'."
            )
        return NCSNBackbone(self, spec.event_shape[0], spec.levels)


class NCSNBackbone(nn.Module):
    """The module that `NCSN` builds.

    Args:
        config: The configuration.
        values: Channels of the image.
        levels: Number of levels.
    """

    def __init__(self, config: NCSN, values: int, levels: int) -> None:
        super().__init__()

        def norm(channels: int) -> nn.Module:
            return ConditionalInstanceNormPlus(channels, levels)

        self.net = RefineNet(
            values,
            [config.channels * m for m in config.multipliers],
            norm,
            norm,
            "average",
            stem=config.stem,
            recentre=config.recentre,
        )

    def forward(self, x: Tensor, label: Tensor, cond: Condition = None) -> Tensor:
        """Evaluate the network.

        Args:
            x: The network's input, (B, C, H, W).
            label: The level, 1 for the smallest noise, int64, (B,).
            cond: Not looked at; there is none.

        Returns:
            The network's output, (B, C, H, W).

        Raises:
            ConfigError: If the label is no level.
        """
        if label.is_floating_point():
            raise ConfigError("The network ncsn is told the level of a table; use the label 'index'.")
        out: Tensor = self.net(x, label - 1)
        return out
