"""A checkpoint is whole or not there, whatever happens while it is written."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from fokker.errors import RunError
from fokker.run import checkpoint as checkpoints
from fokker.run.checkpoint import Checkpoint, latest, load, save, step_of, steps_saved


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Waiting for the disk would be most of the time; that it is asked, and when, has a test of its own."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Crash(BaseException):
    """The process is gone; nothing that it would have done afterwards is done."""


def example(value):
    weights = {"a": torch.full((2, 3), float(value)), "b": torch.arange(3) + value}
    return Checkpoint({"weights": weights, "ema": weights, "optimizer": {"step.a": torch.tensor(1.0)}}, {"step": value})


def value_of(place):
    found = load(place)
    assert set(found.tensors) == {"weights", "ema", "optimizer"}
    value = found.state["step"]
    expected = example(value)
    for group, tensors in expected.tensors.items():
        assert found.tensors[group].keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert torch.equal(found.tensors[group][name], tensor)
    return value


STAGES = [
    (os, "mkdir"),
    (os, "open"),
    (os, "fsync"),
    (os, "rename"),
    (os, "replace"),
    (os, "unlink"),
    (os, "rmdir"),
    (Path, "write_text"),
    (Path, "open"),
    (checkpoints, "save_file"),
    (shutil, "rmtree"),
]


def fail_at(monkeypatch, k, error, *, lasting):
    """Let the k-th call that touches the disk fail; returns how many there were."""
    count = [0]

    def failing(original):
        def call(*args, **kwargs):
            count[0] += 1
            if count[0] == k or (lasting and count[0] > k):
                if lasting and original.__name__ in ("write_text", "save_file"):
                    # killed while it writes: half of the file is there
                    original(*args, **kwargs)
                    file = Path(args[0] if original.__name__ == "write_text" else args[1])
                    os.truncate(file, file.stat().st_size // 2)
                raise error
            return original(*args, **kwargs)

        return call

    for owner, name in STAGES:
        monkeypatch.setattr(owner, name, failing(getattr(owner, name)))
    return count


def stages(folder, monkeypatch, error, *, lasting):
    """Fail in every way while step 3 is saved after 1 and 2; yields the folder as it is then."""
    k = 0
    while True:
        k += 1
        here = folder / str(k)
        save(here, 1, example(1), keep=2)
        save(here, 2, example(2), keep=2)
        with monkeypatch.context() as patch:
            count = fail_at(patch, k, error, lasting=lasting)
            try:
                save(here, 3, example(3), keep=2)
            except (Crash, RunError) as caught:
                failure = caught
            else:
                failure = None
        if count[0] < k:
            assert failure is None
            break
        yield here, failure
    assert k > 20


def test_killed_at_any_stage_the_old_or_the_new_one_loads(tmp_path, monkeypatch):
    found = []
    for folder, failure in stages(tmp_path, monkeypatch, Crash(), lasting=True):
        assert isinstance(failure, Crash)
        found.append(value_of(latest(folder)))
        for step in steps_saved(folder):
            assert value_of(folder / f"step-{step:08d}") == step
        # and the run goes on, wherever it was
        save(folder, 4, example(4), keep=1)
        assert value_of(latest(folder)) == 4
        assert sorted(f.name for f in folder.iterdir()) == ["latest", "step-00000004"]
    assert found == sorted(found)
    assert set(found) == {2, 3}


def test_the_first_one_is_there_or_not(tmp_path, monkeypatch):
    found = set()
    for k in range(1, 60):
        folder = tmp_path / str(k)
        with monkeypatch.context() as patch:
            fail_at(patch, k, Crash(), lasting=True)
            try:
                save(folder, 1, example(1), keep=1)
            except Crash:
                pass
            else:
                break
        place = latest(folder)
        found.add(place and value_of(place))
        if place is None:
            save(folder, 1, example(1), keep=1)
            assert value_of(latest(folder)) == 1
    assert found == {None, 1}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to name an open file")
def test_everything_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    rename, replace = os.rename, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: done.append(("flush", Path(os.readlink(f"/proc/self/fd/{fd}")).name)))
    monkeypatch.setattr(os, "rename", lambda a, b: (done.append(("move", Path(b).name)), rename(a, b)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(("move", Path(b).name)), replace(a, b)))
    save(tmp_path, 1, example(1), keep=1)
    pointer = next(name for what, name in done if name.endswith(".partial"))
    files = sorted(name for what, name in done[:4])
    assert files == sorted(FILES[:-1])
    assert done[4:] == [
        ("flush", "manifest.json"),
        ("flush", ".partial-step-00000001"),
        ("move", "step-00000001"),
        ("flush", tmp_path.name),
        ("flush", pointer),
        ("move", "latest"),
        ("flush", tmp_path.name),
    ]


def test_a_full_disk_is_one_line_and_the_old_one_stays(tmp_path, monkeypatch):
    error = OSError(errno.ENOSPC, "No space left on device")
    for folder, failure in stages(tmp_path, monkeypatch, error, lasting=False):
        if failure is not None:
            assert str(failure).endswith("cannot be written: No space left on device.")
        assert value_of(latest(folder)) in (2, 3)


def test_a_step_taken_again_replaces_what_never_became_the_latest(tmp_path):
    save(tmp_path, 1, example(1), keep=3)
    save(tmp_path, 2, example(7), keep=3)
    (tmp_path / "latest").write_text("step-00000001\n")
    save(tmp_path, 2, example(2), keep=3)
    assert value_of(latest(tmp_path)) == 2
    with pytest.raises(ValueError, match="step-00000002 is the latest checkpoint"):
        save(tmp_path, 2, example(2), keep=3)
    assert value_of(latest(tmp_path)) == 2


def test_the_last_ones_are_kept(tmp_path):
    for step in (2, 4, 6, 8, 100_000_000):
        assert save(tmp_path, step, example(step), keep=3) == latest(tmp_path)
        assert step_of(latest(tmp_path)) == step
    assert steps_saved(tmp_path) == [6, 8, 100_000_000]
    # what a run left that was killed before its checkpoint became the latest, and that then went another way
    (tmp_path / "latest").write_text("step-00000006\n")
    save(tmp_path, 7, example(7), keep=1)
    assert steps_saved(tmp_path) == [7]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["latest", "step-00000007"]


def test_no_checkpoint(tmp_path):
    assert latest(tmp_path) is None
    assert latest(tmp_path / "nothing") is None
    assert steps_saved(tmp_path / "nothing") == []


@pytest.fixture
def place(tmp_path):
    return save(tmp_path, 5, example(5), keep=1)


FILES = ["weights.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]


def test_the_files(place):
    assert sorted(f.name for f in place.iterdir()) == sorted(FILES)
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["schema"] == 1
    assert manifest["step"] == 5
    assert manifest["files"].keys() == set(FILES) - {"manifest.json"}


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(place, name):
    (place / name).unlink()
    with pytest.raises(RunError, match=f"{name} is missing"):
        load(place)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(place, name):
    whole = (place / name).read_bytes()
    for size in {0, 1, len(whole) // 2, len(whole) - 2}:
        (place / name).write_bytes(whole[:size])
        with pytest.raises(RunError, match=f"{name} is (not what was written|missing or damaged)"):
            load(place)


@pytest.mark.parametrize("name", FILES[:-1])
def test_a_flipped_bit_is_noticed(place, name):
    whole = (place / name).read_bytes()
    for i in range(0, 8 * len(whole), 61):
        damaged = bytearray(whole)
        damaged[i // 8] ^= 1 << i % 8
        (place / name).write_bytes(damaged)
        with pytest.raises(RunError, match=f"{name} is not what was written"):
            load(place)


def test_a_flipped_bit_in_the_manifest_does_no_harm(place):
    """It is noticed, or it is in a place that says nothing, such as a space."""
    file = place / "manifest.json"
    whole = file.read_bytes()
    noticed = 0
    for i in range(0, 8 * len(whole), 23):
        damaged = bytearray(whole)
        damaged[i // 8] ^= 1 << i % 8
        file.write_bytes(damaged)
        try:
            assert value_of(place) == 5
        except RunError:
            noticed += 1
    assert noticed > 0.7 * len(range(0, 8 * len(whole), 23))


@pytest.mark.parametrize(
    "manifest", ["[]", "{}", "null", '{"schema": 1, "files": []}', '{"schema": 1, "files": {"state.json": 3}}']
)
def test_a_manifest_of_another_kind_is_damaged(place, manifest):
    (place / "manifest.json").write_text(manifest)
    with pytest.raises(RunError, match=r"manifest.json is missing or damaged"):
        load(place)


def test_a_checkpoint_of_the_future_says_so(place):
    manifest = json.loads((place / "manifest.json").read_text()) | {"schema": 2}
    (place / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="written by a newer fokker"):
        load(place)


def test_groups_are_read_one_by_one(place):
    assert load(place, "ema").tensors.keys() == {"ema"}
    with pytest.raises(RunError, match=r"has no other.safetensors; it has ema, optimizer, weights"):
        load(place, "other")


def test_any_memory_format_is_written(tmp_path):
    x = torch.randn(2, 3, 4, 5)
    formats = {"last": x.to(memory_format=torch.channels_last), "view": x[:, 1:, ::2], "tied": x, "again": x}
    place = save(tmp_path, 1, Checkpoint({"weights": formats}, {}), keep=1)
    for name, tensor in load(place).tensors["weights"].items():
        assert torch.equal(tensor, formats[name])


def test_nothing_is_pickled():
    """Neither read nor written anywhere in fokker and its built-in plugins; `convert` reads plain values."""
    root = Path(__file__).parents[2]
    sources = [*(root / "src").rglob("*.py"), *(root / "plugins" / "builtin").rglob("*.py")]
    assert len(sources) > 50
    forbidden = ("import pickle", "torch.load(", "torch.save(", "allow_pickle=True", "joblib", "save_state(")
    for source in sources:
        text = source.read_text()
        if source == root / "src/fokker/run/weights.py":
            text = text.replace('torch.load(file, map_location="cpu", weights_only=True)', "")
        assert not [word for word in forbidden if word in text], source
