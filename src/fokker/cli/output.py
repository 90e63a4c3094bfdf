"""Results on standard output: JSON for scripts, tables for people."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

__all__ = ["print_json", "print_table"]


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: by rich on a terminal, elsewhere as aligned columns of which no line is wrapped.

    Args:
        columns: The headings.
        rows: The cells, one text for each heading.
    """
    if sys.stdout.isatty():
        _print_rich(columns, rows)
        return
    lines = [columns, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # as text: a bracket in it is no markup
    Console().print(table)
