"""Draw the loss curve of a run as the gallery shows it.

python docs/gallery/curve.py runs/fm docs/gallery/fashion-mnist-loss.png
"""

import sys
from pathlib import Path

from fokker import draw
from fokker.run.folder import read_lines

if __name__ == "__main__":
    draw.loss_curve(read_lines(Path(sys.argv[1]) / "metrics.jsonl"), Path(sys.argv[2]))
