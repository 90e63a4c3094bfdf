"""The commands, on a vocoder after four steps."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from fokker.cli.main import cli
from fokker.errors import ConfigError
from fokker.plugins.host import Host
from fokker.run.folder import open_run, plugin_folder
from fokker.table import Betas
from fokker.training.loop import resume

import fokker_wavegrad
from fokker_wavegrad.files import read_audio
from fokker_wavegrad.grids import LinearBetas, NoiseSchedule, level_times
from fokker_wavegrad.stored import read_schedules

P = Betas(start=1e-6, end=0.01)


def call(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in args])


def test_samples_are_written_as_sound(run: Path, tmp_path: Path):
    out = tmp_path / "x.wav"
    done = call("sample", run, "--out", out, "-n", 3, "--sampler", "fokker-wavegrad/wavegrad", "--steps", 2)
    assert done.exit_code == 0, done.output
    x, rate = soundfile.read(out)
    assert rate == 8000 and len(x) == 3 * 128 + 2 * 2000
    assert not x[128:2128].any()
    assert call("sample", run, "--out", out, "-n", 3, "--steps", 2).exit_code == 1  # it is there already


def test_sound_is_drawn_as_sound(run: Path, tmp_path: Path):
    way = ("--sampler", "fokker-wavegrad/wavegrad", "--steps", 2)
    done = call("draw", "samples", run, "--out", tmp_path / "x.png", "-n", 3, *way)
    assert done.exit_code == 0, done.output
    assert call("sample", run, "--out", tmp_path / "y.png", "-n", 3, *way).exit_code == 0
    assert (tmp_path / "x.png").stat().st_size > 5000 and (tmp_path / "y.png").stat().st_size > 5000


def test_sound_without_a_sample_rate_is_refused(tmp_path: Path):
    from fokker_wavegrad.sink import WavSink

    out = tmp_path / "x.wav"
    with pytest.raises(ConfigError, match="has no sample rate"):
        WavSink(out, 1, (1, 16), first=0, labels=False, about={})
    assert not list(tmp_path.iterdir())


def test_held_out_files_are_vocoded(run: Path, sounds: Path, tmp_path: Path):
    way = ("--sampler", "fokker-wavegrad/wavegrad", "--grid", "linear-betas", "--nfe", 6)
    done = call("vocode", run, "--out", tmp_path, "-n", 2, *way, "--griffin-lim", "--pictures", "--json", "--quiet")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["nfe"] == 6
    for each in told["files"]:
        assert each["distance"] > each["griffin_lim"] > 0  # nothing is learned in four steps
        (file,) = sounds.rglob(f"{each['name']}.wav")
        made, sound = read_audio(tmp_path / file.name, 8000), read_audio(file, 8000)
        assert each["loudness"] == pytest.approx(made.std() / sound.std(), rel=0.02)
        for name in (f"{each['name']}.wav", f"{each['name']}-griffin-lim.wav", f"{each['name']}.png"):
            assert (tmp_path / name).stat().st_size > 1000
    assert call("vocode", run, "--out", tmp_path, *way).exit_code == 1
    both = call("vocode", run, sounds / "2.wav", "-n", 2, "--out", tmp_path / "both", *way)
    assert both.exit_code == 2 and "FILES are given" in both.output
    again = call("vocode", run, "--out", tmp_path, "-n", 2, *way, "--force", "--json", "--quiet")
    assert [e["distance"] for e in json.loads(again.stdout)["files"]] == [e["distance"] for e in told["files"]]


def test_named_files_of_any_length_are_vocoded(run: Path, sounds: Path, tmp_path: Path):
    done = call("vocode", run, sounds / "2.wav", sounds / "more" / "4.wav", "--out", tmp_path, "--sampler", "wavegrad")
    assert done.exit_code == 0, done.output
    assert soundfile.info(tmp_path / "2.wav").frames == 4000
    twice = call("vocode", run, sounds / "2.wav", sounds / "2.wav", "--out", tmp_path / "b")
    assert twice.exit_code == 2 and "Two of the files" in twice.output


def test_a_schedule_is_searched_stored_and_found(run: Path, tmp_path: Path):
    refused = call("vocode", run, "--out", tmp_path, "--grid", "noise-schedule", "--nfe", 4)
    assert refused.exit_code == 1 and "has no noise schedule of 4 levels" in refused.output
    done = call("noise-schedule", run, "--levels", 4, "--crops", 3, "--tries", 12, "--json", "--quiet")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["tried"] == 12 and len(told["betas"]) == 4 and told["betas"] == sorted(told["betas"])
    (stored,) = read_schedules(run)
    assert list(stored.betas) == told["betas"] and stored.checkpoint == "step-00000004"
    way = ("--sampler", "wavegrad", "--grid", f"noise-schedule:betas={told['betas']}", "--nfe", 4)
    assert call("vocode", run, "--out", tmp_path / "a", *way).exit_code == 0
    found = call("sample", run, "--out", tmp_path / "x.npy", "--grid", "noise-schedule", "--nfe", 4, "-n", 2, "--json")
    assert json.loads(found.stdout)["nfe"] == 4, found.output
    again = call("noise-schedule", run, "--levels", 4, "--crops", 3, "--tries", 12, "--json", "--quiet")
    assert json.loads(again.stdout)["betas"] == told["betas"]
    assert plugin_folder(run, "fokker_wavegrad").is_dir()


def test_a_run_of_another_kind_is_no_vocoder(tmp_path: Path):
    args = ("--set", "train.steps=1", "--set", "train.batch_size=4", "--quiet")
    assert call("train", "--data", "ring:n=20", "--out", tmp_path / "ring", *args).exit_code == 0
    refused = call("vocode", tmp_path / "ring", "--out", tmp_path / "x")
    assert refused.exit_code == 2 and "is no vocoder" in refused.output


def test_pieces_are_written(tmp_path: Path):
    assert call("tones", tmp_path, "-n", 2, "--seconds", 0.5, "--sample-rate", 11_025).exit_code == 0
    assert soundfile.info(tmp_path / "001.wav").samplerate == 11_025
    assert call("tones", tmp_path, "-n", 2).exit_code == 1


def test_a_resumed_training_is_the_same(host: Host, sounds: Path, tmp_path: Path, run: Path):
    from fokker.plan import resolve
    from fokker.training.loop import start
    from safetensors.torch import load_file

    plan = open_run(run, host).plan
    table = plan.table(host.registry)
    table["train"]["steps"] = 2
    for _ in start(host, resolve(host.registry, table), tmp_path / "half"):
        pass
    for _ in resume(host, tmp_path / "half", {"steps": 4}):
        pass
    a, b = (load_file(p / "checkpoints/step-00000004/weights.safetensors") for p in (run, tmp_path / "half"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert (run / "metrics.jsonl").read_text() == (tmp_path / "half" / "metrics.jsonl").read_text()


def test_a_run_knows_its_condition(run: Path, host: Host):
    assert open_run(run, host).spec.condition == {"mel": (6, 16)}


def test_levels_of_betas_are_their_products():
    betas = (1e-5, 1e-3, 0.02, 0.4)
    times = NoiseSchedule(betas=betas).times(P, 3)
    squares = torch.tensor([1 - b for b in betas], dtype=torch.float64).cumprod(0).flip(0)
    torch.testing.assert_close(P.alpha(times) ** 2, squares, rtol=1e-9, atol=0)


def test_linear_betas_end_where_the_table_ends():
    betas = LinearBetas().betas(P, 6)
    steps = torch.tensor(betas, dtype=torch.float64).diff()
    torch.testing.assert_close(steps, steps.mean().expand(5), rtol=1e-9, atol=0)
    times = level_times(P, betas)
    assert float(times[0]) == pytest.approx(1.0, abs=1e-6) and float(times[-1]) == pytest.approx(1e-3, rel=1e-6)


@pytest.mark.parametrize(
    ("grid", "steps", "words"),
    [
        (NoiseSchedule(), 5, "'fokker noise-schedule RUN' makes it"),
        (NoiseSchedule(betas=(1e-4, 0.1)), 5, "1 steps, got 5"),
        (NoiseSchedule(betas=(1e-4, 0.999)), 1, "has"),
        (NoiseSchedule(betas=(1e-9, 0.5)), 1, "Change the first or the last betas"),
    ],
)
def test_grids_that_cannot_be_are_refused(grid: NoiseSchedule, steps: int, words: str):
    with pytest.raises(ConfigError, match=words):
        grid.times(P, steps)


def test_nothing_private_of_fokker_is_used():
    for file in Path(fokker_wavegrad.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0].startswith("fokker"):
                module = __import__(node.module, fromlist=["__all__"])
                for alias in node.names:
                    assert not alias.name.startswith("_"), (file.name, alias.name)
                    public = alias.name in module.__all__ or isinstance(getattr(module, alias.name), ModuleType)
                    assert public, f"{file.name} takes {alias.name} of {node.module}"


def test_listing_imports_nothing_heavy():
    code = "import sys, fokker_wavegrad, fokker_wavegrad.commands; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "librosa", "soundfile", "pydantic"} & set(loaded)
