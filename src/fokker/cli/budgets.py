"""The parameter of several budgets."""

from typing import Any

import click

__all__ = ["Budgets"]


class Budgets(click.ParamType):  # type: ignore[type-arg]  # generic in some versions of click only
    """Whole numbers of at least 1 between commas."""

    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers."""
        if isinstance(value, tuple):
            return value
        try:
            found = tuple(int(part) for part in value.split(","))
        except ValueError:
            found = ()
        if not found or min(found) < 1:
            self.fail(f"budgets are whole numbers of at least 1 between commas, such as 5,10,20; got {value!r}.")
        return found
