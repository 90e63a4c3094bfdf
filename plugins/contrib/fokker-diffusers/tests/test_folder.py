"""`fokker convert` on folders of diffusers, both ways."""

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fokker import load_plugins
from fokker.cli.app import App
from fokker.cli.main import cli
from fokker.run.folder import open_run
from safetensors.torch import load_file, save_file
from small import DIT, UNET

from fokker_diffusers.configs import own_keys

REFERENCE = Path(__file__).parent / "reference"
NET = {**UNET, "in_channels": 3, "out_channels": 3, "sample_size": [8, 12]}


@pytest.fixture(scope="module")
def host():
    return load_plugins()


@pytest.fixture
def fokker(host):
    return lambda *args: CliRunner().invoke(cli, [str(a) for a in args], obj=App(loaded=host))


def network(config=NET, **more):
    cls = getattr(diffusers, config["_class_name"])
    torch.manual_seed(1)
    model = cls(**{k: v for k, v in {**config, **more}.items() if not k.startswith("_")}).eval().requires_grad_(False)
    for p in model.parameters():
        p.add_(0.02 * torch.randn_like(p))
    return model


def pipeline(folder, model, scheduler, *, part="unet", **more):
    model.save_pretrained(folder / part)
    scheduler.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "DDPMPipeline",
        "_diffusers_version": diffusers.__version__,
        part: ["diffusers", type(model).__name__],
        "scheduler": ["diffusers", type(scheduler).__name__],
        **more,
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def edit(file, **more):
    file.write_text(json.dumps({**json.loads(file.read_text()), **more}))


def near(a, b, of=1e-5):
    torch.testing.assert_close(a, b, rtol=of, atol=of * float(b.abs().max()))


def x_of(shape=(3, 8, 12)):
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(2))


BETAS = {"beta_start": 0.001, "beta_end": 0.03, "num_train_timesteps": 100}
TABLES = {
    "ddpm": ("DDPMScheduler", BETAS),
    "ddpm-scaled-linear-large": (
        "DDPMScheduler",
        {**BETAS, "beta_schedule": "scaled_linear", "variance_type": "fixed_large", "clip_sample": False},
    ),
    "ddpm-cosine-sample": ("DDPMScheduler", {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample"}),
    "ddpm-sigmoid": ("DDPMScheduler", {**BETAS, "beta_schedule": "sigmoid", "thresholding": True}),
    "ddim-v-zero-snr": (
        "DDIMScheduler",
        {
            **BETAS,
            "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": True,
            "timestep_spacing": "trailing",
        },
    ),
    "ddim-given-betas": ("DDIMScheduler", {"trained_betas": [0.01, 0.02, 0.05, 0.1, 0.2], "num_train_timesteps": 5}),
    "dpm": ("DPMSolverMultistepScheduler", {**BETAS, "solver_order": 3, "use_karras_sigmas": True}),
    "unipc": ("UniPCMultistepScheduler", {**BETAS, "disable_corrector": [1]}),
    "euler": ("EulerDiscreteScheduler", {**BETAS, "timestep_spacing": "leading", "steps_offset": 1}),
    "heun": ("HeunDiscreteScheduler", BETAS),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_pipeline_on_a_table(name, fokker, host, tmp_path):
    """In, the same answers at the same timesteps; and out again, the same files."""
    kind, options = TABLES[name]
    scheduler, model = getattr(diffusers, kind)(**options), network()
    there = pipeline(tmp_path / "in", model, scheduler)
    done = fokker("convert", there, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    run = open_run(tmp_path / "run", host)
    assert run.spec.event_shape == (3, 8, 12)
    steps, p = scheduler.config.num_train_timesteps, run.plan.perturbation
    torch.testing.assert_close(p.tabulated[0] ** 2, scheduler.alphas_cumprod.double(), rtol=1e-4, atol=2e-7)
    x = x_of()
    for timestep in (0, steps // 2, steps - 1):
        expected = model(x, timestep, return_dict=False)[0]
        found = run.model().answer(x, float(p.knots[timestep]))
        near(found, expected)
    done = fokker("convert", tmp_path / "run", "--out", tmp_path / "out", "--format", "diffusers")
    assert done.exit_code == 0, done.output
    again = diffusers.UNet2DModel.from_pretrained(tmp_path / "out", subfolder="unet")
    near(again(x, 3, return_dict=False)[0], model(x, 3, return_dict=False)[0], 1e-6)
    back = type(scheduler).from_pretrained(tmp_path / "out", subfolder="scheduler")
    if name == "ddpm-sigmoid":  # its formula comes back as its values
        torch.testing.assert_close(back.betas, scheduler.betas)
        return
    assert own_keys(back.config) == own_keys(scheduler.config)


def sampled(fokker, run, out, *more):
    done = fokker("sample", run, "--out", out, "-n", 2, "--batch-size", 2, "--seed", 3, *more)
    assert done.exit_code == 0, done.output
    return torch.from_numpy(np.load(out))


def start(host, run):
    """What fokker starts samples 0 and 1 of seed 3 from, in units of the prior."""
    from fokker.noise import PerSample

    return PerSample(3, range(2), run.spec.event_shape)(torch.empty(2, *run.spec.event_shape))


def test_the_run_samples_as_the_pipeline_does(fokker, host, tmp_path):
    """DDIM in 10 timesteps, from the noise that fokker begins with."""
    scheduler, model = diffusers.DDIMScheduler(**BETAS), network()
    there = pipeline(tmp_path / "in", model, scheduler)
    assert fokker("convert", there, "--out", tmp_path / "run").exit_code == 0
    found = sampled(fokker, tmp_path / "run", tmp_path / "x.npy", "--steps", 9)
    scheduler.set_timesteps(10)
    x = start(host, open_run(tmp_path / "run", host))
    for t in scheduler.timesteps:
        x = scheduler.step(model(x, t, return_dict=False)[0], t, x).prev_sample
    near(found, x / 2 + 0.5)


def test_edm(fokker, host, tmp_path):
    for kind in ("epsilon", "v_prediction"):
        scheduler = diffusers.EDMEulerScheduler(sigma_min=0.01, sigma_max=20.0, sigma_data=0.7, prediction_type=kind)
        model = network()
        there = pipeline(tmp_path / f"in-{kind}", model, scheduler)
        assert fokker("convert", there, "--out", tmp_path / f"run-{kind}").exit_code == 0
        run = open_run(tmp_path / f"run-{kind}", host)
        scheduler.set_timesteps(18)
        x = x_of() * 5
        for sigma, t in zip(scheduler.sigmas[:-1], scheduler.timesteps, strict=True):
            out = model(scheduler.precondition_inputs(x, sigma), t, return_dict=False)[0]
            expected = scheduler.precondition_outputs(x, out, sigma)
            near(run.model()(x, float(sigma) / 20.0).x0, expected)
        out = tmp_path / f"out-{kind}"
        assert fokker("convert", run.path, "--out", out, "--format", "diffusers").exit_code == 0
        assert dict(diffusers.EDMEulerScheduler.from_pretrained(out, subfolder="scheduler").config).items() >= {
            "sigma_min": 0.01, "sigma_max": 20.0, "sigma_data": 0.7, "prediction_type": kind,
        }.items()  # fmt: skip


def test_flow(fokker, host, tmp_path):
    scheduler, model = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), network()
    there = pipeline(tmp_path / "in", model, scheduler)
    assert fokker("convert", there, "--out", tmp_path / "run").exit_code == 0
    found = sampled(fokker, tmp_path / "run", tmp_path / "x.npy", "--steps", 9)
    run = open_run(tmp_path / "run", host)
    scheduler.set_timesteps(10)
    x = start(host, run)
    for t in scheduler.timesteps:
        x = scheduler.step(model(x, t[None], return_dict=False)[0], t, x).prev_sample
    near(found, x / 2 + 0.5)
    assert fokker("convert", run.path, "--out", tmp_path / "out", "--format", "diffusers").exit_code == 0
    back = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path / "out", subfolder="scheduler")
    assert own_keys(back.config) == own_keys(scheduler.config)


def test_score_sde_ve(fokker, host, tmp_path):
    scheduler = diffusers.ScoreSdeVeScheduler(num_train_timesteps=30, sigma_max=50.0, snr=0.17)
    model = network(time_embedding_type="fourier", center_input_sample=True)
    there = pipeline(tmp_path / "in", model, scheduler)
    assert fokker("convert", there, "--out", tmp_path / "run").exit_code == 0
    run = open_run(tmp_path / "run", host)
    x = x_of()
    for t, sigma in zip(scheduler.timesteps.tolist(), scheduler.sigmas, strict=True):
        near(run.model()(x, t).score, model(x, sigma.repeat(3), return_dict=False)[0], 2e-5)
    assert run.plan.data.transforms == () and run.plan.sample.sampler.corrector.snr == 0.17
    assert fokker("convert", run.path, "--out", tmp_path / "out", "--format", "diffusers").exit_code == 0
    back = diffusers.ScoreSdeVeScheduler.from_pretrained(tmp_path / "out", subfolder="scheduler")
    assert own_keys(back.config) == own_keys(scheduler.config)


def test_a_transformer_with_classes_and_learned_variances(fokker, host, tmp_path):
    model = network(DIT, out_channels=4)
    there = pipeline(tmp_path / "in", model, diffusers.DDPMScheduler(variance_type="learned"), part="transformer")
    array = tmp_path / "x.npy"
    np.save(array, np.zeros((4, 2, 8, 8), dtype=np.float32))
    np.save(tmp_path / "y.npy", np.array([0, 1, 2, 0]))
    data = f"array:path='{array}',labels='{tmp_path / 'y.npy'}',transforms=[]"
    done = fokker("convert", there, "--out", tmp_path / "run", "--data", data)
    assert done.exit_code == 0, done.output
    run = open_run(tmp_path / "run", host)
    assert run.spec.classes == 3 and run.plan.network.variance == "learned"
    x, label = x_of((2, 8, 8)), torch.tensor([2, 0, 1])
    expected = model(x, torch.tensor([7]), label, return_dict=False)[0][:, :2]
    near(run.model().answer(x, float(run.plan.perturbation.knots[7]), {"label": label}), expected)
    assert fokker("convert", run.path, "--out", tmp_path / "out", "--format", "diffusers").exit_code == 0
    again = diffusers.DiTTransformer2DModel.from_pretrained(tmp_path / "out", subfolder="transformer")
    near(again(x, torch.tensor([7]), label, return_dict=False)[0][:, :2], expected, 1e-6)


def test_the_reference_model(fokker, host, tmp_path):
    """A folder that diffusers wrote elsewhere, and what its model answered there."""
    done = fokker("convert", REFERENCE / "unet2d_ddpm_like", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    run = open_run(tmp_path / "run", host)
    io = load_file(REFERENCE / "unet2d_ddpm_like_io.safetensors")
    found = run.model().answer(io["x"], run.plan.perturbation.knots[io["labels"].long()])
    torch.testing.assert_close(found, io["output"], rtol=1e-5, atol=2e-5 * float(io["output"].abs().max()))


SCRIPT = """
import sys, torch
from diffusers import DDPMPipeline
pipe = DDPMPipeline.from_pretrained(sys.argv[1])
pipe.scheduler.set_timesteps(10)
x = torch.load(sys.argv[2])
torch.set_grad_enabled(False)
for t in pipe.scheduler.timesteps:
    out = pipe.unet(x, t).sample
    a, b = pipe.scheduler.alphas_cumprod[t], pipe.scheduler.alphas_cumprod[t - 10] if t >= 10 else torch.tensor(1.0)
    x0 = (x - (1 - a) ** 0.5 * out) / a**0.5
    x = b**0.5 * x0 + (1 - b) ** 0.5 * out
torch.save(x, sys.argv[3])
"""


def test_a_model_trained_by_fokker_opens_in_a_script_of_diffusers(fokker, host, tmp_path):
    """Trained for a few steps on digits, and sampled by both from the same noise."""
    import subprocess
    import sys

    plan = tmp_path / "plan.toml"
    plan.write_text(
        'network = "diffusers/model"\nlabel = "diffusers/timestep"\nparameterization = "eps"\nobjective = "ddpm"\n'
        'data = "digits"\nperturbation = "betas:steps=100,start=0.001,end=0.1"\n'
        '[train]\nsteps = 4\nbatch_size = 8\ndevice = "cpu"\n'
        '[sample]\nsampler = "ddim"\ngrid = "diffusers/timesteps"\nsteps = 9\n'
    )
    done = fokker("train", plan, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    done = fokker("convert", tmp_path / "run", "--out", tmp_path / "out", "--format", "diffusers")
    assert done.exit_code == 0, done.output
    run = open_run(tmp_path / "run", host)
    torch.save(start(host, run), tmp_path / "z.pt")
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, tmp_path / "out", tmp_path / "z.pt", tmp_path / "x.pt"]
    subprocess.run([str(c) for c in command], check=True, capture_output=True)
    found = sampled(fokker, run.path, tmp_path / "x.npy")
    expected = torch.load(tmp_path / "x.pt")
    near(found, run.plan.chain.inverse(expected))


def test_a_training_goes_on_from_a_folder(fokker, host, tmp_path):
    there = pipeline(tmp_path / "in", network(), diffusers.DDPMScheduler(**BETAS))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(size=(6, 3, 8, 12)).astype(np.float32))
    options = ("--data", f"array:path='{tmp_path / 'x.npy'}'", "--steps", 2, "--batch-size", 2, "--device", "cpu")
    done = fokker("convert", there, "--out", tmp_path / "run", *options)
    assert done.exit_code == 0, done.output
    done = fokker("train", "--out", tmp_path / "run", "--resume")
    assert done.exit_code == 0, done.output
    assert open_run(tmp_path / "run", host).checkpoint().name == "step-00000002"


KEYS = {
    "thresholding_kind": "soft",
    "use_dynamic_shifting": True,
    "lambda_min_clipped": -5.1,
    "use_flow_sigmas": True,
    "prediction_type": "flow_prediction",
    "use_lu_lambdas": True,
}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_without_a_place_is_refused_by_its_name(key, fokker, tmp_path):
    there = pipeline(tmp_path / "in", network(), diffusers.DPMSolverMultistepScheduler(**BETAS))
    edit(there / "scheduler" / "scheduler_config.json", **{key: KEYS[key]})
    done = fokker("convert", there, "--out", tmp_path / "run")
    assert done.exit_code == 2 and key in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.output
    assert not (tmp_path / "run").exists()


def test_a_network_that_is_told_timesteps_is_sampled_on_the_levels(fokker):
    options = ("plan", "--data", "digits", "--perturbation", "betas", "--objective", "ddpm", "--json")
    done = fokker(*options, "--label", "diffusers/timestep")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["plan"]["sample"]["grid"]["name"] == "knots"
    done = fokker(*options, "--label", "diffusers/timestep", "--set", "sample.grid=karras")
    assert done.exit_code == 2
    assert "The label 'diffusers/timestep' exists on the levels" in done.output and "'--between round'" in done.output


def test_what_else_is_refused(fokker, tmp_path):
    there = pipeline(tmp_path / "in", network(), diffusers.DDPMScheduler(**BETAS))

    def refused(message, code=2):
        done = fokker("convert", there, "--out", tmp_path / "run")
        assert done.exit_code == code and message in done.stderr, done.output
        assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "run").exists()

    config = there / "unet" / "config.json"
    whole = config.read_text()
    edit(config, time_warp=3)
    refused("UNet2DModel has no 'time_warp', which Model.config sets")
    edit(config, time_warp=3, _class_name="UNet1DModel")
    refused("Model.config is of the class UNet1DModel; those that can be taken are UNet2DModel")
    config.write_text("{")
    refused("is not valid JSON")
    config.write_text(whole)
    weights = there / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({k: v for k, v in tensors.items() if k != "conv_in.bias"}, weights)
    refused("it lacks model.conv_in.bias", 1)
    weights.write_bytes(b"x" * 100)
    refused("cannot be read", 1)
    weights.unlink()
    torch.save(tensors, there / "unet" / "diffusion_pytorch_model.bin")
    refused("diffusion_pytorch_model.bin, a pickle, which is not opened", 1)
    edit(there / "model_index.json", vae=["diffusers", "AutoencoderKL"])
    refused("has 'vae', which has no place in fokker")
    edit(there / "model_index.json", vae=[None, None])
    edit(there / "scheduler" / "scheduler_config.json", _class_name="LCMScheduler")
    refused("LCMScheduler")
    shutil.rmtree(there / "scheduler")
    refused("scheduler_config.json")


def test_runs_that_diffusers_has_no_place_for(fokker, tmp_path):
    there = pipeline(tmp_path / "in", network(), diffusers.DDPMScheduler(**BETAS))
    cases = {
        "label=1000t": "was told ThousandTime",
        "parameterization=edm": "does not read networks as EDM on Betas",
        "perturbation=vp": "has no perturbation VP",
        "perturbation=flow": "perturbation flow:log_snr_min=-12 stops before diffusers' flow does",
    }
    for k, (assignment, message) in enumerate(cases.items()):
        run = tmp_path / f"run-{k}"
        done = fokker("convert", there, "--out", run, f"--{assignment.partition('=')[0]}", assignment.partition("=")[2])
        assert done.exit_code == 0, done.output
        done = fokker("convert", run, "--out", tmp_path / "out", "--format", "diffusers")
        assert done.exit_code == 2 and message in done.output, done.output
        assert not (tmp_path / "out").exists()
