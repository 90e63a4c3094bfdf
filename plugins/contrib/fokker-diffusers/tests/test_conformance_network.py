"""What the network claims, measured by the conformance kit."""

import pytest
from fokker.testing import conformance
from small import DIT, UNET, text

from fokker_diffusers.network import Model

CONDITION = {
    "_class_name": "UNet2DConditionModel",
    "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 8,
    "attention_head_dim": 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
}


@pytest.mark.filterwarnings("ignore:Passing `norm_type")
@conformance(
    Model(),
    Model(config=text(UNET, num_class_embeds=4)),
    Model(config=text(UNET, out_channels=4), variance="learned_range"),
    Model(config=text(UNET, time_embedding_type="fourier")),
    Model(config=text(UNET, time_embedding_type="learned", num_train_timesteps=20)),
    Model(config=text(DIT)),
    Model(config=text(CONDITION)),
)
def test_conformance(check):
    check()
