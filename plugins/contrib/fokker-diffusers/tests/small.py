"""Small configurations that the tests share."""

import json

UNET = {
    "_class_name": "UNet2DModel",
    "in_channels": 2,
    "out_channels": 2,
    "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 4,
}
DIT = {
    "_class_name": "DiTTransformer2DModel",
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "in_channels": 2,
    "num_layers": 2,
    "sample_size": 8,
    "patch_size": 2,
    "num_embeds_ada_norm": 3,
    "norm_num_groups": 4,
}


def text(config, **more):
    """A configuration as inline JSON, with keys replaced, or taken out by None."""
    merged = {**config, **more}
    return json.dumps({key: value for key, value in merged.items() if value is not None})
