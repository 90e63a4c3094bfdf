"""What a plugin writes and draws: files of its own suffix, pictures of its own data, and what it keeps with a run."""

import json

import pytest
import torch

from fokker import draw
from fokker.errors import ConfigError, PluginError
from fokker.plugins.registry import Provider, Registry
from fokker.run.folder import plugin_folder
from fokker.sink import WholeFileSink, open_sink
from fokker_data.toy import Ring


class Lines(WholeFileSink):
    """What is said of the samples, then a sample a line, as JSON."""

    def _begin(self, about):
        self._file.write(json.dumps(about).encode() + b"\n")

    def _append(self, x, labels):
        for row in x:
            self._file.write(json.dumps(row.tolist()).encode() + b"\n")


class Named(Ring):
    """A ring that knows something of its samples and draws them itself."""

    @property
    def facts(self):
        return {"unit": "metre"}

    def picture(self, x, *, reference=None, like=None, width=720):
        return draw.samples(torch.zeros(len(x), 1, 8, 8))


def registry(*distributions):
    whole = Registry()
    for distribution in distributions:
        one = Registry(Provider(distribution, "p", "1.0"))
        one.sink(".lines", Lines)
        whole.merge(one)
    return whole


def write(path, **options):
    with open_sink(path, 2, (2,), about={"seed": 3}, **options) as sink:
        sink.write(0, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))


def test_a_plugins_sink_writes_its_suffix(tmp_path):
    write(tmp_path / "x.LINES", registry=registry("fokker-lines"), source=Named())
    about, *rows = map(json.loads, (tmp_path / "x.LINES").read_text().splitlines())
    assert about == {"seed": 3, "unit": "metre"} and rows == [[1.0, 2.0], [3.0, 4.0]]


def test_the_suffixes_of_plugins_are_named_where_there_is_no_such(tmp_path):
    with pytest.raises(ConfigError, match=r"\.png, \.lines, or in / for a folder"):
        write(tmp_path / "x.txt", registry=registry("fokker-lines"))
    with pytest.raises(ConfigError, match=r"\.png, or in / for a folder"):
        write(tmp_path / "x.lines", registry=Registry())


def test_two_sinks_of_one_suffix_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"fokker-a and fokker-b both write \.lines files"):
        write(tmp_path / "x.lines", registry=registry("fokker-b", "fokker-a"))
    with pytest.raises(PluginError, match="registered twice"):
        one = Registry()
        one.sink(".lines", Lines)
        one.sink(".LINES", Lines)


@pytest.mark.parametrize("suffix", ["lines", "", ".", ".two.parts", None])
def test_what_is_no_suffix_is_refused(suffix):
    with pytest.raises(PluginError):
        Registry().sink(suffix, Lines)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("fokker.errors:ConfigError", "is not a WholeFileSink"),
        ("fokker.nowhere:Sink", "cannot be loaded"),
        ("fokker.sink.sink:WholeFileSink", "is abstract"),
    ],
)
def test_what_is_no_sink_is_refused_when_it_is_asked_for(target, words, tmp_path):
    one = Registry()
    one.sink(".lines", target)
    with pytest.raises(PluginError, match=words):
        write(tmp_path / "x.lines", registry=one)


def test_a_sink_is_no_component():
    one = registry("fokker-lines")
    assert not list(one) and one.sink_suffixes() == [".lines"]


def test_a_source_draws_its_own_samples(tmp_path):
    x = torch.rand(5, 2)
    own = draw.samples(torch.zeros(5, 1, 8, 8)).png
    assert draw.samples(x, tmp_path / "x.png", source=Named()).png == own == (tmp_path / "x.png").read_bytes()
    assert draw.samples(x, source=Ring()).png == draw.samples(x).png != own
    with open_sink(tmp_path / "y.png", 5, (2,), source=Named()) as sink:
        sink.write(0, x)
    assert (tmp_path / "y.png").read_bytes() == own


def test_a_plugins_folder_goes_with_the_run(tmp_path):
    from fokker.plan import resolve
    from fokker.plugins import load_plugins
    from fokker.training.loop import start

    host = load_plugins()
    sets = ("train.steps=1", "train.batch_size=4")
    plan = resolve(host.registry, options={"data": "ring:n=20", "network": "mlp:width=4,depth=1"}, sets=sets)
    for _ in start(host, plan, tmp_path / "run"):
        pass
    folder = plugin_folder(tmp_path / "run", "Fokker_Lines")
    assert folder == tmp_path / "run" / "plugins" / "fokker-lines"
    folder.mkdir(parents=True)
    (folder / "kept.json").write_text("{}")
    start(host, plan, tmp_path / "run", force=True)
    assert not folder.exists()
