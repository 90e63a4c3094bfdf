"""Tuned grids in a run's folder, and the grid that finds them there."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from fokker.errors import ConfigError, RunError
from fokker.grid import Uniform
from fokker.linear import Flow
from fokker.optimized_grid import OptimizedGrid
from fokker.perturbation import VE, VP
from fokker.run.grids import FILE, TunedGrid, find_grid, read_grids, write_grid

NOISE = (2.0, 0.3, 0.1 + 1e-16)
GRID = TunedGrid("auto", 3, 4, "tweedie", NOISE, 0.1, 0.2, "auto", True, 64, 0, "step-00000010", False, 9)


def test_what_is_written_is_read_to_the_last_bit(tmp_path):
    write_grid(tmp_path, GRID)
    assert read_grids(tmp_path) == [GRID]
    assert find_grid(tmp_path, "auto", 3) == GRID


def test_a_grid_replaces_the_one_for_its_sampler_and_steps_alone(tmp_path):
    other, more = dataclasses.replace(GRID, sampler="ddim"), dataclasses.replace(GRID, steps=4, noise=(3.0, *NOISE))
    newer = dataclasses.replace(GRID, seed=1)
    for each in (GRID, other, more, newer):
        write_grid(tmp_path, each)
    assert read_grids(tmp_path) == [newer, more, other]


def test_a_grid_that_is_not_there_is_refused_with_those_that_are_and_the_command(tmp_path):
    with pytest.raises(RunError, match=r"none at all.*fokker tune .* --grid --nfe"):
        find_grid(tmp_path, "auto", 3)
    write_grid(tmp_path, GRID)
    with pytest.raises(RunError, match=r"no tuned grid for ddim in 1 step \(there is: auto in 3 steps\)"):
        find_grid(tmp_path, "ddim", 1)


@pytest.mark.parametrize("text", ["{", '{"schema": 1}', '{"schema": 1, "grids": [{"steps": 3}]}', "[]"])
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RunError, match="damaged"):
        read_grids(tmp_path)


def test_a_newer_file_is_refused(tmp_path):
    (tmp_path / FILE).write_text('{"schema": 2, "grids": []}')
    with pytest.raises(RunError, match="newer fokker"):
        read_grids(tmp_path)


@pytest.mark.parametrize("p", [VE(), VP(), Flow()], ids=repr)
def test_times_are_those_of_the_levels(tmp_path, p):
    write_grid(tmp_path, GRID)
    grid = OptimizedGrid().in_run(tmp_path, "auto", 3)
    times = grid.times(p, 3)
    assert times[0] == 1
    assert_close((-p.log_snr(times[1:]) / 2).exp(), torch.tensor(GRID.noise, dtype=torch.float64), rtol=1e-6, atol=0)


def test_levels_that_are_given_need_no_run(tmp_path):
    grid = OptimizedGrid((1.0, 0.1))
    assert grid.in_run(tmp_path, "auto", 2) is grid
    assert Uniform().in_run(tmp_path, "auto", 2) == Uniform()


def test_refusals():
    with pytest.raises(ConfigError, match=r"fokker tune RUN --grid"):
        OptimizedGrid().times(VE(), 3)
    with pytest.raises(ConfigError, match="has 2 steps and no others, got 3"):
        OptimizedGrid((1.0, 0.1)).times(VE(), 3)
    with pytest.raises(ConfigError, match="does not have"):
        OptimizedGrid((1.0, 1e-6)).times(VE(0.01, 50.0), 2)
    with pytest.raises(ConfigError, match="does not have"):
        OptimizedGrid((80.0, 0.1)).times(VE(0.01, 50.0), 2)
    with pytest.raises(ConfigError, match=r"decrease; 1 is followed by 2"):
        OptimizedGrid((1.0, 2.0))
