"""Guidance: samples of a class, of a measurement, or of a user's own likelihood, from a model that knows of none."""

from typing import Any

from fokker import hookimpl

__all__ = ["fokker_register"]


@hookimpl
def fokker_register(registry: Any) -> None:
    """Register the built-in components of this plugin."""
    registry.guidance(
        "classifier-free", "fokker_guidance.classifier_free:ClassifierFree", summary="A class, by labels left out."
    )
    registry.recipe(
        "digits-classifier-free",
        "fokker_guidance:recipes/digits-classifier-free.toml",
        summary="Digits by class, for classifier-free guidance.",
    )
    registry.guidance("classifier", "fokker_guidance.classifier:ByClassifier", summary="A class, by a classifier.")
    registry.objective(
        "classifier", "fokker_guidance.objective:CrossEntropy", summary="Cross-entropy of the class of noisy data."
    )
    registry.recipe(
        "digits-classifier",
        "fokker_guidance:recipes/digits-classifier.toml",
        summary="A noise-conditional classifier of digits, for classifier guidance.",
    )
