"""Examples that tell their number, in every format."""

import datasets
import numpy as np
import webdataset
from PIL import Image

N, SHAPE = 40, (7, 5)


def picture(i):
    """A picture with more rows than columns; the first value of the first pixel is the number of the example."""
    pixels = np.random.default_rng(i).integers(0, 256, (*SHAPE, 3), np.uint8)
    pixels[0, 0, 0] = i
    return Image.fromarray(pixels)


def wave(i):
    """Numbers of one dimension, the first of which is the number of the example."""
    return np.concatenate([[i], np.random.default_rng(i).normal(size=8)]).astype(np.float32)


def dataset(n=N):
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["a", "b", "c"]),
            "word": datasets.Value("string"),
            "wave": datasets.List(datasets.Value("float32")),
            "field": datasets.Array2D((2, 3), "float64"),
            "one": datasets.Value("int32"),
        }
    )
    columns = {
        "image": [picture(i) for i in range(n)],
        "label": [i % 3 for i in range(n)],
        "word": ["dog" if i % 2 else "cat" for i in range(n)],
        "wave": [wave(i) for i in range(n)],
        "field": [np.full((2, 3), float(i)) for i in range(n)],
        "one": list(range(n)),
    }
    return datasets.Dataset.from_dict(columns, features=features)


def write_shard(path, numbers):
    with webdataset.TarWriter(str(path)) as tar:
        for i in numbers:
            tar.write({"__key__": f"part/{i:04d}", "png": picture(i), "cls": i % 3, "npy": wave(i)})
