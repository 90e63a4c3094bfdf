"""What stands for all examples, and what data has to say of itself."""

import pytest
import torch
from click.testing import CliRunner

from fokker import DataSource, component, load_plugins
from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.data import Batch, Blocks, Examples, Transform, evenly_spread
from fokker.plan import check, fit, resolve
from fokker_data.transforms import Range, Standardise


class Counted(Examples):
    """Example i is the number i; what was asked for is kept."""

    event_shape = (1,)

    def __init__(self, n, blocks=None, shape=(1,)):
        self.n, self.blocks, self.event_shape, self.asked = n, blocks, shape, []

    def __len__(self):
        return self.n

    def fetch(self, index):
        self.asked.append(list(index))
        x = torch.tensor(list(index), dtype=torch.float32)
        return Batch(x.reshape(-1, *[1] * len(self.event_shape)).expand(-1, *self.event_shape).clone(), {})


@pytest.mark.parametrize("n", [1, 7, 100])
def test_few_of_all_are_evenly_spread(n):
    for count in (1, 5, 100, 1000):
        assert evenly_spread(Counted(n), count) == [i * n // min(n, count) for i in range(min(n, count))]


def test_what_stands_for_all_lies_in_few_blocks():
    sizes = tuple(20 + (7 * b) % 13 for b in range(1000))
    examples = Counted(sum(sizes), Blocks(sizes, 4))
    block_of = [b for b, size in enumerate(sizes) for _ in range(size)]
    for count in (1, 32, 200, 640):
        found = evenly_spread(examples, count)
        assert len(found) == count and found == sorted(set(found))
        blocks = sorted({block_of[i] for i in found})
        assert min(count, 28) <= len(blocks) <= 32
        assert min(blocks) < 100 and (count == 1 or max(blocks) > 900)
    # more blocks where 32 of them do not hold so many, and all of them for all
    assert len({block_of[i] for i in evenly_spread(examples, 2000)}) == 128
    assert evenly_spread(examples, len(examples)) == list(range(len(examples)))


def test_few_blocks_are_all_looked_at():
    examples = Counted(300, Blocks((10,) * 30, 4))
    assert evenly_spread(examples, 30) == list(range(0, 300, 10))


@component
class Noted(DataSource):
    """Numbers of which two files are said to be missing."""

    transforms: tuple[Transform, ...] = (Standardise(),)

    def open(self, split="train"):
        examples = Counted(60, Blocks((20, 20, 20), 2))
        examples.notes = ("2 files were left out: a.bin (empty), b.bin (cut off).",)
        return examples


@pytest.fixture
def host():
    host = load_plugins()
    host.registry.data("noted", Noted)
    return host


def test_notes_of_the_data_are_shown(host, tmp_path):
    note = "2 files were left out: a.bin (empty), b.bin (cut off)."
    planned = CliRunner().invoke(cli, ["plan", "--data", "noted"], obj=App(loaded=host))
    assert planned.exit_code == 0 and planned.stdout.endswith(f"\n# {note}\n")
    facts, _ = check(resolve(host.registry, options={"data": "noted"}))
    assert facts.notes == (note,)
    words = ["train", "--data", "noted", "--steps", "2", "--batch-size", "4", "--out", str(tmp_path / "run")]
    trained = CliRunner().invoke(cli, [*words, "--device", "cpu"], obj=App(loaded=host))
    assert trained.exit_code == 0 and f"{note}\n" in trained.stderr


def test_what_is_fitted_reads_a_bounded_number_of_values(host):
    plan = resolve(host.registry, options={"data": "noted"})
    large = Counted(60, shape=(1, 1 << 23))
    fitted = fit(plan, large)
    assert [len(index) for index in large.asked] == [8] and fitted.data.transforms[0].mean is not None


def test_transforms_that_take_nothing_from_the_data_read_nothing(host):
    plan = resolve(host.registry, {"data": {"name": "noted", "transforms": ["range"]}})
    examples = Counted(60)
    assert fit(plan, examples).data.transforms == (Range(),) and examples.asked == []
