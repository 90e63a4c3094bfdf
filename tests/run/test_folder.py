"""The run folder: what is written down is enough, and what is damaged is named."""

import dataclasses
import sys
import tomllib
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import pytest
import tomli_w
import torch

from fokker import hookimpl
from fokker.component import component
from fokker.errors import ConfigError, FokkerError, RunError
from fokker.network import DataSpec
from fokker.parameterization import Eps
from fokker.plugins import load_plugins
from fokker.run.folder import create, open_run, read_lines, refuse_taken, write_plan
from fokker_sde.pc import Identity


def test_an_opened_run_is_the_run_that_was_made(host, make_run):
    for name, settings in {
        "plain": {},
        "labels": {"labels": 3, "train": {"clip": 0.5}},
        "table": {"perturbation": "betas:steps=7", "objective": "ddpm", "label": "index", "sample": {"steps": 3}},
        "image": {"shape": (1, 4, 4), "network": {"name": "unet", "channels": 4, "multipliers": [1], "attention": []}},
    }.items():
        made = make_run(name, **settings)
        found = open_run(made.path, host)
        assert found == made
        assert found.plan.data.transforms[0].mean is not None
    assert found.spec == DataSpec((1, 4, 4))
    assert open_run(made.path.parent / "labels", host).spec == DataSpec((2,), classes=3)
    assert open_run(made.path.parent / "table", host).spec == DataSpec((2,), levels=7)


def test_the_plugins_that_were_used_are_written_down(host, make_run):
    import fokker

    run = make_run(sample={"sampler": "pc:predictor=ancestral,corrector=unchanged"})
    about = tomllib.loads((run.path / "run.toml").read_text())["run"]
    assert about["schema"] == 1
    assert about["event_shape"] == [2]
    names = ["fokker/core", "fokker/data", "fokker/ddpm", "fokker/networks", "fokker/sde"]
    assert about["versions"] == dict.fromkeys(names, fokker.__version__)


def test_fresh_weights_follow_from_the_seed(make_run):
    run = make_run()
    before = torch.get_rng_state()
    first, second = (run.plan.model(run.spec).backbone.state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = make_run("other", train={"seed": 1})
    assert not torch.equal(other.plan.model(run.spec).backbone.state_dict()["first.weight"], first["first.weight"])


def test_a_model_has_the_average_unless_the_weights_are_asked_for(make_run, save_weights):
    run = make_run()
    save_weights(run)
    fresh = run.plan.model(run.spec).backbone.state_dict()
    for raw, shift in ((False, 1), (True, 0)):
        model = run.model(raw_weights=raw)
        for name, value in model.backbone.state_dict().items():
            assert torch.equal(value, fresh[name] + shift)
        assert not model.backbone.training
        assert not any(p.requires_grad for p in model.backbone.parameters())
    without = make_run("without", train={"ema": 0.0})
    save_weights(without, ema=False)
    assert torch.equal(without.model().backbone.state_dict()["first.weight"], fresh["first.weight"])


def test_checkpoints_by_name_and_step(make_run, save_weights):
    run = make_run()
    with pytest.raises(RunError, match=r"has no checkpoint yet; let 'fokker train --resume' go on"):
        run.model()
    places = [save_weights(run, step) for step in (5, 10)]
    assert run.checkpoint() == places[1]
    assert run.checkpoint("5") == run.checkpoint("step-00000005") == places[0]
    for name in ("6", "five", "step-5"):
        with pytest.raises(RunError, match=f"has no checkpoint '{name}'; there are: 5, 10"):
            run.checkpoint(name)


def test_weights_of_another_network_are_refused(host, make_run, save_weights):
    run = make_run()
    save_weights(run)
    wider = dataclasses.replace(run.plan, network=dataclasses.replace(run.plan.network, width=5))
    write_plan(run.path, host, wider, run.spec)
    with pytest.raises(
        RunError, match=r"does not fit the network of run\.toml \(size mismatch for .*\)\. Restore"
    ) as e:
        open_run(run.path, host).model()
    assert "\n" not in str(e.value)


def test_what_is_in_use_is_refused(make_run, tmp_path):
    run = make_run()
    with pytest.raises(RunError, match="already holds a run"):
        make_run()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file; give --out a new folder"):
        refuse_taken(tmp_path / "file", force=True)
    for force in (False, True):
        with pytest.raises(RunError, match="is not empty and not a run"):
            refuse_taken(tmp_path, force=force)
    (tmp_path / "empty").mkdir()
    refuse_taken(tmp_path / "empty")
    refuse_taken(tmp_path / "new" / "folder")
    refuse_taken(run.path, force=True)
    # killed while the very first file was written
    (tmp_path / "empty" / ".run.toml.17.partial").write_text("")
    refuse_taken(tmp_path / "empty")


def test_force_removes_what_a_run_consists_of_and_nothing_else(make_run, save_weights, tmp_path):
    run = make_run()
    save_weights(run)
    for name in ("metrics.jsonl", "report.html", "previews/step-00000000.png", "samples/a.npy", "notes/mine.txt"):
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_text("")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.npy").write_text("")
    (run.path / "samples").rename(tmp_path / "samples")
    (run.path / "samples").symlink_to(tmp_path / "elsewhere")
    make_run(force=True)
    assert sorted(f.name for f in run.path.iterdir()) == ["notes", "run.toml"]
    assert (tmp_path / "elsewhere" / "b.npy").exists()


def test_killed_while_it_is_replaced_a_run_can_still_be_replaced(host, make_run, save_weights, monkeypatch):
    import shutil

    run = make_run()
    save_weights(run)

    def killed(place):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        create(run.path, host, run.plan, run.spec, force=True)
    refuse_taken(run.path, force=True)


def test_what_is_no_run_says_how_to_make_one(host, tmp_path):
    with pytest.raises(RunError, match=r"is not a run: there is no run\.toml in it\. 'fokker train --out .*"):
        open_run(tmp_path / "nothing", host)


def test_a_damaged_plan_is_one_line(host, make_run):
    run = make_run(labels=3)
    file = run.path / "run.toml"
    whole = file.read_text()
    lines = whole.splitlines(keepends=True)
    damaged = ["".join(lines[:k]) for k in range(len(lines))] + [whole[:k] for k in range(0, len(whole), 41)]
    damaged += ["run = 3\n", "[run]\n", whole.replace("schema = 1", 'schema = "one"'), "\x00", "data = 5\n" + whole]
    damaged += [whole.replace("event_shape = [", "event_shape = [ [1],"), whole.replace("[run.versions]", "[run.x]")]
    damaged += [whole.replace('"mlp"', "3"), whole.replace("width = 4", "width = -4"), whole.replace("width", "wdith")]
    for text in damaged:
        assert text != whole
        file.write_text(text)
        try:
            found = open_run(run.path, host)
        except FokkerError as error:
            assert "\n" not in str(error)
            assert "run.toml" in str(error) or "made with" in str(error)
        else:
            # nothing but a version or a field that has its default anyway is gone
            assert dataclasses.replace(found, plan=run.plan) == run
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match=r"run\.toml is damaged"):
        open_run(run.path, host)


def test_a_run_of_the_future_says_so(host, make_run):
    run = make_run()
    file = run.path / "run.toml"
    file.write_text(file.read_text().replace("schema = 1", "schema = 2"))
    with pytest.raises(RunError, match=r"written by a newer fokker \(schema 2; this one reads 1\)"):
        open_run(run.path, host)


@component
class Part(Eps):
    """A stranger's parameterization."""


@component
class Step(Identity):
    """A stranger's predictor."""


@pytest.mark.parametrize("where", ["parameterization", "sample"])
def test_a_missing_plugin_is_named(make_run, host, monkeypatch, where):
    """Also where nothing but a sampler's part comes from it."""

    @hookimpl
    def fokker_register(registry):
        registry.parameterization("stranger", Part)
        registry.predictor("stranger", Step)

    module = ModuleType("fokker_stranger")
    module.fokker_register = fokker_register
    monkeypatch.setitem(sys.modules, module.__name__, module)
    more = load_plugins([*entry_points(group="fokker"), EntryPoint("stranger", module.__name__, "fokker")])

    run = make_run()
    tables = tomllib.loads((run.path / "run.toml").read_text())
    if where == "sample":
        tables["sample"]["sampler"] = {"name": "pc", "predictor": {"name": "stranger"}}
    else:
        tables["parameterization"] = {"name": "stranger"}
    (run.path / "run.toml").write_text(tomli_w.dumps(tables))
    opened = open_run(run.path, more)
    write_plan(run.path, more, opened.plan, opened.spec)
    with pytest.raises(ConfigError, match=rf"{where}.*named 'fokker-stranger/stranger'.*run was made with fokker-str"):
        open_run(run.path, host)
    open_run(run.path, more)


def test_lines_are_read_to_the_last_whole_one(tmp_path):
    file = tmp_path / "metrics.jsonl"
    assert list(read_lines(file)) == []
    file.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert list(read_lines(file)) == [{"step": 1}, {"step": 2}]
    file.write_text('{"step": 1}\n{"st\n{"step": 2}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl is damaged in line 2"):
        list(read_lines(file))
