"""What an example is made of: the bytes of a picture, or numbers, as float32 of one shape.

Picture    values in [0, 1], (channels, height, width)
Numbers    values as they are stored, in their own shape or in one that is given
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from io import BytesIO
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fokker.errors import ConfigError, DataError
from fokker_data.pictures import MODES, Mode, Resize, read_picture

__all__ = ["MEND", "Numbers", "Picture", "Value", "value_of"]

MEND = "mend or remove it, or leave out what is broken with skip=true."


class Value(ABC):
    """How the bytes of an example become numbers."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of every example where the configuration says it, else None."""
        return None

    @abstractmethod
    def decode(self, data: bytes, name: str) -> NDArray[np.float32]:
        """The numbers in a file's bytes.

        Args:
            data: The bytes.
            name: What they are called in messages.

        Raises:
            DataError: If there are none.
        """

    def misfit(self, name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> DataError:
        """What to say of an example of another shape than the others, or than the one that was asked for."""
        return DataError(f"{name} has the shape {found}, the first example has {wanted}: {MEND}")


@dataclass(frozen=True)
class Picture(Value):
    """An encoded picture.

    Args:
        mode: What it is converted to.
        size: Height and width to bring it to, or that it must have.
        resize: How it is brought to `size`.
    """

    mode: Mode
    size: tuple[int, int] | None
    resize: Resize

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Channels, height and width where `size` says them."""
        return None if self.size is None else (MODES[self.mode][1], *self.size)

    def decode(self, data: bytes, name: str) -> NDArray[np.float32]:
        """Values in [0, 1], (channels, height, width)."""
        return read_picture(BytesIO(data), name, self.mode, self.size, self.resize)

    def misfit(self, name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> DataError:
        """Where a size was asked for, how to get there."""
        if self.size is None:
            return super().misfit(name, found, wanted)
        return DataError(
            f"{name} has the shape {found}, and size={list(self.size)} asks for {wanted}: give resize=crop or stretch, "
            "or leave out what is of another size with skip=true."
        )


@dataclass(frozen=True)
class Numbers(Value):
    """Numbers in an .npy file.

    Args:
        given: Shape that as many numbers are brought to; None keeps theirs.
    """

    given: tuple[int, ...] | None

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape that was given."""
        return self.given

    def decode(self, data: bytes, name: str) -> NDArray[np.float32]:
        """The array of an .npy file; a single number gets the shape (1,)."""
        try:
            stored = np.lib.format.read_array(BytesIO(data), allow_pickle=False)
        except Exception as error:  # a damaged header raises anything
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"{name} is no .npy file of plain numbers ({cause}): {MEND}") from error
        return self.checked(stored, name)

    def checked(self, stored: NDArray[Any], name: str) -> NDArray[np.float32]:
        """One example as float32 numbers of its shape.

        Raises:
            DataError: If they are no real numbers, not finite, or not as many as the shape has.
        """
        if stored.dtype.kind not in "biuf":
            raise DataError(f"{name} holds {stored.dtype} values, real numbers are needed: {MEND}")
        with np.errstate(over="ignore"):  # too large for float32: reported below
            x = stored.astype(np.float32)
        if not np.isfinite(x).all():
            found = stored[~np.isfinite(x)].flat[0]
            raise DataError(f"{name} holds {found}, which is not a finite float32 number: {MEND}")
        if self.given is None:
            return x.reshape(1) if x.ndim == 0 else x
        if x.size != prod(self.given):
            raise DataError(
                f"{name} has the shape {x.shape}, which is not that of {self.given}, which the field shape asks for: "
                f"give another shape, or {MEND}"
            )
        return x.reshape(self.given)


def value_of(
    name: str,
    image: str | None,
    array: str | None,
    *,
    size: tuple[int, int] | None,
    mode: Mode,
    resize: Resize,
    shape: tuple[int, ...] | None,
) -> Value:
    """What the fields of a source ask for.

    Args:
        name: The source's class, for messages.
        image: Where pictures are.
        array: Where numbers are.
        size: Height and width of pictures.
        mode: What pictures are converted to.
        resize: How they are brought to `size`.
        shape: Shape of numbers.

    Raises:
        ConfigError: If it is not exactly one of pictures and numbers, or a field has no effect on it.
    """
    if (image is None) == (array is None):
        raise ConfigError(f"{name} takes pictures or numbers: name one of image and array.")
    if image is None:
        idle = {"size": size is not None, "mode": mode != "rgb", "resize": resize != "none"}
        for field, given in idle.items():
            if given:
                raise ConfigError(f"{name}.{field} has no effect on numbers: leave it out, or name image for array.")
        return Numbers(shape)
    if shape is not None:
        raise ConfigError(f"{name}.shape has no effect on pictures: set size=[height, width].")
    if size is None and resize != "none":
        raise ConfigError(f"{name}(resize={resize}) needs a size to resize to: set size=[height, width].")
    return Picture(mode, size, resize)
