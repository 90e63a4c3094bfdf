"""An extension of griffe: components are dataclasses, so the reference shows their fields as arguments."""

from typing import Any

from griffe import Class, Expr, ExprName, Extension

COMPONENT = {"fokker.component", "fokker.component.component"}  # where it is re-exported, and where it is made


class Components(Extension):
    """Reads `@component` as the `@dataclass` that it makes of a class."""

    def on_class_instance(self, *, cls: Class, **kwargs: Any) -> None:
        """Gives a component the decorator that griffe knows, before it looks for dataclasses."""
        for decorator in cls.decorators:
            if isinstance(decorator.value, Expr) and decorator.value.canonical_path in COMPONENT:
                decorator.value = ExprName("dataclasses.dataclass")
