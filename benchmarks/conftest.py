"""One torch thread, so that a figure does not depend on what the other cores are doing."""

import torch

torch.set_num_threads(1)
