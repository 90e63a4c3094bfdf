"""Small files to read."""

import struct

import numpy as np
import pytest

TYPES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def as_idx(array):
    """The bytes of an IDX file."""
    code = TYPES[array.dtype.str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def write_idx(tmp_path):
    """Writes an array as an IDX file and returns its path."""

    def write(name, array):
        path = tmp_path / name
        path.write_bytes(as_idx(np.asarray(array)))
        return path

    return write
