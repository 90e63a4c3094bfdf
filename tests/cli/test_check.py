import json
import re

import pytest
import torch
from click.testing import CliRunner

from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.component import component
from fokker.grid import Grid, Uniform
from fokker.plugins import load_plugins
from fokker_ddpm.ddim import DDIM


@component
class Slip(DDIM):
    """DDIM with x0 scaled by where the step starts.

    Args:
        eta: As for DDIM.
    """

    def coefficients(self, p, t, s):
        return {**super().coefficients(p, t, s), "x0": p.alpha(t)}


@component
class Late(Grid):
    """A grid that repeats a time.

    Args:
        end: Last time.
    """

    end: float = 0.1

    def times(self, perturbation, steps):
        times = Uniform(end=self.end).times(perturbation, steps)
        return torch.cat([times[:1], times[:-1]])


@pytest.fixture
def host():
    host = load_plugins(environ={})
    for name, kind, cls in (("slip", "sampler", Slip), ("slip", "predictor", Slip), ("late", "grid", Late)):
        getattr(host.registry, kind)(name, cls)
    return host


def run(*args, host):
    return CliRunner().invoke(cli, ["check", *args], obj=App(loaded=host))


def test_a_sound_component_passes(host):
    done = run("uniform", host=host)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["check", "status", "detail"]
    assert re.fullmatch(r"\d+ checks: \d+ passed(, \d+ skipped)?\.", lines[-1])


def test_a_wrong_coefficient_is_one_line_with_the_order_claimed_and_measured(host):
    done = run("slip", "--failed", host=host)
    assert done.exit_code == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("order[vp")]
    assert "failed" in line and "claims order 1, measured" in line
    assert "passed  " not in done.stdout  # --failed lists failures only


def test_cases_that_came_out_alike_share_a_line(host):
    done = run("ddim", host=host)
    assert re.search(
        r"^follows-the-grid\[vp, ve, sub-vp, cosine, edm, flow, sigmas, betas\] +passed$", done.stdout, re.MULTILINE
    )


def test_a_class_of_two_kinds_is_checked_once(host):
    found = json.loads(run("slip", "--json", "--quiet", host=host).stdout)
    assert {o["component"] for o in found} == {"sampler, predictor slip"}
    assert len({o["check"] for o in found}) == len(found)


def test_json_has_every_check(host):
    done = run("late", "vp:beta_min=0.5", "--json", "--quiet", host=host)
    found = json.loads(done.stdout)
    assert done.exit_code == 1
    assert {o["component"] for o in found} == {"grid late", "perturbation vp:beta_min=0.5"}
    assert {o["status"] for o in found} >= {"passed", "failed"}
    for outcome in found:
        assert set(outcome) >= {"component", "check", "status", "detail"}
        assert outcome["detail"] or outcome["status"] == "passed"
        assert "\n" not in outcome["detail"]
    assert not [o for o in found if o["status"] == "failed" and o["component"].startswith("perturbation")]


def test_all_of_a_kind_in_a_line_each_with_the_failures_below(host):
    done = run("--all", "--kind", "grid", "--quiet", host=host)
    assert done.exit_code == 1
    summaries, _, failures = done.stdout.partition("component  check")
    for name in host.registry.names("grid"):
        assert f"grid {name} " in summaries
    assert "grid late" in failures and "grid uniform" not in failures


def test_what_needs_fields_is_told_and_skipped_among_all(host):
    done = run("--all", "--kind", "data", "--json", "--quiet", host=host)
    (array,) = [o for o in json.loads(done.stdout) if o["component"] == "data array"]
    assert (array["check"], array["status"]) == ("construction", "skipped")
    assert "data.path is missing" in array["detail"]
    alone = run("array", host=host)
    assert alone.exit_code == 2
    assert alone.stderr == "Error: data.path is missing; it is text.\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "Give the names of components, or --all."),
        (("ddim", "--all"), "Give the names of components, or --all."),
        (("dimm",), "No component of any kind is named 'dimm'. Did you mean 'ddim'?"),
        (("ddim", "--kind", "grid"), "No grid named 'ddim'."),
        (("--all", "--kind", "sampelr"), "No kind 'sampelr'. Did you mean 'sampler'?"),
        (("ddim:eta=2",), "sampler.eta must be"),
        (("ddim:eta",), "eta"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(host, args, words):
    done = run(*args, host=host)
    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.output


def test_nothing_is_left_in_the_folder(host, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("min-snr", host=host).exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_class_registered_as_what_it_is_not_fails_and_stops_nothing(host):
    host.registry.predictor("late", Late)
    done = run("late", "--json", "--quiet", host=host)
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    (wrong,) = [o for o in found if o["check"] == "registration"]
    assert (wrong["component"], wrong["status"]) == ("predictor late", "failed")
    assert "is not a OneStep" in wrong["detail"]
    assert {o["component"] for o in found} == {"grid late", "predictor late"}
    everything = run("--all", "--kind", "predictor", "--json", "--quiet", host=host)
    assert len({o["component"] for o in json.loads(everything.stdout)}) == len(host.registry.names("predictor"))
