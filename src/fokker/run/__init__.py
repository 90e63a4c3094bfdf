"""A run: the folder that keeps a training, its checkpoints and what was made of them."""

__all__: list[str] = []
