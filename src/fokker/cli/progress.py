"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol

import click

from fokker.cli.app import App

__all__ = ["progress"]

_EVERY = 15.0
"""Seconds between lines where standard error is no terminal."""


class Report(Protocol):
    """Told how much is done of the total, and words on how it goes."""

    def __call__(self, done: float, words: str) -> None:
        """Tell."""


@contextlib.contextmanager
def progress(app: App, what: str, total: float, done: float = 0.0) -> Iterator[Report]:
    """Show the progress of something slow.

    Args:
        app: Says nothing if it is quiet.
        what: One word, such as `training`.
        total: What 100 % is.
        done: What is done already, which does not count for the time that is left.

    Yields:
        A function of how much is done and of words on how it goes.
    """
    if app.quiet:
        yield lambda done, words: None
    elif sys.stderr.isatty():
        with _bar(what, total, done) as report:
            yield report
    else:
        yield _lines(what, total, done)


@contextlib.contextmanager
def _bar(what: str, total: float, start: float) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[words]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, words="")
        bar.update(task, completed=start)
        yield lambda done, words: bar.update(task, completed=done, words=words)


def _lines(what: str, total: float, start: float) -> Report:
    began = last = time.monotonic()

    def report(done: float, words: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _EVERY and done < total:
            return
        last = now
        left = (total - done) * (now - began) / max(done - start, 1e-9)
        click.echo(f"{what} {done / total:.0%}  {words}  {_clock(now - began)} elapsed, {_clock(left)} left", err=True)

    return report


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
