"""NumPy's own format: a header with the shape, then the rows."""

from collections.abc import Mapping
from typing import IO

import numpy as np

from fokker.sink.sink import About, Floats, Integers, WholeFileSink

__all__ = ["NpySink", "write_header"]


def write_header(file: IO[bytes], shape: tuple[int, ...], dtype: str) -> None:
    """Write what comes before the values in an .npy file.

    Args:
        file: Where to write.
        shape: Shape of the array.
        dtype: Type of its values, such as `<f4`.
    """
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


class NpySink(WholeFileSink):
    """An .npy file: (n, *D), float32."""

    @property
    def note(self) -> str:
        """That labels are left out."""
        return "An .npy file has no place for the labels; .npz, .safetensors and .csv have." if self.labels else ""

    def _begin(self, about: Mapping[str, About]) -> None:
        write_header(self._file, (self.n, *self.event_shape), "<f4")

    def _append(self, x: Floats, labels: Integers | None) -> None:
        self._file.write(x.astype("<f4", copy=False).data)
