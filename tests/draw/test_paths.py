import torch

from fokker import draw


def states(n, shape, spread=1.0):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, *shape, generator=generator)
    return [(1 - k / (n - 1), (1 + (spread - 1) * (1 - k / (n - 1))) * x) for k in range(n)]


def test_snapshots_are_spread_evenly_from_the_first_to_the_last():
    way = states(21, (1, 4, 4))
    captions = [caption for caption, _ in draw.trajectory_frames(way, n=5, width=40)]
    assert captions == ["t = 1.000", "t = 0.750", "t = 0.500", "t = 0.250", "t = 0.000"]
    assert len(draw.trajectory_frames(way, n=99, width=120)) == 21
    assert [caption for caption, _ in draw.trajectory_frames(way, n=1, width=120)] == ["t = 0.000"]
    assert len(draw.trajectory_frames(way[:1], n=5, width=120)) == 1


def test_points_share_a_window_where_one_suits_all():
    way = states(3, (2,), spread=2.0)
    frames = draw.trajectory_frames(way, width=200)
    everything = torch.cat([x for _, x in way])
    assert [picture for _, picture in frames] == [draw.samples(x, like=everything, width=200) for _, x in way]


def test_states_of_very_different_spread_have_their_own_scales():
    way = states(3, (2,), spread=50.0)
    frames = draw.trajectory_frames(way, width=200)
    assert [picture for _, picture in frames] == [draw.samples(x, width=200) for _, x in way]


def test_images_are_drawn_with_the_levels_of_the_last():
    way = states(3, (1, 4, 4), spread=2.0)
    frames = draw.trajectory_frames(way, width=40)
    assert frames[0][1] == draw.samples(way[0][1], like=way[-1][1], width=40)


def test_strip_is_the_frames_side_by_side(tmp_path):
    way = states(9, (1, 4, 4))
    strip = draw.trajectory_strip(way, tmp_path / "strip.png", n=3, width=100)
    assert strip == draw.row(draw.trajectory_frames(way, n=3, width=100))
    assert (tmp_path / "strip.png").read_bytes() == strip.png
    one = draw.samples(way[0][1], width=100).size[0]
    assert strip.size[0] >= 3 * one
