"""Examples per second of fokker's sources beside the library that each stands on, in one process.

    ratio = examples per second here / examples per second of the bare library

Both make batches of 64 float32 tensors of the same values, in a shuffled order, from the same files, which are in the
page cache; the two take turns, and the median of the ratios of neighbouring turns is printed. The library's own ways:

    hf            load_dataset("parquet", streaming=True).shuffle(buffer), decoded by it, in a DataLoader
    ... in order  load_dataset("parquet", streaming=True).with_format("torch").iter(batch_size), without a shuffle
    hf, mapped    load_dataset("parquet") in a DataLoader with shuffle
    webdataset    WebDataset(...).shuffle(buffer).decode("torchrgb") in a WebLoader

Usage: python throughput.py [--rounds 7] [--workers 0] [--only webdataset]
"""

import argparse
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import numpy as np
import torch
import webdataset
from PIL import Image, ImageFilter
from torch.utils.data import DataLoader

from fokker import build, load_plugins
from fokker.training.batches import Order, batches

N, SIZE, LENGTH, BATCH = 2048, (96, 128), 4096, 64


def make(folder):
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(N):  # smooth, so that they are compressed like photographs
        small = random.integers(0, 256, (SIZE[0] // 8, SIZE[1] // 8, 3), np.uint8)
        large = Image.fromarray(small).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        pictures.append(large.filter(ImageFilter.GaussianBlur(1)))
    waves = random.normal(size=(N, LENGTH)).astype(np.float32)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    labels = [i % 10 for i in range(N)]
    datasets.Dataset.from_dict({"image": pictures, "label": labels}, features=features).to_parquet(
        folder / "pictures.parquet", batch_size=128
    )
    features = datasets.Features({"wave": datasets.List(datasets.Value("float32"), length=LENGTH)})
    datasets.Dataset.from_dict({"wave": list(waves)}, features=features).to_parquet(
        folder / "waves.parquet", batch_size=128
    )
    for kind in ("pictures", "waves"):
        for s in range(8):
            with webdataset.TarWriter(str(folder / f"{kind}-{s}.tar")) as tar:
                for i in range(s * N // 8, (s + 1) * N // 8):
                    content = {"jpg": pictures[i], "cls": labels[i]} if kind == "pictures" else {"npy": waves[i]}
                    tar.write({"__key__": f"{i:05d}", **content})


def ours(spec, workers):
    examples = build(load_plugins(), "data", spec).open()

    def epoch(k):
        steps = len(examples) // BATCH
        order = Order(len(examples), BATCH, k, examples.blocks)
        return sum(len(b.x) for b in batches(examples, order, 0, steps, slice(0, BATCH), workers))

    return epoch


def pixels(row):
    return {
        "image": torch.from_numpy(np.asarray(row["image"], np.float32).transpose(2, 0, 1) / 255),
        "label": row["label"],
    }


def waves(row):
    return {"wave": torch.from_numpy(np.asarray(row["wave"], np.float32))}


def hugging_face(file, column, workers, streaming):
    cache = str(Path(file).parent / "cache")

    def epoch(k):
        data = datasets.load_dataset("parquet", data_files=file, split="train", streaming=streaming, cache_dir=cache)
        if streaming:
            data = data.shuffle(seed=k, buffer_size=1024)
            if column == "wave":
                data = data.with_format("numpy")  # lists of Python's numbers otherwise
            data = data.map(pixels if column == "image" else waves)
            loader = DataLoader(data, batch_size=BATCH, num_workers=workers, drop_last=True)
        else:
            data = data.with_format("torch") if column == "wave" else data.with_transform(transformed)
            generator = torch.Generator().manual_seed(k)
            loader = DataLoader(data, BATCH, shuffle=True, num_workers=workers, drop_last=True, generator=generator)
        return sum(len(b[column]) for b in loader)

    return epoch


def in_order(file, column):
    def epoch(k):
        data = datasets.load_dataset("parquet", data_files=file, split="train", streaming=True).with_format("torch")
        return sum(len(b[column]) for b in data.iter(batch_size=BATCH, drop_last_batch=True))

    return epoch


def transformed(rows):
    found = [pixels({"image": im, "label": la}) for im, la in zip(rows["image"], rows["label"], strict=True)]
    return {name: [row[name] for row in found] for name in ("image", "label")}


def web(pattern, column, workers):
    def epoch(k):
        data = webdataset.WebDataset(pattern, shardshuffle=8, seed=k).shuffle(1024, seed=k)
        data = data.decode("torchrgb").to_tuple("jpg", "cls") if column == "jpg" else data.decode().to_tuple("npy")
        loader = webdataset.WebLoader(data.batched(BATCH, partial=False), batch_size=None, num_workers=workers)
        return sum(len(b[0]) for b in loader)

    return epoch


def rate(epoch, k):
    begin = time.perf_counter()
    count = epoch(k)
    return count / (time.perf_counter() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--only", default="", help="what the titles of the cases contain")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder, w = Path(name), asked.workers
        make(folder)
        os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
        datasets.config.HF_DATASETS_CACHE = folder / "cache"
        p, v = folder / "pictures.parquet", folder / "waves.parquet"
        shards = "'{}'".format(folder / "{}-{{0..7}}.tar")
        cases = {
            "hf, pictures": (f"hf:path='{p}',image=image,label=label", hugging_face(str(p), "image", w, True)),
            "hf, waves": (f"hf:path='{v}',array=wave", hugging_face(str(v), "wave", w, True)),
            "hf, waves (library in order)": (f"hf:path='{v}',array=wave", in_order(str(v), "wave")),
            "hf, mapped, pictures": (
                f"hf:path='{p}',image=image,label=label,streaming=false",
                hugging_face(str(p), "image", w, False),
            ),
            "hf, mapped, waves": (f"hf:path='{v}',array=wave,streaming=false", hugging_face(str(v), "wave", w, False)),
            "webdataset, pictures": (
                f"webdataset:path={shards.format('pictures')},image=jpg,label=cls",
                web(str(folder / "pictures-{0..7}.tar"), "jpg", w),
            ),
            "webdataset, waves": (
                f"webdataset:path={shards.format('waves')},array=npy",
                web(str(folder / "waves-{0..7}.tar"), "npy", w),
            ),
        }
        print(f"{N} examples, pictures of {SIZE[0]}x{SIZE[1]}, waves of {LENGTH}; {w} workers, {asked.rounds} rounds")
        print("| source | fokker, examples/s | library, examples/s | ratio |\n| --- | --- | --- | --- |")
        for title, (spec, theirs) in cases.items():
            if asked.only not in title:
                continue
            mine = ours(f"{spec},test_share=0.0", w)
            rates = []
            for k in range(asked.rounds + 1):
                pair = (rate(mine, k), rate(theirs, k))
                if k:  # the first fills the page cache
                    rates.append(pair)
            median = [statistics.median(r[j] for r in rates) for j in (0, 1)]
            ratio = statistics.median(a / b for a, b in rates)
            print(f"| {title} | {median[0]:,.0f} | {median[1]:,.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
