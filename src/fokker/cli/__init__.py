"""The command line."""

__all__ = ["COMMANDS"]

COMMANDS = {
    "demo": ("fokker.cli.demo:demo", "Train on embedded data, sample, and write a report."),
    "train": ("fokker.cli.train:train", "Train a model from a recipe, a file, or components named here."),
    "plan": ("fokker.cli.plan:plan", "Print what train would do, and what is wrong with it."),
    "tune": ("fokker.cli.tune:tune", "Noise levels and step sizes that follow from the data."),
    "sample": ("fokker.cli.sample:sample", "Draw samples from a trained model."),
    "compare": ("fokker.cli.compare:compare", "Compare samplers: quality against cost."),
    "likelihood": ("fokker.cli.likelihood:likelihood", "Log-likelihoods of data under a trained model."),
    "fisher": ("fokker.cli.fisher:fisher", "Error of a model's score, where the true one is known."),
    "encode": ("fokker.cli.encode:encode", "Latents of data: the probability flow up."),
    "decode": ("fokker.cli.decode:decode", "Data of latents: the probability flow down."),
    "interpolate": ("fokker.cli.interpolate:interpolate", "Data on the way between two latents."),
    "draw": ("fokker.cli.draw:draw", "Draw a picture of a run: its score, its paths, its losses."),
    "list": ("fokker.cli.listing:listing", "List the components there are."),
    "show": ("fokker.cli.show:show", "Show a component: its fields, claims, reference, and provider."),
    "plugins": ("fokker.cli.plugins:plugins", "List the plugins, and what became of each."),
    "check": ("fokker.cli.check:check", "Run the conformance kit on components."),
    "new-plugin": ("fokker.cli.new_plugin:new_plugin", "Write a plugin package whose tests already pass."),
    "report": ("fokker.cli.report:report", "Write one page that shows a run."),
    "convert": ("fokker.cli.convert:convert", "Take in published weights as a run."),
    "completion": ("fokker.cli.completion:completion", "Print a script that completes fokker's commands in a shell."),
}
"""fokker's own commands in the order of `fokker --help`: where each is, and what the help says of it."""
