"""Let a judge that had no part in it say which digits samples are, and draw them, a column for each class.

python docs/gallery/class_guidance.py samples/free-2.npz samples/by-2.npz ... --out docs/gallery
python docs/gallery/class_guidance.py --classifier runs/digits-classifier
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.svm import SVC

from fokker.data import Batch
from fokker.draw import image_grid
from fokker.noise import PerSample
from fokker.plugins.host import load_plugins
from fokker.run.folder import open_run
from fokker_data.digits import Digits

LOG_SNRS = (8, 4, 2, 0, -2, -4)


def main() -> None:
    """Judge samples, or a classifier."""
    parser = argparse.ArgumentParser()
    parser.add_argument("samples", nargs="*", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--classifier", type=Path)
    given = parser.parse_args()
    if given.classifier is not None:
        by_noise(given.classifier)
    if given.samples:
        by_judge(given.samples, given.out)


def by_judge(files: list[Path], out: Path | None) -> None:
    """How many samples a support vector machine, trained on digits alone, takes for their class, and their spread."""
    train, test = every("train"), every("test")
    judge = SVC().fit(train.x.flatten(1).numpy(), train.cond["label"].numpy())
    right = judge.score(test.x.flatten(1).numpy(), test.cond["label"].numpy())
    data = spread(test.x.flatten(1).numpy(), test.cond["label"].numpy())
    print(f"| samples | of their class | spread |\n| --- | --- | --- |\n| test split | {right:.1%} | {data:.2f} |")
    for file in files:
        with np.load(file) as found:
            x, label = found["x"], found["label"]
        share = (judge.predict(x.reshape(len(x), -1)) == label).mean()
        print(f"| {file.stem} | {share:.1%} | {spread(x.reshape(len(x), -1), label):.2f} |", flush=True)
        if out is not None:
            low, high = float(train.x.min()), float(train.x.max())
            image_grid(
                torch.from_numpy(x[:80]), out / f"digits-{file.stem}.png", limits=(low, high), columns=10, width=400
            )


def spread(x: np.ndarray, label: np.ndarray) -> float:
    """Root mean square distance of examples from the mean of their class, (n, 64) to a number."""
    off = np.concatenate([x[label == k] - x[label == k].mean(0) for k in np.unique(label)])
    return float(np.sqrt((off**2).sum(1).mean()))


def by_noise(path: Path) -> None:
    """Accuracy of a classifier on the test split at several noise levels, and its cross-entropy in nats."""
    run = open_run(path, load_plugins())
    classifier, p, batch = run.classifier(), run.plan.perturbation, every("test")
    label = batch.cond["label"]
    noise = PerSample(0, range(len(label)), run.spec.event_shape)
    x0 = run.plan.chain.forward(batch.x, noise)
    print("| log-SNR | sigma / alpha | right | nats |\n| --- | --- | --- | --- |")
    for log_snr in LOG_SNRS:
        t = p.time(torch.tensor(float(log_snr), dtype=torch.float64))
        with torch.no_grad():
            log_prob = classifier.log_prob(p.perturb(x0, t, noise(x0)), t)
        right = (log_prob.argmax(1) == label).double().mean()
        nats = -log_prob.gather(1, label[:, None]).mean()
        print(f"| {log_snr} | {np.exp(-log_snr / 2):.3f} | {right:.1%} | {nats:.3f} |", flush=True)


def every(split: str) -> Batch:
    """All digits of a split, in the data's own units."""
    examples = Digits().open("train" if split == "train" else "test")
    return examples.fetch(range(len(examples)))


if __name__ == "__main__":
    main()
