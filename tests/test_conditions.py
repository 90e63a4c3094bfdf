"""A model that is told more than classes: data that names it, a network that reads it, samples that are told it."""

import dataclasses
from typing import Annotated

import pytest
import torch
from annotated_types import Gt
from safetensors.torch import save_file
from torch import nn

from fokker import ConfigError, DataSource, Examples, Network, component
from fokker.data import Batch, Transform
from fokker.flow.examples import read
from fokker.guidance import Subject
from fokker.network import DataSpec, Published
from fokker.plan import resolve, spec_of
from fokker.plugins import load_plugins
from fokker.run.convert import convert
from fokker.run.folder import open_run
from fokker.sampling import generate
from fokker.testing import checks_for, run
from fokker.testing.worlds import normal
from fokker.training.loop import resume, start


class _Shifted(Examples):
    classes = 2

    def __init__(self, n, seed, name="place"):
        self.event_shape = (2,)
        self.condition = {name: (2, 1)}
        self.place = normal(n, 2, 1, seed=seed).float()
        self.x = self.place[:, :, 0] + 0.1 * normal(n, 2, seed=seed + 10).float()
        self.name = name

    def __len__(self):
        return len(self.x)

    def fetch(self, index):
        if max(index) >= len(self):
            raise IndexError(index)
        at = torch.tensor(list(index))
        return Batch(self.x[at], {self.name: self.place[at], "label": at % 2})


@component
class Shifted(DataSource):
    """Points near a place that the model is told.

    Args:
        n: Number of examples.
        transforms: As always.
    """

    n: int = 64
    transforms: tuple[Transform, ...] = ()

    def open(self, split="train"):
        return _Shifted(self.n, 1 if split == "train" else 2)


@component
class Told(Network):
    """Finds the noise of points whose place it is told.

    Args:
        width: Hidden values.
    """

    width: Annotated[int, Gt(0)] = 8

    @property
    def examples(self):
        return (DataSpec((2,), condition={"place": (2, 1)}),)

    def build(self, spec):
        if dict(spec.condition) != {"place": (2, 1)}:
            raise ConfigError(f"Told takes a place, got {spec.condition}.")
        return _Told(self.width, spec.classes)


class _Told(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, width), nn.SiLU(), nn.Linear(width, 2))
        self.label = None if classes is None else nn.Embedding(classes + 1, 2)

    def forward(self, x, label, cond=None):
        x = x if self.label is None else x + self.label(cond["label"])
        return self.layers(torch.cat([x, cond["place"].to(x.dtype)[:, :, 0], label.to(x.dtype)[:, None]], 1))


@component
class PublishedTold(Told):
    """The same, whose weights are taken in from a file.

    Args:
        width: Hidden values.
    """

    @classmethod
    def published(cls, content):
        if not isinstance(content, dict) or "layers.0.weight" not in content:
            return None
        facts = {"network": {"name": "local/published-told", "width": len(content["layers.0.weight"])}}
        return Published(content, facts, condition=lambda shape: {"place": (*shape, 1)})


@pytest.fixture
def host():
    host = load_plugins()
    host.registry.data("shifted", Shifted)
    host.registry.network("told", Told)
    host.registry.network("published-told", PublishedTold)
    return host


def plan(host, *sets, network="told"):
    options = {"data": "shifted", "network": network, "perturbation": "edm", "label": "c-noise"}
    settings = ("train.batch_size=8", "train.steps=4", "train.decay=constant", "train.log_every=1", *sets)
    return resolve(host.registry, options=options, sets=settings)


def trained(host, path, *sets):
    for _ in start(host, plan(host, *sets), path):
        pass
    return open_run(path, host)


def test_a_training_tells_the_network_and_the_run_remembers(host, tmp_path):
    found = trained(host, tmp_path / "run")
    assert dict(found.spec.condition) == {"place": (2, 1)}
    assert found.spec == spec_of(found.plan, found.plan.data.open())


@pytest.mark.parametrize("labels", ["false", "true"])
def test_classes_are_told_beside_it(host, tmp_path, labels):
    found = trained(host, tmp_path / "run", f"train.labels={labels}")
    assert found.spec.told(Shifted().open().fetch([0]).cond).keys() == {"place"} | (
        {"label"} if labels == "true" else set()
    )


def test_it_matters_what_is_told(host, tmp_path):
    found = trained(
        host,
        tmp_path / "run",
        "train.steps=400",
        "train.ema=0.9",
        "train.lr=0.01",
        "train.batch_size=64",
        "network.width=64",
    )
    model = found.model()
    grid = found.plan.sample.grid.times(model.perturbation, 20)
    (chunk,) = generate(
        model, found.plan.chain, found.spec, found.plan.sample.sampler, grid, n=64, data=found.plan.data
    )
    place = found.plan.data.open("test").place[:, :, 0]
    assert float((chunk.x - place).norm(dim=1).mean()) < 0.5 * float((chunk.x - place.flip(0)).norm(dim=1).mean())


def test_sample_i_is_told_what_example_i_is(host, tmp_path):
    found = trained(host, tmp_path / "run")
    subject = Subject(found.spec, found.plan.chain, found.plan.data)
    place = found.plan.data.open("test").place
    assert torch.equal(subject.told([3, 64 + 5])["place"], place[[3, 5]])
    model, way = found.model(), found.plan.sample.sampler
    grid = found.plan.sample.grid.times(model.perturbation, 3)

    def drawn(**options):
        chunks = generate(model, found.plan.chain, found.spec, way, grid, data=found.plan.data, **options)
        return torch.cat([chunk.x for chunk in chunks])

    torch.testing.assert_close(drawn(n=6, batch_size=4)[2:], drawn(n=4, first=2, batch_size=1))


def test_without_the_data_it_cannot_be_sampled(host, tmp_path):
    found = trained(host, tmp_path / "run")
    with pytest.raises(ConfigError, match="told place of each sample"):
        Subject(found.spec, found.plan.chain).told([0])
    with pytest.raises(ConfigError, match="the conditions of this data are: none"):
        Subject(found.spec, found.plan.chain, host.registry.get("data", "ring").load()()).told([0])
    assert Subject(DataSpec((2,))).told([0]) == {}


def test_a_resumed_training_is_the_same(host, tmp_path):
    trained(host, tmp_path / "whole")
    trained(host, tmp_path / "half", "train.steps=2")
    for _ in resume(host, tmp_path / "half", {"steps": 4}):
        pass
    assert (tmp_path / "whole" / "metrics.jsonl").read_text() == (tmp_path / "half" / "metrics.jsonl").read_text()


def test_previews_are_told_too(host, tmp_path):
    trained(host, tmp_path / "run", "train.preview_every=2", "sample.steps=2")
    assert len(list((tmp_path / "run" / "previews").iterdir())) == 3


def test_examples_are_read_with_it(host, tmp_path):
    found = trained(host, tmp_path / "run")
    examples = found.plan.data.open("test")
    (inputs,) = read(examples, found.plan.chain, found.spec, n=3, first=1)
    assert torch.equal(inputs.cond["place"], examples.place[1:4]) and "label" not in inputs.cond
    with pytest.raises(ConfigError, match="the conditions of this data are: elsewhere"):
        list(read(_Shifted(4, 1, "elsewhere"), found.plan.chain, found.spec, n=3))


def test_a_network_that_takes_no_condition_is_refused(host, tmp_path):
    with pytest.raises(ConfigError, match=r"network: .*place"):
        start(host, plan(host, network="mlp"), tmp_path / "run")


def test_a_run_of_another_condition_is_not_resumed(host, tmp_path, monkeypatch):
    trained(host, tmp_path / "run")
    monkeypatch.setattr(Shifted, "open", lambda self, split="train": _Shifted(self.n, 1, "elsewhere"))
    with pytest.raises(Exception, match="or other classes or conditions"):
        resume(host, tmp_path / "run", {})


def test_source_and_network_conform():
    for part in (Shifted(), Told()):
        assert not [o for o in map(run, checks_for(part)) if o.status == "failed"]


@pytest.mark.parametrize(
    ("condition", "words"),
    [({"place": (3,)}, "place of shape"), ({"other": (2, 1)}, "does not give it"), ({"label": ()}, "names the labels")],
)
def test_the_kit_finds_a_condition_that_is_not_as_named(condition, words):
    @component
    class Wrong(Shifted):
        """Names another condition than it gives.

        Args:
            n: Number of examples.
            transforms: As always.
        """

        def open(self, split="train"):
            found = super().open(split)
            found.condition = condition
            return found

    failed = [o for o in map(run, checks_for(Wrong())) if o.status == "failed"]
    assert [o.check for o in failed] == ["conditions"] and words in failed[0].detail


def test_a_spec_tells_what_it_names():
    spec = DataSpec((2,), classes=3, condition={"place": (2, 1)})
    cond = {"place": torch.ones(1, 2, 1), "label": torch.zeros(1), "other": torch.ones(1)}
    assert spec.told(cond).keys() == {"place", "label"}
    assert dataclasses.replace(spec, classes=None, condition={}).told(cond) is None


def test_published_weights_say_what_the_network_is_told(host, tmp_path):
    weights = Told(width=5).build(DataSpec((2,), condition={"place": (2, 1)})).state_dict()
    save_file(weights, tmp_path / "w.safetensors")
    options = {"data": "shifted", "perturbation": "edm", "label": "c-noise"}
    for k, shape in enumerate(((2,), None)):  # without the data, and with it
        found = convert(host, tmp_path / "w.safetensors", tmp_path / f"run-{k}", options=options, shape=shape)
        assert dict(found.spec.condition) == {"place": (2, 1)}
        assert open_run(found.path, host).spec == found.spec
