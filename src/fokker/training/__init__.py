"""Training: from a plan to weights, one deterministic step after another."""

__all__: list[str] = []
