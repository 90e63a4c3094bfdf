"""`fokker train` from outside: what it says, what it refuses, and how it goes on."""

import dataclasses
import shutil
import signal
import sys
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import numpy as np
import pytest
import tomli_w
from click.testing import CliRunner

from fokker import hookimpl
from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.events import StepLogged
from fokker.plugins import load_plugins
from fokker.run import checkpoint as checkpoints
from fokker.run.folder import open_run


@pytest.fixture(scope="module")
def host():
    return load_plugins()


@pytest.fixture
def fokker(host):
    def run(*args, host=host):
        return CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))

    return run


@pytest.fixture
def options(tmp_path):
    """The options of a tiny training on examples of a shape."""

    def make(shape=(3,), *more):
        file = tmp_path / f"{'x'.join(map(str, shape))}.npy"
        np.save(file, np.random.default_rng(0).normal(2.0, 3.0, (23, *shape)).astype(np.float32))
        network = {"width": 8, "depth": 1, "embedding_width": 8, "dropout": 0.2}
        if len(shape) > 1:
            network = {"channels": 4, "multipliers": [1, 2], "blocks": 1, "heads": 2, "time_dim": 8, "dropout": 0.2}
        sets = {"train.checkpoint_every": 3, "train.log_every": 2, "train.decay": "constant", "sample.steps": 3}
        sets |= {f"network.{name}": value for name, value in network.items()}
        given = ["--data", f"array:path='{file}'", "--steps", 7, "--batch-size", 5, "--lr", "1e-2", "--device", "cpu"]
        return [*given, *(word for name, value in sets.items() for word in ("--set", f"{name}={value}")), *more]

    return make


def left_behind(run):
    place = checkpoints.latest(run / "checkpoints")
    return {f.name: f.read_bytes() for f in [*place.iterdir(), run / "metrics.jsonl"]} | {"name": place.name}


@pytest.mark.parametrize("shape", [(16,), (1, 128), (3, 17, 23), (1, 8, 9, 10)])
def test_any_shape_trains_resumes_and_samples(fokker, options, tmp_path, shape):
    whole = fokker("train", *options(shape), "--out", tmp_path / "whole", "--quiet")
    assert (whole.exit_code, whole.stdout, whole.stderr) == (0, f"{tmp_path / 'whole'}\n", "")
    assert fokker("train", *options(shape), "--out", tmp_path / "parts", "--steps", 4).exit_code == 0
    done = fokker("train", "--out", tmp_path / "parts", "--resume", "--steps", 7)
    assert done.exit_code == 0, done.stderr
    assert (
        left_behind(tmp_path / "parts")["weights.safetensors"] == left_behind(tmp_path / "whole")["weights.safetensors"]
    )
    for name in ("whole", "parts"):
        done = fokker("sample", tmp_path / name, "--out", tmp_path / f"{name}.npy", "-n", 5, "--device", "cpu")
        assert done.exit_code == 0, done.stderr
    samples = np.load(tmp_path / "whole.npy")
    assert samples.shape == (5, *shape)
    assert np.isfinite(samples).all()
    assert np.array_equal(samples, np.load(tmp_path / "parts.npy"))
    assert fokker("sample", tmp_path / "whole", "--out", tmp_path / "picture.png", "-n", 5).exit_code == 0


def test_an_existing_run_is_refused_unless_forced(fokker, options, tmp_path):
    run = tmp_path / "run"
    assert fokker("train", *options(), "--out", run).exit_code == 0
    before = left_behind(run)
    done = fokker("train", *options(), "--out", run, "--seed", 1)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"Error: {run} already holds a run; go on with --resume, replace it with --force, or use another --out.\n"
    )
    assert left_behind(run) == before
    assert fokker("train", *options(), "--out", run, "--seed", 1, "--force").exit_code == 0
    assert left_behind(run)["weights.safetensors"] != before["weights.safetensors"]


def test_a_folder_that_is_no_run_is_never_touched(fokker, options, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.png").write_text("")
    for force in ((), ("--force",)):
        done = fokker("train", *options(), "--out", tmp_path / "photos", *force)
        assert done.exit_code == 1
        assert done.stderr == f"Error: {tmp_path / 'photos'} is not empty and not a run; give --out a new folder.\n"
    assert [f.name for f in (tmp_path / "photos").iterdir()] == ["mine.png"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--objective", "ddpm"), "objective: The objective 'ddpm' trains on the levels of a table"),
        (("--label", "index"), "label: "),
        (("--data", "array:path=missing.npy"), "data: missing.npy cannot be read: No such file or directory."),
        (("--set", "train.labels=true"), "train.labels: train.labels = true needs data with class labels"),
        (("--precision", "fp16"), "train.precision = 'fp16' needs a cuda device, not cpu; use bf16 or fp32."),
        (("--device", "cuda:9"), "There is no device 'cuda:9' here; use auto, "),
        (("--network", "nothing"), "No network named 'nothing'."),
    ],
)
def test_a_plan_with_a_problem_writes_nothing(fokker, options, tmp_path, more, message):
    if more == ("--network", "nothing"):
        more += ("--set", "train.clip=1")
    done = fokker("train", *options(), *more, "--out", tmp_path / "run")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"Error: {message}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_loss_that_runs_away_is_one_line(fokker, options, tmp_path):
    done = fokker("train", *options(), "--lr", "1e30", "--set", "train.checkpoint_every=1", "--out", tmp_path / "run")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: The loss of step ")
    assert "the update was not applied and the last good checkpoint is step-0000000" in done.stderr
    # the good checkpoint can be sampled; with its huge weights the sample may not be finite, which is told then
    tried = fokker("sample", tmp_path / "run", "--out", tmp_path / "a.npy", "-n", 1, "--raw-weights")
    assert tried.exit_code == 0 or "1 of 1 samples are not finite" in tried.stderr
    assert (tmp_path / "a.npy").exists()


def test_the_whole_command_resumes_its_run(fokker, options, tmp_path):
    """With the transforms that were fitted, which the command does not name."""
    run = tmp_path / "run"
    assert fokker("train", *options(), "--out", run).exit_code == 0
    before = left_behind(run)
    done = fokker("train", *options(), "--out", run, "--resume")
    assert (done.exit_code, done.stdout) == (0, f"{run}\n")
    assert done.stderr == f"{run} has all of its 7 steps; give a larger --steps to go on.\n"
    assert left_behind(run) == before
    done = fokker("train", *options(), "--out", run, "--resume", "--steps", 9)
    assert done.exit_code == 0
    assert "learning rate" not in done.stderr
    assert checkpoints.latest(run / "checkpoints").name == "step-00000009"
    (tmp_path / "plan.toml").write_text((run / "run.toml").read_text())
    assert fokker("train", tmp_path / "plan.toml", "--out", run, "--resume", "--steps", 10).exit_code == 0
    assert fokker("train", tmp_path / "plan.toml", "--out", tmp_path / "again", "--steps", 10).exit_code == 0
    ours, theirs = left_behind(run), left_behind(tmp_path / "again")
    assert ours["weights.safetensors"] == theirs["weights.safetensors"]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (("--lr", "2e-2"), "train.lr is 0.01 there, and 0.02 was asked for"),
        (("--perturbation", "ve"), "perturbation."),
        (("--set", "perturbation.beta_max=10.0"), "perturbation.beta_max is 20.0 there, and 10.0 was asked for"),
        (("--set", "train.clip=0.25"), "train.clip is 0.5 there, and 0.25 was asked for"),
        (("--set", "train.weight_decay=0.5"), "train.weight_decay is 0.1 there, and 0.5 was asked for"),
        (("--set", "data.transforms=[]"), "data.transforms is "),
        (("--set", "sample.final=none"), "sample.final is 'tweedie' there, and 'none' was asked for"),
        (("--seed", 5), "train.seed is 0 there, and 5 was asked for"),
    ],
)
def test_another_plan_is_refused(fokker, options, tmp_path, change, where):
    run = tmp_path / "run"
    more = ("train.clip=0.5", "train.optimizer=adamw", "train.weight_decay=0.1", "train.steps=1")
    given = options((3,), *(word for value in more for word in ("--set", value)))
    assert fokker("train", *given, "--out", run).exit_code == 0
    written = (run / "run.toml").read_bytes()
    done = fokker("train", "--out", run, "--resume", "--steps", 3, *change)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: A resumed run keeps its plan: {where}")
    assert done.stderr.count("\n") == 1
    assert (run / "run.toml").read_bytes() == written


def test_settings_that_follow_from_others_are_not_compared(fokker, options, host, tmp_path):
    """The warm-up follows from the number of steps, which may change."""
    run, file = tmp_path / "run", tmp_path / "plan.toml"
    assert fokker("train", *options(), "--steps", 20, "--out", run).exit_code == 0
    kept = open_run(run, host).plan
    tables = kept.table(host.registry)
    tables["train"] = {"lr": 0.01, "batch_size": 5, "decay": "constant"}
    file.write_text(tomli_w.dumps(tables))
    assert fokker("train", file, "--resume", "--steps", 40, "--out", run).exit_code == 0
    assert open_run(run, host).plan.train == dataclasses.replace(kept.train, steps=40)
    file.write_text(tomli_w.dumps({**tables, "train": {**tables["train"], "ema": 0.5}}))
    done = fokker("train", file, "--resume", "--out", run)
    assert done.exit_code == 1
    assert "train.ema is 0.999 there, and 0.5 was asked for" in done.stderr


def test_more_steps_move_the_schedule_and_say_so(fokker, options, tmp_path):
    run = tmp_path / "run"
    assert fokker("train", *options(), "--set", "train.decay=cosine", "--out", run).exit_code == 0
    done = fokker("train", "--out", run, "--resume", "--steps", 12)
    assert done.exit_code == 0
    assert done.stderr.startswith(
        "The learning rate follows a cosine schedule over all steps: from here on it is that of 12 steps instead of 7, "
        "and jumps at the point of resuming.\n"
    )
    done = fokker("train", "--out", run, "--resume", "--steps", 5)
    assert done.exit_code == 1
    assert "has taken 12 steps already; train.steps cannot become 5" in done.stderr


def test_what_cannot_be_resumed(fokker, options, tmp_path):
    done = fokker("train", "--out", tmp_path / "nothing", "--resume")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {tmp_path / 'nothing'} is not a run: there is no run.toml in it.")
    done = fokker("train", "--out", tmp_path / "nothing", "--resume", "--force")
    assert done.exit_code == 2
    assert "give one of them" in done.stderr
    run = tmp_path / "run"
    assert fokker("train", *options(), "--out", run).exit_code == 0
    ema = run / "checkpoints" / "step-00000007" / "ema.safetensors"
    damaged = bytearray(ema.read_bytes())
    damaged[-1] ^= 1
    ema.write_bytes(damaged)
    for command in (("train", "--resume", "--steps", 9, "--out", run), ("sample", run, "--out", tmp_path / "a.npy")):
        done = fokker(*command)
        assert done.exit_code == 1
        assert done.stderr.startswith(
            f"Error: {ema} is not what was written: its checksum does not match the manifest."
        )
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "a.npy").exists()
    shutil.rmtree(ema.parent)  # as the message says
    assert fokker("train", "--resume", "--out", run).exit_code == 0


@pytest.fixture
def host_that_sends(monkeypatch):
    """A host with a listener that sends a signal to the process when a step is logged, once."""

    def make(number, step):
        sent = []

        @hookimpl
        def fokker_events(event):
            if isinstance(event, StepLogged) and event.step == step and not sent:
                sent.append(number)
                signal.raise_signal(number)

        module = ModuleType("fokker_sender")
        module.fokker_events = fokker_events
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return load_plugins([*entry_points(group="fokker"), EntryPoint("sender", module.__name__, "fokker")])

    return make


@pytest.fixture
def interruptible():
    """Python's own answer to SIGINT, which a shell that starts the tests in the background has switched off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_command_says_how_to_go_on(fokker, options, host_that_sends, tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert fokker("train", *options(), "--out", whole).exit_code == 0
    words = f"Go on with: fokker train --out {run} --resume\n"
    done = fokker("train", *options(), "--out", run, host=host_that_sends(signal.SIGINT, 2))
    assert done.exit_code == 130
    assert done.stdout == ""
    assert done.stderr == f"Stopped at step 2, there is no checkpoint yet. {words}\nInterrupted.\n"
    done = fokker("train", "--out", run, "--resume", host=host_that_sends(signal.SIGTERM, 4))
    assert done.exit_code == 143
    assert done.stderr == f"Stopped at step 4, the last checkpoint is step-00000003. {words}"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    done = fokker("train", "--out", run, "--resume")
    assert (done.exit_code, done.stdout) == (0, f"{run}\n")
    assert left_behind(run) == left_behind(whole)


def test_progress_goes_to_standard_error(fokker, options, tmp_path):
    done = fokker("train", *options(), "--out", tmp_path / "run")
    assert done.stdout == f"{tmp_path / 'run'}\n"
    assert done.stderr.startswith("training 100%  step 7/7  loss ")
    assert done.stderr.count("\n") == 1


def test_a_damaged_example_is_one_line(fokker, options, tmp_path):
    """One that the fit, which reads some of the examples only, has not seen."""
    given = options((2,), "--set", "data.transforms=[]")
    assert fokker("train", *given, "--out", tmp_path / "run", "--steps", 3).exit_code == 0
    x = np.load(tmp_path / "2.npy")
    x[:] = np.inf
    np.save(tmp_path / "2.npy", x)
    for workers in (0, 1):
        done = fokker("train", "--out", tmp_path / "run", "--resume", "--steps", 9, "--set", f"train.workers={workers}")
        assert done.exit_code == 1
        assert done.stderr.startswith(f"Error: {tmp_path / '2.npy'}: row ")
        assert done.stderr.count("\n") == 1


def test_previews_are_drawn(fokker, options, tmp_path):
    done = fokker("train", *options((1, 4, 4)), "--set", "train.preview_every=4", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    pictures = sorted(f.name for f in (tmp_path / "run" / "previews").iterdir())
    assert pictures == ["step-00000000.png", "step-00000004.png"]


def test_the_run_says_what_was_trained(fokker, options, host, tmp_path):
    assert fokker("train", *options(), "--label", "log-snr", "--out", tmp_path / "run").exit_code == 0
    plan = open_run(tmp_path / "run", host).plan
    assert host.registry.find(type(plan.label)).name == "log-snr"
    assert (plan.train.steps, plan.train.lr, plan.network.width) == (7, 0.01, 8)
    assert len(plan.data.transforms[0].mean) == 3
