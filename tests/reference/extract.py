"""Make `data/` from a folder of recorded reference numbers: keep the tensors that the tests read, and the provenance.

    python tests/reference/extract.py SOURCE

SOURCE holds one pair `<group>/<name>.safetensors`, `<group>/<name>.json` for every entry of `KEEP`. Nothing is
computed: a tensor is copied whole or left out. The sidecar is copied without its list of shapes.
"""

import argparse
import json
import re
from pathlib import Path

from safetensors.torch import load_file, save_file

DATA = Path(__file__).parent / "data"

STATES = "timesteps|x_init|noise|corrector_x|predictor_x|sample_denoise_true|sample_denoise_false"

# file: patterns of the keys that are kept, each matched against the whole key
KEEP: dict[str, list[str]] = {
    "score_sde/sde_coefficients": [
        r".*/(t|x|drift|diffusion|mean|std|prior_logp|prior_randn|prior_sample|score|timestep_index)",
        r".*/(discretize_[fG]|reverse_sde_drift|reverse_sde_diffusion|reverse_ode_drift|reverse_discretize_[fG])",
        r".*/(discrete_betas|alphas_cumprod|discrete_sigmas)",
    ],
    "score_sde/predictor_corrector_steps": [
        r"gmm_.*",
        r".*/t\d/(t|x|score|(euler_maruyama|reverse_diffusion|ancestral_sampling|langevin_n\d|ald_n\d)/.*)",
    ],
    "score_sde/pc_trajectories": [
        r"gmm_.*",
        rf"(ve_rd_langevin|ve_as_ald|vp_rd_langevin|ve_rd_langevin_discrete)/({STATES})",
        r"(vp|subvp)_em_none/(timesteps|x_init|noise|predictor_x|sample_denoise_true|sample_denoise_false)",
    ],
    "score_sde/controllable": [
        r"gmm_.*",
        r".*/(mask|data|prior_randn|noise|update_in|update_x|sample)",
    ],
    "score_sde/losses": [r"batch", r".*/(u|t|z|loss|labels)"],
    "score_sde/likelihood": [r".*"],
    "score_sde/ode_sampler": [r"gmm_.*", r".*/(z|x_truth_f64|x_denoise_false|x_denoise_true)"],
    "ddim/ddim_original": [r".*"],
    "diffusers_schedulers/noise_schedules": [
        r".*/(x0|noise|t|noisy|velocity|alphas_cumprod|alphas_cumprod_zero_snr|betas)",
        r".*/(timesteps_(linspace|trailing)_\d+|euler_sigmas_(linspace_10|karras_12|exponential_12))",
    ],
    "diffusers_schedulers/ddpm_ddim": [
        r"gmm_.*",
        r".*/(x_init|x|model_output|pred_original_sample|noise|timesteps|alpha_sigma_used)",
    ],
    "diffusers_schedulers/pndm_dpm_unipc": [
        r"gmm_.*",
        r"(?!pndm).*/(x_init|x|sigmas|noise|noise_step)",
    ],
    "dpm_solver/dpm_solver_original": [
        r"gmm_.*",
        r"(?!eps_adaptive3).*/(x_T|sample|intermediates|call_t_alpha_sigma)",
    ],
    "improved_diffusion/tables": [
        r".*/(betas|alphas_cumprod|posterior_variance|posterior_mean_coef[12]|sqrt_recipm1_alphas_cumprod)",
        r"spaced/timestep_map",
        r"space_timesteps/1000:100",
    ],
    "k_diffusion/schedules_and_wrappers": [
        r"(karras|exponential|polyexponential|vp)/sigmas",
        r"discrete/(alphas_cumprod|sigma|sigma_to_t|sigma_to_t_quantized|x|noise|eps_denoised|v_denoised|eps_loss|v_loss)",
        r"(vdenoiser|denoiser_karras|denoiser_snr|simple_loss_denoiser)/.*",
    ],
    "k_diffusion/samplers": [
        r"gmm_.*",
        r"(lms|dpmpp_2m|dpmpp_2m_sde_midpoint)/(sigmas|x_init|noise|sample|call_x)",
        r"(heun|euler|euler_churn)/(sigmas|x_init|noise|sample)",
    ],
    "ncsn_models/ncsn_v1_16px": [r".*"],
    "ncsnv2_models/ncsnv2_16px": [r".*"],
    "ncsnv2_models/ald_analytic": [r"gmm_.*|x_init|noise|states|sigmas"],
    "ncsnv2_models/sigma_schedules": [r"(cifar10|celeba|ncsn_original)/sigmas"],
    "score_matching/objectives": [r".*"],
    "analytic/sde_schedules": [r".*"],
    "analytic/gaussian_pf_ode": [
        r"mean",
        r"cov",
        r".*/(times|x_T|x_t|logp_t|flow_logp_with_prior_at_1e-5|prior_logp_x_T)",
    ],
    "analytic/mixture_scores": [r".*"],
    "analytic/mixture2d_pf_ode": [
        r"means|stds|weights",
        r".*/(times|x_data|x_t|exact_logp_eps|exact_logp_data|z|x_at_1e-3_from_z)",
        r".*/(integral_div|prior_logp|flow_logp_with_prior)",
    ],
    "analytic/discrete_sampler_laws": [r"(?!edm).*"],
    "analytic/divergences": [r"linear_score/table"],
}


def extract(source: Path, name: str, patterns: list[str]) -> int:
    """Copy one file's tensors that match a pattern, and its sidecar; returns the bytes written."""
    wanted = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    tensors = load_file(source / f"{name}.safetensors")
    kept = {key: tensor for key, tensor in tensors.items() if wanted.fullmatch(key)}
    unused = [pattern for pattern in patterns if not any(re.fullmatch(pattern, key) for key in kept)]
    if unused:
        raise SystemExit(f"{name}: no tensor matches {unused}")
    sidecar = json.loads((source / f"{name}.json").read_text(encoding="utf-8"))
    del sidecar["shapes"]
    sidecar["subset"] = f"{len(kept)} of the {len(tensors)} tensors of the original file, unchanged"
    target = DATA / name
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, target.with_suffix(".safetensors"))
    target.with_suffix(".json").write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")
    return sum(target.with_suffix(suffix).stat().st_size for suffix in (".safetensors", ".json"))


def main() -> None:
    """Read the source folder from the command line and print what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of the recorded numbers")
    source: Path = parser.parse_args().source
    total = 0
    for name, patterns in KEEP.items():
        size = extract(source, name, patterns)
        total += size
        print(f"{size / 1024:8.1f} KiB  {name}")
    print(f"{total / 1024:8.1f} KiB  in all")


if __name__ == "__main__":
    main()
