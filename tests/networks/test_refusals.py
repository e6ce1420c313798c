"""What the tools for networks cannot do is said in one sentence, before any work, and nothing is written."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from sd_scripts.library.errors import UserError
from sd_scripts.library.example.sd_models import make_sd1, make_sdxl
from tests.networks.made import make_network, run_tool


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Models of two kinds with their networks, and files that are none."""
    folder = tmp_path_factory.mktemp("refusals")
    for kind, make in (("sd1", make_sd1), ("xl", make_sdxl)):
        make_network(make(folder / f"{kind}.safetensors"), folder / f"{kind}_a.safetensors")
    make_network(folder / "sd1.safetensors", folder / "dora.safetensors", dora=True)
    save_file({"a.weight": torch.zeros(2)}, folder / "none.safetensors")
    save_file({"lora_te_a.lora_down.weight": torch.zeros(4, 3)}, folder / "half.safetensors")
    key = "lora_unet_mid_block_attentions_0_proj_in"
    wide = {f"{key}.lora_down.weight": torch.zeros(2, 9, 1, 1), f"{key}.lora_up.weight": torch.zeros(9, 2, 1, 1)}
    save_file(wide, folder / "wide.safetensors")
    save_file({f"{key}.hada_w1_a": torch.zeros(2, 2)}, folder / "loha.safetensors")
    (folder / "broken.safetensors").write_bytes(b"what is this")
    tensors = load_file(folder / "sd1_a.safetensors")
    save_file({name: tensor.long() for name, tensor in tensors.items()}, folder / "integers.safetensors")
    return folder


MERGE, XL, SVD, RESIZE = (
    f"networks/{name}.py" for name in ("merge_lora", "sdxl_merge_lora", "svd_merge_lora", "resize_lora")
)
A, OUT = ("--models", "sd1_a.safetensors"), ("--save_to", "out.safetensors")
INTO = ("--sd_model", "sd1.safetensors")
REFUSED = {
    "--models is needed": (MERGE, *OUT),
    "--models is needed: Networks to merge": (MERGE, "--models", *OUT),
    '--ratios x: "x" is not a number': (MERGE, *A, "--ratios", "1", "x", *OUT),
    "--models . is a folder. Name a file": (MERGE, "--models", ".", *OUT),
    "Cannot write sd1.safetensors/out.safetensors": (MERGE, *A, "--save_to", "sd1.safetensors/out.safetensors"),
    "--save_to is needed": (MERGE, *A),
    "nowhere.safetensors: there is no such file": (MERGE, "--models", "nowhere.safetensors", *OUT),
    "must end in .safetensors": (MERGE, *A, "--save_to", "out"),
    "sd1_a.safetensors is what is read here. Name another": (MERGE, *A, "--save_to", "sd1_a.safetensors"),
    "sd1.safetensors is what is read here": (MERGE, *A, *INTO, "--save_to", "sd1.safetensors"),
    "--ratios has 1 number, and 2 are needed": (MERGE, *A, "sd1_a.safetensors", "--ratios", "1", *OUT),
    "none.safetensors is no LoRA file": (MERGE, "--models", "none.safetensors", *OUT),
    "broken.safetensors is no .safetensors file": (MERGE, "--models", "broken.safetensors", *OUT),
    "integers.safetensors: lora_te_text_model_encoder_layers_0": (MERGE, "--models", "integers.safetensors", *OUT),
    "holds int64, no numbers that can be trained": (RESIZE, "--model", "integers.safetensors", *OUT),
    ".weight holds int64, no numbers": (SVD, "--models", "integers.safetensors", *OUT),
    "half.safetensors is incomplete": (MERGE, "--models", "half.safetensors", *OUT),
    "is LoHa of LyCORIS, no plain LoRA. Use tools/merge_lycoris.py": (MERGE, "--models", "loha.safetensors", *OUT),
    "is a DoRA, whose change depends on the model's weights": (MERGE, "--models", "dora.safetensors", *OUT),
    "xl_a.safetensors is for SDXL, and this tool is for": (MERGE, "--models", "xl_a.safetensors", *INTO, *OUT),
    "sd1_a.safetensors is for Stable Diffusion 1 or 2, and this tool is for SDXL": (XL, *A, *OUT),
    "sd1.safetensors is a Stable Diffusion 1 model, and this tool is for SDXL": (
        XL,
        "--models",
        "xl_a.safetensors",
        *INTO,
        *OUT,
    ),
    "xl.safetensors is an SDXL model, and this tool is for Stable Diffusion 1 or 2. Use networks/sdxl_merge_lora.py": (
        MERGE,
        *A,
        "--sd_model",
        "xl.safetensors",
        *OUT,
    ),
    "is a Stable Diffusion 1 model: leave out --v2": (MERGE, *A, *INTO, "--v2", *OUT),
    "sd1_a.safetensors is a LoRA, not a whole model": (MERGE, *A, "--sd_model", "sd1_a.safetensors", *OUT),
    "is for another kind of model: its lora_unet_mid_block": (MERGE, "--models", "wide.safetensors", *INTO, *OUT),
    "differs in size. Choose networks for one kind": (MERGE, *A, "wide.safetensors", *OUT),
    "they cannot be merged. Choose networks for one kind": (SVD, *A, "xl_a.safetensors", *OUT),
    "--lbws has 1 lists for 2 networks": (SVD, *A, "sd1_a.safetensors", "--lbws", "[1]", *OUT),
    "it has 2 numbers. Write 12 or 17 or 20 or 26": (SVD, *A, "--lbws", "[1,1]", *OUT),
    "it has 17 numbers. Write 12 or 20 for SDXL": (
        XL,
        "--models",
        "xl_a.safetensors",
        "--lbws",
        ",".join("1" * 17),
        *OUT,
    ),
    "write numbers separated by commas": (SVD, *A, "--lbws", "[1,a]", *OUT),
    "--device cuda:77: this machine has no such device": (SVD, *A, *OUT, "--device", "cuda:77"),
    "--model is needed": (RESIZE, *OUT),
    "sv_fro needs --dynamic_param, such as 0.9": (RESIZE, "--model", A[1], *OUT, "--dynamic_method", "sv_fro"),
    "sv_fro takes a share of up to 1": (
        RESIZE,
        "--model",
        A[1],
        *OUT,
        "--dynamic_method",
        "sv_fro",
        "--dynamic_param",
        "2",
    ),
    "sv_ratio takes 1 or more": (
        RESIZE,
        "--model",
        A[1],
        *OUT,
        "--dynamic_method",
        "sv_ratio",
        "--dynamic_param",
        "0.5",
    ),
    "--unit is needed: Step": ("networks/extract_lora_from_dylora.py", "--model", A[1], *OUT),
    "so it is no LoRA file. --show_all_keys shows": ("networks/check_lora_weights.py", "none.safetensors"),
    "it has 1 layer that": ("tools/merge_lycoris.py", "sd1.safetensors", "half.safetensors", "out.safetensors"),
    "none of its tensors has a name": (
        "tools/merge_lycoris.py",
        "sd1.safetensors",
        "none.safetensors",
        "out.safetensors",
    ),
    "xl.safetensors is an SDXL model: add --is_sdxl.": (
        "tools/merge_lycoris.py",
        "xl.safetensors",
        "xl_a.safetensors",
        "out.safetensors",
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_it_is_said_in_one_sentence(here, sentence, monkeypatch):
    monkeypatch.chdir(here)
    before = {path: path.stat().st_mtime_ns for path in here.iterdir()}
    with pytest.raises(UserError) as caught:
        run_tool(*REFUSED[sentence])
    assert sentence in str(caught.value)
    assert {path: path.stat().st_mtime_ns for path in here.iterdir()} == before


def test_what_is_not_used_is_told(here, monkeypatch, tmp_path):
    monkeypatch.chdir(here)
    to = ("--save_to", tmp_path / "out.safetensors")
    said = run_tool(MERGE, *A, *INTO, *to, "--concat").said
    assert "--concat is not used: with --sd_model the networks are merged into the model." in said
    said = run_tool(RESIZE, "--model", A[1], *to, "--dynamic_param", "0.5").said
    assert "--dynamic_param is not used: it needs --dynamic_method." in said


def test_without_lycoris_it_says_what_is_missing(here, monkeypatch):
    import sys

    monkeypatch.chdir(here)
    monkeypatch.setitem(sys.modules, "lycoris", None)
    with pytest.raises(UserError, match="needs the package LyCORIS, .* Install it with pip install lycoris_lora"):
        run_tool("tools/merge_lycoris.py", "sd1.safetensors", "sd1_a.safetensors", "out.safetensors")
