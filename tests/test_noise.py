import math

import pytest
import torch
from torch.testing import assert_close

from fokker.noise import PerSample, Recorded, Seeded, SilentEnd, Zero, block_seed

SHAPES = [(2,), (16,), (1, 128), (3, 17, 23), (1, 8, 9, 10), (5000,)]


def draws(index, event, *, seed=0, dtype=torch.float32, count=3, **options):
    """Normal, uniform and Rademacher draws of these samples, (count, 3, len(index), *event)."""
    noise, x = PerSample(seed, index, event, **options), torch.zeros((len(index), *event), dtype=dtype)
    return torch.stack([torch.stack([noise(x), noise.uniform(x), noise.rademacher(x)]) for _ in range(count)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("event", SHAPES, ids=str)
class TestSampleIIsSampleI:
    """Numbers of a sample depend on the seed and its index alone, bit for bit."""

    def test_alone(self, event, dtype):
        together = draws(range(21), event, dtype=dtype)
        for i in (0, 1, 20):
            assert torch.equal(draws([i], event, dtype=dtype)[:, :, 0], together[:, :, i])

    @pytest.mark.parametrize("batch", [3, 7])
    def test_in_batches(self, event, dtype, batch):
        together = draws(range(21), event, dtype=dtype)
        parts = [draws(range(k, k + batch), event, dtype=dtype) for k in range(0, 21, batch)]
        assert torch.equal(torch.cat(parts, 2), together)

    def test_in_any_order_and_more_than_once(self, event, dtype):
        together = draws(range(21), event, dtype=dtype)
        index = [20, 3, 3, 0, 19, 3]
        assert torch.equal(draws(index, event, dtype=dtype), together[:, :, index])

    def test_far_from_the_start(self, event, dtype):
        index = [10**9, 10**9 + 1, 5]
        assert torch.equal(draws(index, event, dtype=dtype)[:, :, 1], draws([10**9 + 1], event, dtype=dtype)[:, :, 0])

    def test_and_unlike_the_others(self, event, dtype):
        normal = draws(range(6), event, dtype=dtype)[:, 0].flatten(2)
        rows = normal.permute(1, 0, 2).reshape(6 * 3, -1)
        assert len(torch.unique(rows[:, 0])) == 18


def test_other_seeds_and_streams_and_block_sizes_give_other_numbers():
    base = draws(range(4), (3,))
    for other in (
        draws(range(4), (3,), seed=1),
        draws(range(4), (3,), stream=1),
        draws(range(4), (3,), block=1),
        draws(range(4, 8), (3,)),
    ):
        assert not bool((base[:, 0] == other[:, 0]).any())


def test_the_state_s_values_and_layout_and_the_times_do_not_matter():
    x = torch.full((3, 4, 5, 6), math.nan)
    laid_out = x.to(memory_format=torch.channels_last)
    first = PerSample(0, range(3), (4, 5, 6))(x)
    second = PerSample(0, range(3), (4, 5, 6))(laid_out, 0.5, 0.4)
    assert torch.equal(first, second)
    assert first.is_contiguous()


def test_a_number_per_example_can_be_drawn():
    # times and labels: (B,) whatever the shape of the state
    together = PerSample(0, range(9), (3, 4)).uniform(torch.empty(9, dtype=torch.float64))
    alone = PerSample(0, [7], (3, 4)).uniform(torch.empty(1, dtype=torch.float64))
    assert together.shape == (9,) and together[7] == alone[0]


def test_a_batch_of_another_size_is_refused():
    with pytest.raises(ValueError, match="made for 3 samples; the state has 2"):
        PerSample(0, range(3), (5,))(torch.zeros(2, 5))


def test_an_empty_batch_draws_nothing():
    assert PerSample(0, [], (2,))(torch.empty(0, 2)).shape == (0, 2)
    assert PerSample(0, range(3), (0,))(torch.empty(3, 0)).shape == (3, 0)


def test_neighbours_are_cut_from_their_block_without_a_copy():
    whole = 4096 * 4  # bytes of one block in single precision
    assert PerSample(0, range(5, 9), (2,))(torch.empty(4, 2)).untyped_storage().nbytes() == whole
    assert PerSample(0, [5, 7], (2,))(torch.empty(2, 2)).untyped_storage().nbytes() == 4 * 4


def test_rows_draw_their_own_numbers_and_leave_the_others_theirs():
    event, index = (2, 3), [4, 0, 7, 2]
    x = torch.zeros(4, *event)
    expected = torch.stack([PerSample(0, [i], event, block=1)(x[:1])[0] for i in index])
    second = PerSample(0, index, event, block=1)
    second(x)
    noise = PerSample(0, index, event, block=1)
    assert torch.equal(noise.rows(torch.tensor([2, 0]))(x[:2]), expected[[2, 0]])
    assert torch.equal(noise.rows(torch.tensor([1]))(x[:1]), expected[[1]])
    # rows 0, 1 and 2 are at their second draw now, row 3 is at its first
    mixed, later = noise(x), second(x)
    assert torch.equal(mixed[:3], later[:3]) and torch.equal(mixed[3], expected[3])
    # rows of rows
    again = PerSample(0, index, event, block=1).rows(torch.tensor([3, 1])).rows(torch.tensor([1]))
    assert torch.equal(again(x[:1]), expected[[1]])


def test_rows_of_a_shared_generator_are_refused():
    with pytest.raises(ValueError, match=r"only with PerSample\(block=1\)"):
        PerSample(0, range(3), (2,)).rows(torch.tensor([0]))


def kolmogorov(x, cdf):
    """sqrt(n) times the largest distance between the empirical distribution and `cdf`; above 1.95 once in 1000."""
    x = x.double().flatten().sort().values
    n = len(x)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    f = cdf(x)
    return float(torch.maximum((steps[1:] - f).max(), (f - steps[:-1]).max())) * n**0.5


def normal_cdf(x):
    return torch.special.ndtr(x)


@pytest.mark.parametrize(("event", "n"), [((2,), 5000), ((3, 17, 23), 12)], ids=str)
@pytest.mark.parametrize("seed", [0, -1, 2**63])
def test_numbers_have_their_distributions(seed, event, n):
    found = draws(range(n), event, seed=seed)
    assert kolmogorov(found[:, 0], normal_cdf) < 1.95
    assert kolmogorov(found[:, 1], lambda x: x) < 1.95
    signs = found[:, 2]
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(signs.mean())) * signs.numel() ** 0.5 < 3.3


def test_one_number_of_each_sample_is_normal_too():
    # across blocks: every sample's own first number
    first = PerSample(3, range(20_000), (2,))(torch.zeros(20_000, 2))[:, 0]
    assert kolmogorov(first, normal_cdf) < 1.95
    single = PerSample(3, range(2000), (2,), block=1)(torch.zeros(2000, 2))[:, 0]
    assert kolmogorov(single, normal_cdf) < 1.95


def correlation(a, b):
    """Of two normal tensors, in standard errors."""
    return abs(float((a * b).mean())) * a.numel() ** 0.5


def test_draws_samples_seeds_and_streams_are_unrelated():
    n = 4000
    base = draws(range(n), (2,), count=2)[:, 0]
    assert correlation(base[0], base[1]) < 3.3
    assert correlation(base[0, :-1], base[0, 1:]) < 3.3
    assert correlation(base[0, : n // 2], base[0, n // 2 :]) < 3.3
    assert correlation(base[0, :, 0], base[0, :, 1]) < 3.3
    for other in (draws(range(n), (2,), seed=1), draws(range(n), (2,), stream=1), draws(range(n, 2 * n), (2,))):
        assert correlation(base[0], other[0, 0]) < 3.3
        assert correlation(base[0], other[1, 0]) < 3.3


@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (1, 0), (0, 1), (-5, 10**12)])
def test_block_seeds_never_repeat(seed, stream):
    # among this many values of a 32-bit hash a pair would be expected
    blocks = [*range(60_000), *range(2**32 - 30_000, 2**32), *(k << 16 for k in range(1, 2**16))]
    seeds = {block_seed(seed, block, stream) for block in blocks}
    assert len(seeds) == len(set(blocks)) > 150_000
    assert all(0 <= value < 2**32 for value in list(seeds)[:1000])


def test_block_seeds_depend_on_seed_and_stream():
    found = {block_seed(seed, block, stream) for seed in range(20) for stream in range(20) for block in range(20)}
    assert len(found) > 7990
    assert block_seed(2**64 + 3, 0) == block_seed(3, 0) != block_seed(-3, 0)


def test_block_seeds_stay_the_same_on_every_day():
    assert [block_seed(0, 0), block_seed(0, 1), block_seed(1, 0), block_seed(0, 0, 1)] == [
        1374669995,
        706458419,
        2827547091,
        3656296274,
    ]


def test_numbers_stay_the_same_on_every_day():
    double = PerSample(0, [5], (2,))(torch.zeros(1, 2, dtype=torch.float64))
    assert_close(double, torch.tensor([[0.81387512095664372, -0.13206674786185957]], dtype=torch.float64))
    single = PerSample(0, [5], (2,))(torch.zeros(1, 2))
    assert_close(single, torch.tensor([[0.13097958266735077, 0.20252932608127594]]))
    assert_close(
        Seeded(5)(torch.zeros(2, dtype=torch.float64)),
        torch.tensor([-1.2828069028207485, 1.4328011834673993], dtype=torch.float64),
    )


@pytest.mark.parametrize(
    ("event", "block"), [((), 4096), ((16,), 256), ((17,), 240), ((64, 64), 1), ((5000,), 1)], ids=str
)
def test_blocks_hold_up_to_4096_numbers(event, block):
    index = [block - 1, block]
    assert torch.equal(draws(index, event), draws(index, event, block=block))


def test_seeded_noise_is_one_stream():
    x = torch.zeros(3, 4)
    a, b = Seeded(5), Seeded(5)
    assert torch.equal(a(x), b(x)) and torch.equal(a.uniform(x), b.uniform(x))
    assert not torch.equal(a(x), Seeded(6)(x))
    assert a.rows(torch.tensor([1])) is a
    big = torch.zeros(20_000)
    assert kolmogorov(Seeded(1)(big), normal_cdf) < 1.95
    assert kolmogorov(Seeded(1).uniform(big), lambda u: u) < 1.95


def test_signs_are_1_where_a_uniform_number_is_below_one_half():
    x = torch.zeros(50)
    assert torch.equal(Seeded(0).rademacher(x), torch.where(Seeded(0).uniform(x) < 0.5, 1.0, -1.0))
    assert torch.equal(Zero().rademacher(x), -torch.ones(50))


def test_zero_is_silent():
    x = torch.ones(2, 3, dtype=torch.float64)
    assert torch.equal(Zero()(x), torch.zeros_like(x))
    assert torch.equal(Zero().uniform(x), torch.full_like(x, 0.5))
    assert Zero().rows(torch.tensor([0]))(x[:1]).shape == (1, 3)


def test_recorded_draws_come_back_in_order():
    x = torch.zeros(2, 3, dtype=torch.float64)
    record = torch.arange(18.0).reshape(3, 2, 3)
    noise = Recorded(record)
    assert torch.equal(noise(x), record[0].double())
    assert torch.equal(noise.uniform(x), record[1].double())
    assert torch.equal(noise.rademacher(x), record[2].double())
    with pytest.raises(IndexError, match="More random draws were asked for than were recorded"):
        noise(x)
    with pytest.raises(ValueError, match=r"shape \(2, 3\) was recorded; \(2, 4\) was asked for"):
        Recorded(record)(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="belong to the whole batch"):
        Recorded(record).rows(torch.tensor([0]))


def test_a_silent_end_is_the_source_but_for_its_last_draw():
    x = torch.zeros(2, 3)
    assert torch.equal(SilentEnd(Seeded(0))(x), Seeded(0)(x))
    assert torch.equal(SilentEnd(Seeded(0)).uniform(x), Seeded(0).uniform(x))
    assert torch.equal(SilentEnd(Seeded(0)).final(x), x)
    rows = SilentEnd(PerSample(0, range(2), (3,), block=1)).rows(torch.tensor([1]))
    assert torch.equal(rows(x[:1]), PerSample(0, [1], (3,), block=1)(x[:1]))
    assert torch.equal(rows.final(x[:1]), x[:1])
    ordinary = Seeded(0)
    assert ordinary.final is ordinary


def test_the_global_generator_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    draws(range(5), (3,))
    noise = Seeded(1)
    noise(torch.zeros(3)), noise.uniform(torch.zeros(3))
    assert torch.equal(torch.get_rng_state(), before)


def covariance(z, y):
    pairs = torch.stack([z.double().flatten(), y.double().flatten()])
    return pairs @ pairs.T / pairs.shape[1]


PAIR = torch.tensor([[1, 1 / 2], [1 / 2, 1 / 3]], dtype=torch.float64)
"""Covariance of a Brownian path's end and its integral over the unit interval."""


@pytest.mark.parametrize("noise", [Seeded(3), PerSample(3, range(40_000), (2,))], ids=lambda n: type(n).__name__)
def test_increment_and_integral_have_the_covariance_of_a_brownian_path(noise):
    z, y = noise.integral(torch.zeros(40_000, 2), 0.5, 0.4)
    assert_close(covariance(z, y), PAIR, rtol=0, atol=0.015)
    assert kolmogorov(z, normal_cdf) < 1.95
    assert kolmogorov(3**0.5 * y, normal_cdf) < 1.95


def test_increment_and_integral_are_those_of_a_path_summed_up():
    # two draws z, u: y = z / 2 + u / sqrt(12), from a path's end and what a bridge adds
    x, draws = torch.zeros(3, 2), torch.arange(12.0).reshape(2, 3, 2)
    z, y = Recorded(draws).integral(x)
    assert torch.equal(z, draws[0])
    assert_close(y, draws[0] / 2 + draws[1] / 12**0.5)
    assert all(torch.equal(part, x) for part in Zero().integral(x))


def test_the_pairs_of_sample_i_are_its_own():
    x = torch.zeros(9, 3)
    whole = PerSample(0, range(9), (3,)).integral(x)
    alone = PerSample(0, [7], (3,)).integral(x[:1])
    assert all(torch.equal(a[7], b[0]) for a, b in zip(whole, alone, strict=True))


def test_a_silent_end_passes_the_other_source_s_pair_on():
    class Path(Zero):
        def integral(self, x, t=None, s=None):
            return x + 1, x + 2

    x = torch.zeros(2, 3)
    assert all(torch.equal(a, b) for a, b in zip(SilentEnd(Path()).integral(x), (x + 1, x + 2), strict=True))
    assert all(torch.equal(part, x) for part in SilentEnd(Path()).final.integral(x))


@pytest.mark.parametrize(
    "make",
    [lambda: PerSample(3, range(5, 12), (2, 3)), lambda: SilentEnd(Seeded(3)), Zero],
    ids=["per sample", "silent end", "zero"],
)
def test_what_is_added_is_what_is_drawn(make):
    x = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0))
    drawing, adding = make(), make()
    for factor in (0.5, -2.0):
        expected = x + factor * drawing(x)
        own = x.clone()
        found = adding.add_to(own, factor)
        assert found is own
        assert_close(found, expected, rtol=0, atol=1e-6)


def test_what_was_drawn_is_not_drawn_over():
    noise, x = PerSample(0, range(4), (3,)), torch.zeros(4, 3)
    drawn = noise(x)
    before = drawn.clone()
    noise.add_to(torch.zeros(4, 3), 1.0)
    noise.add_to(torch.zeros(4, 3, dtype=torch.float64), 1.0)
    noise(x)
    assert torch.equal(drawn, before)


def test_rows_add_their_own_numbers():
    index = torch.tensor([2, 0])
    whole = PerSample(0, range(3), (4,), block=1)(torch.zeros(3, 4))
    some = PerSample(0, range(3), (4,), block=1).rows(index).add_to(torch.zeros(2, 4), 1.0)
    assert torch.equal(some, whole[index])


def test_a_subclass_adds_what_it_draws_itself():
    class Ones(PerSample):
        def __call__(self, x, t=None, s=None):
            return torch.ones_like(x)

    assert torch.equal(Ones(0, range(2), (3,)).add_to(torch.zeros(2, 3), 0.5), torch.full((2, 3), 0.5))


def test_draws_that_are_independent_have_no_path():
    x = torch.zeros(2, 3)
    for noise in (PerSample(0, range(2), (3,)), Seeded(0), Zero(), SilentEnd(Zero())):
        assert noise.path(x) is None


def test_a_silent_end_leaves_the_path_as_it_is():
    class Line(Zero):
        def path(self, x):
            return lambda t, s: (x + t - s, x)

    gained, _ = SilentEnd(Line()).path(torch.zeros(1, 2))(0.75, 0.25)
    assert torch.equal(gained, torch.full((1, 2), 0.5))
