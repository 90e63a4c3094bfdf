"""`fokker draw` from outside: one file for each kind of picture, and one line for what makes no sense."""

import io

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fokker.cli.app import App
from fokker.cli.draw import draw
from fokker.cli.main import cli
from fokker.plugins import load_plugins

PLANE = ("field", "path", "histogram", "marginals", "levels", "loss", "samples")


@pytest.fixture(scope="module")
def host():
    return load_plugins()


@pytest.fixture(scope="module")
def fokker(host):
    return lambda *args: CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))


def trained(fokker, folder, data, *more):
    sets = ["network.width=8", "network.depth=1", "train.checkpoint_every=4", "sample.steps=4", *more]
    words = [word for value in sets for word in ("--set", value)]
    options = ["--data", data, "--network", "mlp", "--steps", 8, "--batch-size", 5, "--device", "cpu"]
    done = fokker("train", *options, *words, "--out", folder / "run")
    assert done.exit_code == 0, done.stderr
    return folder / "run"


def array(folder, shape):
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.normal(2.0, 3.0, (30, *shape)).astype(np.float32), label=np.arange(30) % 3)
    return f"array:path='{folder / 'data.npz'}',key=x,labels_key=label,test_share=0.4"


@pytest.fixture(scope="module")
def run(fokker, tmp_path_factory):
    return trained(fokker, tmp_path_factory.mktemp("roll"), "swiss-roll:n=200")


@pytest.fixture(scope="module")
def labelled(fokker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    return trained(fokker, folder, array(folder, (2,)), "train.labels=true")


@pytest.fixture(scope="module")
def pictures(fokker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return trained(fokker, folder, array(folder, (1, 4, 4)))


def drawn(fokker, what, run, out, *more):
    done = fokker("draw", what, run, "--out", out, *more)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{out}\n"
    return Image.open(io.BytesIO(out.read_bytes()))


@pytest.mark.parametrize("what", PLANE)
def test_every_picture_of_points_of_the_plane(fokker, run, what, tmp_path):
    picture = drawn(fokker, what, run, tmp_path / "a.png")
    assert min(picture.size) >= 240
    assert picture.format == "PNG"


@pytest.mark.parametrize("way", [(), ("--forward",)])
def test_animations_of_every_shape(fokker, run, pictures, way, tmp_path):
    for k, each in enumerate((run, pictures)):
        film = drawn(fokker, "animation", each, tmp_path / f"{k}.gif", "-n", 4, "--frames", 3, "--width", 100, *way)
        assert film.format == "GIF"
        assert film.n_frames == 3


def test_pictures_of_any_shape(fokker, pictures, tmp_path):
    for what, more in (("samples", ()), ("levels", ("-n", 9)), ("loss", ()), ("marginals", ("--coordinate", 15))):
        assert drawn(fokker, what, pictures, tmp_path / f"{what}.png", *more).size[0] >= 240


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("field", ("--levels", 2)),
        ("field", ("--at", 0.3)),
        ("field", ("--arrows", 9)),
        ("field", ("--exact",)),
        ("field", ("--raw-weights",)),
        ("path", ("-n", 2)),
        ("path", ("--steps", 3)),
        ("path", ("--sampler", "ddpm")),
        ("path", ("--grid", "uniform")),
        ("path", ("--init", "[1.5,-1.5]")),
        ("path", ("--final", "none")),
        ("path", ("--checkpoint", "4")),
        ("path", ("--seed", 1)),
        ("histogram", ("-n", 50)),
        ("histogram", ("--bins", 7)),
        ("marginals", ("--times", 2)),
        ("marginals", ("--coordinate", 1)),
        ("levels", ("-n", 20)),
        ("levels", ("--levels", 3)),
        ("levels", ("--seed", 1)),
    ],
)
def test_every_option_changes_the_picture(fokker, run, what, more, tmp_path):
    one, again, other = (tmp_path / f"{name}.png" for name in ("one", "again", "other"))
    drawn(fokker, what, run, one)
    drawn(fokker, what, run, again)
    drawn(fokker, what, run, other, *more)
    assert one.read_bytes() == again.read_bytes()
    assert one.read_bytes() != other.read_bytes()


def test_a_class_is_drawn(fokker, labelled, tmp_path):
    one, other = tmp_path / "1.png", tmp_path / "2.png"
    drawn(fokker, "field", labelled, one, "--label", 1)
    drawn(fokker, "field", labelled, other, "--label", 2)
    assert one.read_bytes() != other.read_bytes()
    drawn(fokker, "levels", labelled, tmp_path / "l.png")
    drawn(fokker, "path", labelled, tmp_path / "p.png")


def refusal(fokker, *args):
    done = fokker("draw", *args)
    assert done.exit_code != 0
    (line,) = done.stderr.strip().splitlines()
    return line


def test_what_makes_no_sense_is_refused_in_one_line(fokker, run, labelled, pictures, tmp_path):
    out = ("--out", tmp_path / "a.png")
    assert "points of the plane" in refusal(fokker, "field", pictures, *out)
    assert "(1, 4, 4)" in refusal(fokker, "path", pictures, *out)
    assert "points of the plane" in refusal(fokker, "histogram", pictures, *out)
    assert "--coordinate" in refusal(fokker, "marginals", pictures, *out)
    assert "0 to 15" in refusal(fokker, "marginals", pictures, "--coordinate", 16, *out)
    assert "--label, 0 to 2" in refusal(fokker, "field", labelled, *out)
    assert "exact score of this data is not known" in refusal(fokker, "field", labelled, "--exact", "--label", 1, *out)
    assert "is not a run" in refusal(fokker, "loss", tmp_path, *out)
    assert "written as .gif" in refusal(fokker, "animation", run, *out)
    assert "written as .png" in refusal(fokker, "field", run, "--out", tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_only_by_force(fokker, run, tmp_path):
    out = tmp_path / "a.png"
    out.write_bytes(b"mine")
    assert "--force" in refusal(fokker, "loss", run, "--out", out)
    assert out.read_bytes() == b"mine"
    drawn(fokker, "loss", run, out, "--force")


@pytest.mark.parametrize("what", draw.commands)
def test_every_kind_has_help_with_an_example(fokker, what):
    done = fokker("draw", what, "--help")
    assert done.exit_code == 0
    assert f"  fokker draw {what} runs/" in done.stdout
    assert "--quiet" in done.stdout
    assert "\\b" not in done.stdout
    assert all(parameter.help for parameter in draw.commands[what].params if parameter.name != "run")
