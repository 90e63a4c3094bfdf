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
    redrawn = "Another one, after which what is known is drawn afresh."
    registry.predictor("imputed", "fokker_guidance.imputed:ImputedPredictor", summary=redrawn)
    registry.corrector("imputed", "fokker_guidance.imputed:ImputedCorrector", summary=redrawn)
    registry.guidance("inpaint", "fokker_guidance.inpaint:Inpaint", summary="Known values, by replacement.")
    registry.guidance("colorize", "fokker_guidance.linear:Colorize", summary="Known grey levels, by replacement.")
    registry.guidance("linear", "fokker_guidance.linear:Linear", summary="A linear measurement, without gradients.")
    registry.guidance("dps", "fokker_guidance.gradient:DPS", summary="A linear measurement, at the expected data.")
    registry.guidance("pigdm", "fokker_guidance.gradient:PiGDM", summary="A linear measurement and the data's spread.")
    registry.guidance("posterior", "fokker_guidance.posterior:Posterior", summary="Any log p(y given x) of one's own.")
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
