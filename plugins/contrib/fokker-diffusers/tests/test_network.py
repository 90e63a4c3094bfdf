"""How a network is told of the time and of classes, and what it refuses."""

import diffusers
import pytest
import torch
from fokker import ConfigError, DataSpec
from small import DIT, UNET, text

from fokker_diffusers.network import Model

SHAPE = (2, 8, 12)


def built(config, spec, **more):
    torch.manual_seed(0)
    backbone = Model(config=config, **more).build(spec).eval().requires_grad_(False)
    for p in backbone.parameters():
        p.add_(0.02 * torch.randn_like(p))
    return backbone


def x_of(*shape):
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))


def test_levels_are_told_as_timesteps_from_0():
    backbone, x = built(text(UNET), DataSpec(SHAPE)), x_of(*SHAPE)
    expected = backbone.model(x, torch.tensor([0, 4, 9]), return_dict=False)[0]
    assert torch.equal(backbone(x, torch.tensor([1, 5, 10])), expected)
    assert torch.equal(backbone(x, torch.tensor([0.0, 4.0, 9.0])), expected)


def test_classes_with_and_without_a_row_for_none():
    x, t = x_of(*SHAPE), torch.ones(3)
    label = torch.tensor([2, 0, 1])
    for rows in (3, 4):
        backbone = built(text(UNET, num_class_embeds=rows), DataSpec(SHAPE, 3))
        expected = backbone.model(x, t, class_labels=label, return_dict=False)[0]
        assert torch.equal(backbone(x, t, {"label": label}), expected)
    none = backbone.model(x, t, class_labels=torch.full((3,), 3), return_dict=False)[0]
    assert torch.equal(backbone(x, t), none)
    with pytest.raises(ConfigError, match="no row for 'no class'"):
        built(text(UNET, num_class_embeds=3), DataSpec(SHAPE, 3))(x, t)


def test_what_the_config_leaves_out_is_the_data_s():
    config = text(UNET, in_channels=None, out_channels=None)
    model = Model(config=config).build(DataSpec((5, 8, 12), 7)).model
    assert (model.config.in_channels, model.config.out_channels, model.config.num_class_embeds) == (5, 5, 8)
    assert list(model.config.sample_size) == [8, 12]


def test_learned_variances_are_cut_off():
    x, t = x_of(*SHAPE), torch.ones(3)
    backbone = built(text(UNET, out_channels=4), DataSpec(SHAPE), variance="learned_range")
    assert torch.equal(backbone(x, t), backbone.model(x, t, return_dict=False)[0][:, :2])


def test_a_transformer_on_an_image_that_is_not_square():
    """As its own on a square, and each patch where it belongs: by its bias, a value for each place in a patch."""
    spec = DataSpec((2, 8, 8), 3)
    backbone, t = built(text(DIT), spec), torch.tensor([1.0, 5.0, 9.0])
    label = {"label": torch.tensor([0, 1, 2])}
    square = x_of(2, 8, 8)
    from fokker_diffusers import network

    found = network._wide(backbone.model, square, t, label["label"])
    torch.testing.assert_close(found, backbone(square, t, label), rtol=1e-6, atol=1e-6)
    wide = backbone(x_of(2, 4, 12), t, label)
    assert wide.shape == (3, 2, 4, 12)
    backbone.model.proj_out_2.weight.zero_()
    tile = backbone.model.proj_out_2.bias.reshape(2, 2, 2).permute(2, 0, 1)
    assert torch.equal(backbone(x_of(2, 4, 12), t, label), tile.repeat(1, 2, 6).expand(3, -1, -1, -1))


def test_a_folder_and_its_weights(tmp_path):
    torch.manual_seed(3)
    model = diffusers.UNet2DModel(**{k: v for k, v in UNET.items() if not k.startswith("_")}).eval()
    model.save_pretrained(tmp_path / "unet")
    backbone = Model(config=str(tmp_path / "unet"), weights=str(tmp_path / "unet")).build(DataSpec(SHAPE)).eval()
    x, t = x_of(*SHAPE), torch.ones(3)
    with torch.no_grad():
        assert torch.equal(backbone(x, t), model(x, t, return_dict=False)[0])
    same = Model(config=str(tmp_path / "unet" / "config.json"))
    assert same == Model(config=str(tmp_path / "unet")) and same.config.startswith("{")
    with pytest.raises(ConfigError, match=r"does not fit Model.config: look at"):
        Model(config=text(UNET, layers_per_block=2), weights=str(tmp_path / "unet")).build(DataSpec(SHAPE))
    with pytest.raises(ConfigError, match=r"There is no .*gone with weights to begin from"):
        Model(config=text(UNET), weights=str(tmp_path / "gone")).build(DataSpec(SHAPE))


REFUSED = [
    ({}, {}, DataSpec((2,)), r"take images \(C, H, W\); these events have the shape \(2,\): use 'unet'"),
    ({}, {}, DataSpec((2, 7, 12)), "sides are multiples of 2; these are 7x12"),
    ({}, {}, DataSpec((3, 8, 8)), "is of 2 channels, and the data has 3; leave in_channels out"),
    ({"out_channels": 4}, {}, DataSpec(SHAPE), "out_channels = 4, where variance = none takes 2; set variance="),
    ({"num_class_embeds": 3}, {}, DataSpec(SHAPE), "the data comes without labels; set train.labels=true"),
    ({"num_class_embeds": 9}, {}, DataSpec(SHAPE, 3), "num_class_embeds = 9, and the data has 3 classes"),
    ({"class_embed_type": "timestep"}, {}, DataSpec(SHAPE), "class_embed_type = timestep, which takes no class labels"),
    ({}, {}, DataSpec(SHAPE, None, {"text": (3,)}), "takes no condition but classes; got text"),
    ({"act_fn": "no"}, {}, DataSpec(SHAPE), "UNet2DModel cannot be built by Model.config"),
]


@pytest.mark.parametrize(("keys", "fields", "spec", "message"), REFUSED)
def test_what_does_not_fit_is_refused_in_a_line(keys, fields, spec, message):
    with pytest.raises(ConfigError, match=message) as caught:
        Model(config=text(UNET, **keys), **fields).build(spec)
    assert "\n" not in str(caught.value)


def test_configs_that_are_none():
    for config, message in (
        ("nowhere/unet", "There is no nowhere/unet; give a folder with a config.json"),
        ("{", "the inline config is not valid JSON"),
        ('{"_class_name": "VQModel"}', "is of the class VQModel; those that can be taken are UNet2DModel"),
        (
            '{"_class_name": "UNet2DModel", "warp": 1, "woof": 2}',
            "UNet2DModel has no 'warp', 'woof', which Model.config",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            Model(config=config)
