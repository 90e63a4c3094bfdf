"""`fokker convert` on the originals' own files: the run that it makes, what decides its plan, and what it refuses."""

import json
import os
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pytest
import torch
from annotated_types import Gt
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import nn

from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.component import component
from fokker.errors import ConfigError, FokkerError, RunError
from fokker.format import Format
from fokker.network import Network, Published
from fokker.plugins import load_plugins
from fokker.run.convert import convert, write
from fokker.run.folder import open_run

REFERENCE = Path(__file__).parents[1] / "reference" / "data"
FILES = {"ncsn": "ncsn_models/ncsn_v1_16px", "ncsnv2": "ncsnv2_models/ncsnv2_16px"}
NOWHERE = ("--data", "images:root=nowhere,transforms=[]", "--shape", "3,16,16")


def recorded(name):
    tensors = load_file(REFERENCE / f"{FILES[name]}.safetensors")
    prefix = "state_dict/"
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}, tensors


def average_of(weights):
    return {k: v * 2 for k, v in weights.items() if k != "sigmas"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The checkpoints of both in every form that the originals have."""
    folder = tmp_path_factory.mktemp("published")
    for name in FILES:
        weights, _ = recorded(name)
        parallel = {f"module.{k}": v for k, v in weights.items()}
        optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4}]}
        save_file(weights, folder / f"{name}.safetensors")
        torch.save([parallel, optimizer], folder / f"{name}.pth")
        torch.save([parallel, optimizer, 4, 3, average_of(weights)], folder / f"{name}-ema.pth")
    return folder


@pytest.fixture
def host():
    return load_plugins()


@pytest.fixture
def fokker(host):
    return lambda *args: CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))


def output(run, name, **which):
    """The network's score at what was recorded, and what the original said."""
    _, tensors = recorded(name)
    run_levels = run.spec.levels
    t = run.plan.perturbation.knots[run_levels - 1 - tensors["labels"]]
    with torch.no_grad():
        return run.model(**which)(tensors["x"], t).score, tensors["output"]


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-5 * float(b.abs().max()))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("form", [".safetensors", ".pth", "-ema.pth"])
def test_the_run_gives_the_original_output(name, form, files, fokker, host, tmp_path):
    out = tmp_path / "run"
    sigmas = ["--set", "perturbation.maximum=1.0"] if name == "ncsn" else []
    done = fokker("convert", files / f"{name}{form}", "--out", out, *NOWHERE, *sigmas)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}\n" and "sample it with: fokker sample" in done.stderr
    run = open_run(out, host)
    assert run.spec.event_shape == (3, 16, 16) and run.checkpoint().name == "step-00000000"
    close(*output(run, name, raw_weights=True))
    averaged, original = output(run, name)
    if "ema" in form:
        assert run.plan.train.ema == 0.999 and not torch.allclose(averaged, original)
        doubled = run.model().backbone.state_dict()
        assert all(torch.equal(v, 2 * run.model(raw_weights=True).backbone.state_dict()[k]) for k, v in doubled.items())
    else:
        assert run.plan.train.ema == 0
        close(averaged, original)


def test_the_file_decides_what_it_can(files, host, tmp_path):
    sizes = {"ncsn": 8, "ncsnv2": 16}
    for name, channels in sizes.items():
        data = {"data": "images:root=nowhere,transforms=[]"}
        run = convert(host, files / f"{name}.pth", tmp_path / name, options=data, shape=(3, 16, 16))
        network, p = run.plan.network, run.plan.perturbation
        assert (network.channels, network.multipliers, network.recentre) == (channels, (1, 2, 2, 2), True)
        sigmas = recorded(name)[1]["sigmas"].double()
        torch.testing.assert_close(p.table.flip(0), sigmas, rtol=1e-5, atol=0)
        assert run.plan.sample.steps == len(sigmas) - 1 and run.plan.sample.init == "uniform"
        assert run.plan.sample.sampler.steps_per_level == (100 if name == "ncsn" else 5)
        assert run.plan.sample.final == ("none" if name == "ncsn" else "tweedie")


def test_a_recipe_stands_between_the_file_and_its_defaults(files, host, tmp_path):
    """Its data, training and sampling hold, its network does not; single values stand over all."""
    run = convert(
        host,
        files / "ncsnv2-ema.pth",
        tmp_path / "run",
        source="fashion-mnist-ncsnv2",
        sets=["network.recentre=false", "sample.sampler.step=1e-6"],
        shape=(3, 16, 16),
    )
    assert run.plan.data.pad == 0 and run.plan.train.lr == 1e-4
    assert (run.plan.network.channels, run.plan.network.recentre) == (16, False)
    assert len(run.plan.perturbation.table) == 20
    assert run.plan.sample.sampler.step == 1e-6 and run.plan.sample.steps == 98


def test_it_can_be_sampled(files, fokker, tmp_path):
    assert fokker("convert", files / "ncsn.pth", "--out", tmp_path / "run", *NOWHERE).exit_code == 0
    sampler = "smld:form=ncsn,step=2e-5,steps_per_level=1"
    done = fokker("sample", tmp_path / "run", "--out", tmp_path / "x.npy", "-n", 2, "--sampler", sampler, "--json")
    assert done.exit_code == 0, done.output
    assert np.load(tmp_path / "x.npy").shape == (2, 3, 16, 16)


def test_a_training_can_go_on_from_it(files, fokker, host, tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.uniform(size=(6, 3, 16, 16)).astype(np.float32))
    data = f"array:path='{tmp_path / 'x.npy'}',transforms=[]"
    out = tmp_path / "run"
    options = ("--data", data, "--steps", 2, "--batch-size", 2, "--lr", 1e-6, "--device", "cpu")
    done = fokker("convert", files / "ncsnv2-ema.pth", "--out", out, *options)
    assert done.exit_code == 0, done.output
    before = open_run(out, host).model(raw_weights=True).backbone.state_dict()
    done = fokker("train", "--out", out, "--resume")
    assert done.exit_code == 0, done.output
    run = open_run(out, host)
    assert run.checkpoint().name == "step-00000002" and run.spec.event_shape == (3, 16, 16)
    after = run.model(raw_weights=True).backbone.state_dict()
    moved = [float((after[k] - before[k]).abs().max()) for k in before]
    assert max(moved) > 0 and max(moved) < 1e-4
    first = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
    assert first["step"] == 2


class Trap:
    """What pickle would run on loading."""

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_no_code_of_a_file_is_run(fokker, tmp_path):
    trap = Trap()
    trap.path = tmp_path / "sprung"
    torch.save([trap], tmp_path / "trap.pth")
    done = fokker("convert", tmp_path / "trap.pth", "--out", tmp_path / "run", *NOWHERE)
    assert done.exit_code == 1 and not trap.path.exists() and not (tmp_path / "run").exists()
    assert "holds more than tensors, numbers and texts, and fokker runs no code from a file" in done.stderr


def refused(host, file, out, match, *, error=FokkerError, **more):
    data = {"data": "images:root=nowhere,transforms=[]"}
    with pytest.raises(error, match=match) as caught:
        convert(host, file, out, **{"options": data, "shape": (3, 16, 16), **more})
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_what_does_not_fit_is_named(host, tmp_path):
    weights, _ = recorded("ncsnv2")
    out, file = tmp_path / "run", tmp_path / "w.safetensors"

    def written(tensors):
        save_file(tensors, file)
        return file

    lacking = {k: v for k, v in weights.items() if k not in ("res3.1.conv2.bias", "refine2.msf.convs.1.weight")}
    names = r"lacks net\.stages\.2\.1\.conv_2\.bias, net\.refines\.1\.fuse\.convs\.1\.weight\."
    refused(host, written(lacking), out, names, error=RunError)
    extra = {**weights, "temperature": torch.ones(1), "res1.0.conv9.weight": torch.ones(1)}
    names = r"has besides net\.stages\.0\.0\.conv9\.weight, net\.temperature\. Check"
    refused(host, written(extra), out, names, error=RunError)
    few = {k: v for k, v in weights.items() if not k.startswith("refine4")}
    refused(host, written(few), out, r"lacks (net\.\S+, ){3}net\.\S+ and 16 more\.", error=RunError)
    wide = {**weights, "end_conv.bias": torch.zeros(5)}
    refused(host, written(wide), out, r"net\.end\.bias is \(5,\) there and \(3,\) in the plan", error=RunError)
    refused(host, written(weights), out, r"net\.begin\.weight is \(16, 3, 3, 3\) there and \(16, 1, 3, 3\)",
            shape=(1, 16, 16))  # fmt: skip
    other, _ = recorded("ncsn")
    refused(host, written(other), out, r"embed\.weight is \(6, 24\) there and \(7, 24\) in the plan",
            sets=["perturbation.levels=7"])  # fmt: skip


def test_what_else_is_refused(host, files, fokker, tmp_path):
    out = tmp_path / "run"
    refused(host, tmp_path / "no.pth", out, r"There is no file .*no\.pth; give the published weights", error=RunError)
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    known = r"No network knows the weights in .*a\.safetensors; published ones are taken in by ncsn, ncsnv2\."
    refused(host, tmp_path / "a.safetensors", out, known, error=ConfigError)
    (tmp_path / "b.safetensors").write_bytes(b"x" * 100)
    refused(host, tmp_path / "b.safetensors", out, r"b\.safetensors cannot be read: .*; is it whole\?", error=RunError)
    (tmp_path / "c.pth").write_bytes(b"not a file of PyTorch")
    refused(host, tmp_path / "c.pth", out, r"c\.pth (is neither|cannot be read).* is it whole\?", error=RunError)
    for content in (
        b"echo 1\n",
        b"[data]\nname = 1\n",
        bytes(range(256)),
    ):  # a reader may stumble over these in any way
        (tmp_path / "e.pth").write_bytes(content)
        refused(host, tmp_path / "e.pth", out, r"e\.pth (is neither|cannot be read).* is it whole\?", error=RunError)
    (tmp_path / "d.pth").write_bytes((files / "ncsn.pth").read_bytes()[:1000])
    refused(host, tmp_path / "d.pth", out, r"d\.pth cannot be read: .*; is it whole\?", error=RunError)
    refused(host, files / "ncsn.pth", out, "A plan needs data", options={}, error=ConfigError)
    assert fokker("convert", files / "ncsn.pth", "--out", out, *NOWHERE).exit_code == 0
    done = fokker("convert", files / "ncsn.pth", "--out", out, *NOWHERE)
    assert done.exit_code == 1 and "already holds a run" in done.output
    assert fokker("convert", files / "ncsn.pth", "--out", out, *NOWHERE, "--force").exit_code == 0
    for shape in ("3,x", "0,3", ""):
        done = fokker("convert", files / "ncsn.pth", "--out", tmp_path / "s", *NOWHERE, "--shape", shape)
        assert done.exit_code == 2 and "is no shape; write whole numbers above 0" in done.output


@component
class Stumbling(Network):
    """A network that expects its own file alone."""

    def build(self, spec):
        return nn.Linear(1, 1)

    @classmethod
    def published(cls, content):
        return content["mine"]["weight"]


@component
class Gains(Network):
    """A gain per channel, and the published weights of a program that calls it `scale`.

    Args:
        power: Of the gain.
    """

    power: Annotated[float, Gt(0)] = 1.0
    built: ClassVar[list] = []

    def build(self, spec):
        module = nn.Module()
        module.gain = nn.Parameter(torch.ones(spec.event_shape[0]))
        module.register_buffer("offset", torch.zeros(1))
        module.forward = lambda x, label, cond=None: x * module.gain[:, None, None] ** self.power
        return module

    @classmethod
    def published(cls, content):
        if not isinstance(content, dict) or "scale" not in content:
            return None
        facts = {"network": {"name": "local/gains", "power": 2.0}, "train": {"ema": 0.9}}
        weights = {"gain": content["scale"], "offset": torch.ones(1)}
        return Published(weights, facts, {"label": "t"}, {"gain": 3 * content["scale"]})


def test_a_network_of_a_plugin_brings_its_own_published_weights(host, tmp_path):
    """Beside one that stumbles over every other file."""
    torch.save({"scale": torch.tensor([1.0, 2.0])}, tmp_path / "w.pt")
    host.registry.network("stumbling", Stumbling)
    with pytest.raises(ConfigError, match=r"Not asked: local/stumbling stumbles over it \(KeyError: 'mine'\)\."):
        convert(host, tmp_path / "w.pt", tmp_path / "run", shape=(2, 3, 3))
    host.registry.network("gains", Gains)
    data = {"data": "images:root=nowhere,transforms=[]"}
    run = convert(host, tmp_path / "w.pt", tmp_path / "run", options=data, shape=(2, 3, 3))
    assert run.plan.network == Gains(power=2.0) and type(run.plan.label).__name__ == "Time"
    assert run.model(raw_weights=True).backbone.gain.tolist() == [1.0, 2.0]
    averaged = run.model().backbone
    assert averaged.gain.tolist() == [3.0, 6.0] and averaged.offset.tolist() == [1.0]


@pytest.fixture
def converted(files, host, tmp_path):
    """A run with a moving average that differs from its weights."""
    data = {"data": "images:root=nowhere,transforms=[]"}
    return convert(host, files / "ncsnv2-ema.pth", tmp_path / "run", options=data, shape=(3, 16, 16))


def test_a_run_is_written_as_a_file_of_weights(converted, fokker, tmp_path):
    out = tmp_path / "w.safetensors"
    for extra, raw in (((), False), (("--raw-weights", "--force"), True)):
        done = fokker("convert", converted.path, "--out", out, "--format", "weights", *extra)
        assert done.exit_code == 0, done.output
        assert done.stdout == f"{out}\n"
        expected = converted.model(raw_weights=raw).backbone.state_dict()
        stored = load_file(out)
        assert stored.keys() == expected.keys() and all(torch.equal(stored[k], expected[k]) for k in stored)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["run", "w.safetensors"]


def test_what_is_in_the_way_of_writing(converted, fokker, tmp_path):
    run, out = converted.path, tmp_path / "w.safetensors"
    done = fokker("convert", run, "--out", tmp_path / "w.npz", "--format", "weights")
    assert done.exit_code == 2 and "in the format weights ends in .safetensors, and --out is" in done.output
    done = fokker("convert", run, "--out", out)
    assert done.exit_code == 2 and "say what it is to be written in with --format: " in done.output
    done = fokker("convert", run, "--out", out, "--format", "weights", "--label", "t")
    assert done.exit_code == 2 and "is a run, whose plan is what it is; leave out label." in done.output
    done = fokker("convert", run, "--out", out, "--format", "wieghts")
    assert done.exit_code == 2 and "Did you mean 'weights'?" in done.output
    out.write_text("mine")
    done = fokker("convert", run, "--out", out, "--format", "weights")
    assert done.exit_code == 1 and "is there already" in done.output and out.read_text() == "mine"
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    done = fokker("convert", run, "--out", folder, "--format", "weights", "--force")
    assert done.exit_code == 1 and "is a folder of something else" in done.output and list(folder.iterdir())
    done = fokker("convert", tmp_path / "no.pth", "--out", tmp_path / "r", "--raw-weights", *NOWHERE)
    assert done.exit_code == 2 and "are for runs, and" in done.output
    done = fokker("convert", folder, "--out", tmp_path / "r", *NOWHERE)
    assert done.exit_code == 2 and "is in no format that can be taken in; there are" in done.output


@component
class Gained(Format):
    """A folder with gains, which knows its shape and classes."""

    def recognises(self, place):
        return (place / "gains.safetensors").is_file()

    def read(self, place, registry):
        facts = {"network": "local/gains", "label": "t", "train": {"labels": True}}
        weights = {**load_file(place / "gains.safetensors"), "offset": torch.zeros(1)}
        return Published(weights, facts, {"data": "images:root=nowhere"}, shape=(2, 3, 3), classes=5)


def test_a_format_of_a_plugin_needs_no_data_where_it_knows_the_shape(host, tmp_path):
    (tmp_path / "in").mkdir()
    save_file({"gain": torch.ones(2)}, tmp_path / "in" / "gains.safetensors")
    host.registry.network("gains", Gains)
    host.registry.format("gained", Gained)
    run = convert(host, tmp_path / "in", tmp_path / "run")
    assert (run.spec.event_shape, run.spec.classes) == ((2, 3, 3), 5)
    with pytest.raises(ConfigError, match="is a format that is taken in alone"):
        write(host, run, tmp_path / "out", "gained")
    assert not (tmp_path / "out").exists()
    host.registry.format("again", Gained)
    with pytest.raises(ConfigError, match=r"could be in the formats local/again and local/gained; say which"):
        convert(host, tmp_path / "in", tmp_path / "other")
    assert convert(host, tmp_path / "in", tmp_path / "other", format="again").spec == run.spec
