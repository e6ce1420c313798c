"""Networks taken out of models and out of networks: extraction, other ranks, DyLoRA, LoCon."""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.example.sd_models import make_sd1, make_sdxl
from sd_scripts.library.models.original import open_original
from sd_scripts.library.networks.factors import Factors, limited
from sd_scripts.library.networks.ranks import DYNAMIC
from tests.networks.made import change, changes, make_network, run_tool

EXTRACT = "networks/extract_lora_from_models.py"


def header(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def made_pair(kind, folder):
    """A model, a LoRA with convolutions, and the model with that LoRA in it."""
    base = (make_sdxl if kind == "sdxl" else make_sd1)(folder / "base.safetensors")
    network = make_network(base, folder / "a.safetensors", conv=2)
    script = "networks/sdxl_merge_lora.py" if kind == "sdxl" else "networks/merge_lora.py"
    run_tool(script, "--sd_model", base, "--models", network, "--save_to", folder / "tuned.safetensors")
    return folder


@pytest.fixture(scope="module")
def sd1(tmp_path_factory):
    return made_pair("sd1", tmp_path_factory.mktemp("sd1"))


@pytest.fixture(scope="module")
def xl(tmp_path_factory):
    return made_pair("sdxl", tmp_path_factory.mktemp("xl"))


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def pair(request, sd1, xl):
    """(kind, folder)."""
    return request.param, sd1 if request.param == "sd1" else xl


def models(folder):
    return ["--model_org", folder / "base.safetensors", "--model_tuned", folder / "tuned.safetensors"]


def test_what_was_merged_comes_out_again(pair, tmp_path):
    kind, folder = pair
    to = tmp_path / "out.safetensors"
    words = ["--save_to", to, "--dim", 3, "--conv_dim", 2, "--min_diff", 0, *["--sdxl"][: kind == "sdxl"]]
    run_tool(EXTRACT, *models(folder), *words)
    before, found = changes(folder / "a.safetensors"), changes(to)
    assert set(found) == set(before)
    for key, expected in before.items():
        # The model's weights are float32, so its change is known to their rounding.
        assert (found[key] - expected).norm() < 1e-4 * expected.norm(), key
    told = header(to)
    assert (told["ss_network_dim"], told["ss_network_alpha"]) == ("3", "3.0")
    assert told["ss_network_args"] == '{"conv_dim": "2", "conv_alpha": "2.0"}'
    assert told["modelspec.architecture"].endswith("/lora") and told["sshs_model_hash"]


def test_a_low_rank_is_the_best_there_is(sd1, tmp_path):
    to = tmp_path / "out.safetensors"
    run_tool(EXTRACT, *models(sd1), "--save_to", to, "--dim", 2)
    tensors, before = load_file(to), changes(sd1 / "a.safetensors")
    keys = {name.split(".")[0] for name in tensors}
    assert keys and not any("_resnets_" in key for key in keys)
    for key in keys:
        missed = np.linalg.svd(before[key].numpy(), compute_uv=False)[2:]
        assert abs(float((change(tensors, key) - before[key]).norm()) - np.linalg.norm(missed)) < 1e-5, key


def test_text_encoders_that_hardly_changed_are_left_out(pair, tmp_path):
    kind, folder = pair
    words = ["--save_to", tmp_path / "out.safetensors", "--min_diff", 10, *["--sdxl"][: kind == "sdxl"]]
    recorder = run_tool(EXTRACT, *models(folder), *words)
    assert all(key.startswith("lora_unet_") for key in load_file(tmp_path / "out.safetensors"))
    texts = {"sd1": ["text encoder"], "sdxl": ["text encoder1", "text encoder2"]}[kind]
    assert all(f"No weight of the {text} has changed by more than 10" in recorder.said for text in texts)


def test_cutting_goes_by_magnitude_and_keeps_what_is_smaller():
    numbers = Factors(torch.tensor([[-9.0, 1.0]]), torch.tensor([[2.0], [3.0]]))
    cut = limited(numbers, 0.75)
    assert cut.up_OR.tolist() == [[-3.0, 1.0]] and cut.down_RI.tolist() == [[2.0], [3.0]]


def test_models_that_do_not_fit(sd1, tmp_path):
    base, to = sd1 / "base.safetensors", tmp_path / "out.safetensors"
    other = make_sdxl(tmp_path / "xl.safetensors")
    with pytest.raises(BadFile, match="are the same: there is nothing to extract"):
        run_tool(EXTRACT, "--model_org", base, "--model_tuned", base, "--save_to", to)
    with pytest.raises(BadOption, match="is an SDXL model: add --sdxl"):
        run_tool(EXTRACT, "--model_org", base, "--model_tuned", other, "--save_to", to)
    with pytest.raises(BadOption, match="add --v2|leave out --v2"):
        run_tool(EXTRACT, *models(sd1), "--save_to", to, "--v2")
    with pytest.raises(BadOption, match="is what is read here"):
        run_tool(EXTRACT, *models(sd1), "--save_to", sd1 / "tuned.safetensors")
    assert not to.exists()


RULES = {"sv_fro": 0.9, "sv_cumulative": 0.8, "sv_ratio": 2.0}


def kept(method, values, rank):
    """What a rank keeps of singular values, by a rule's own measure, written out."""
    if method == "sv_fro":
        return np.linalg.norm(values[:rank]) / np.linalg.norm(values)
    return values[:rank].sum() / values.sum()


@pytest.mark.parametrize("method", RULES)
def test_resizing_keeps_what_it_promises_and_no_rank_more(sd1, method, tmp_path):
    network = make_network(sd1 / "base.safetensors", tmp_path / "n.safetensors", rank=12, conv=8, alpha=6, seed=3)
    to, promised = tmp_path / "out.safetensors", RULES[method]
    words = ["--new_rank", 12, "--dynamic_method", method, "--dynamic_param", promised]
    run_tool("networks/resize_lora.py", "--model", network, "--save_to", to, *words)
    before, after, sizes = changes(network), changes(to), load_file(to)
    ranks = set()
    for key, whole in before.items():
        values = np.linalg.svd(whole.numpy(), compute_uv=False)
        rank = len(sizes[f"{key}.lora_down.weight"])
        ranks.add(rank)
        missed = np.linalg.norm(values[rank:])
        assert abs(float((after[key] - whole).norm()) - missed) < 1e-5 * values[0], key
        if method == "sv_ratio":
            assert values[rank - 1] > values[0] / promised >= (values[rank] if rank < len(values) else 0), key
        else:
            assert kept(method, values, rank) >= promised - 1e-6, key
            assert rank == 1 or kept(method, values, rank - 1) < promised, key
    assert len(ranks) > 2
    told = header(to)
    assert told["ss_network_dim"] == told["ss_network_alpha"] == "Dynamic"
    assert told["ss_training_comment"] == f"Dynamic resize with {method}: {promised} from 12; mine"


def test_a_rank_that_is_given_is_the_largest_and_scales_stay(sd1, tmp_path):
    to = tmp_path / "out.safetensors"
    words = ["--new_rank", 2, "--new_conv_rank", 1, "--save_precision", "fp16", "--verbose"]
    recorder = run_tool("networks/resize_lora.py", "--model", sd1 / "a.safetensors", "--save_to", to, *words)
    before, after = load_file(sd1 / "a.safetensors"), load_file(to)
    for name, down in after.items():
        assert down.dtype == torch.float16
        if name.endswith("lora_down.weight"):
            alpha = name.replace("lora_down.weight", "alpha")
            assert len(down) == (1 if down.ndim == 4 and down.shape[2] > 1 else 2), name
            assert abs(float(after[alpha]) / len(down) - float(before[alpha]) / len(before[name])) < 1e-3
    assert header(to)["ss_training_comment"] == "dimension is resized from 3 to 2 (conv: 1); mine"
    assert "rank 3 to 2, sum kept" in recorder.said and "keep" in recorder.of("phase")[0].name + recorder.said


def test_rules_by_hand():
    values_R = torch.tensor([4.0, 3.0, 0.0])
    assert DYNAMIC["sv_fro"](values_R, 0.8) == 1 and DYNAMIC["sv_fro"](values_R, 0.81) == 2
    assert DYNAMIC["sv_cumulative"](values_R, 0.57) == 1 and DYNAMIC["sv_cumulative"](values_R, 0.58) == 2
    assert DYNAMIC["sv_ratio"](values_R, 1.3) == 1 and DYNAMIC["sv_ratio"](values_R, 1.4) == 2
    assert [rule(torch.zeros(3), 0.5) for rule in DYNAMIC.values()] == [1, 1, 1]


def test_a_dylora_gives_a_lora_of_each_rank(sd1, tmp_path):
    network = make_network(sd1 / "base.safetensors", tmp_path / "n.safetensors", rank=4)
    words = ["--model", network, "--save_to", tmp_path / "out.safetensors", "--unit"]
    run_tool("networks/extract_lora_from_dylora.py", *words, 2)
    whole = load_file(network)
    assert {path.name for path in tmp_path.glob("out*")} == {"out-0002.safetensors", "out-0004.safetensors"}
    for rank in (2, 4):
        path = tmp_path / f"out-000{rank}.safetensors"
        for name, tensor in load_file(path).items():
            cut = {"down": whole[name][:rank], "up": whole[name][:, :rank]} if "lora_" in name.split(".")[1] else {}
            expected = next((part for end, part in cut.items() if f"lora_{end}." in name), whole[name])
            assert torch.equal(tensor, expected), name
        assert header(path)["ss_network_dim"] == str(rank)
        assert header(path)["ss_training_comment"] == f"split from DyLoRA, rank 4 to {rank}; mine"
    with pytest.raises(BadOption, match="which is no multiple of 3"):
        run_tool("networks/extract_lora_from_dylora.py", *words, 3)


LOCON = "tools/lycoris_locon_extract.py"


def locon(folder, kind, to, *words):
    given = [folder / "base.safetensors", folder / "tuned.safetensors", to, *["--is_sdxl"][: kind == "sdxl"]]
    run_tool(LOCON, *given, *words)
    return load_file(to)


def test_whole_differences_give_the_trained_model_back(pair, tmp_path):
    pytest.importorskip("lycoris.modules")
    kind, folder = pair
    tensors = locon(folder, kind, tmp_path / "d.safetensors", "--mode", "full")
    assert all(name.endswith((".diff", ".diff_b")) for name in tensors)
    flag = ["--is_sdxl"][: kind == "sdxl"]
    base, to = folder / "base.safetensors", tmp_path / "m.safetensors"
    run_tool("tools/merge_lycoris.py", base, tmp_path / "d.safetensors", to, *flag)
    found, tuned, before = load_file(to), load_file(folder / "tuned.safetensors"), load_file(base)
    for name, tensor in tuned.items():
        # The file holds the differences in float16.
        assert (found[name].float() - tensor.float()).norm() <= 1e-3 * (tensor.float() - before[name].float()).norm()


def test_locon_in_two_matrices_is_the_nearest_in_three_less_so_and_with_numbers_besides_more(sd1, tmp_path):
    dims = ["--linear_dim", 2, "--conv_dim", 1]
    two = locon(sd1, "sd1", tmp_path / "2.safetensors", *dims, "--disable_cp")
    three = locon(sd1, "sd1", tmp_path / "3.safetensors", *dims)
    with_bias = locon(
        sd1, "sd1", tmp_path / "b.safetensors", *dims, "--disable_cp", "--use_sparse_bias", "--sparsity", 0.9
    )
    whole = changes(sd1 / "a.safetensors")
    key = "lora_unet_down_blocks_1_resnets_0_conv1"
    values = np.linalg.svd(whole[key].numpy(), compute_uv=False)
    missed = {
        name: float((made(tensors, key) - whole[key]).norm())
        for name, tensors in {"2": two, "3": three, "b": with_bias}.items()
    }
    assert abs(missed["2"] - np.linalg.norm(values[1:])) < 1e-3 * values[0]
    assert missed["b"] < missed["2"] < missed["3"] < np.linalg.norm(values)
    assert f"{key}.lora_mid.weight" in three and f"{key}.lora_mid.weight" not in two
    assert len(with_bias[f"{key}.bias_values"]) == round(0.1 * whole[key].numel())


def made(tensors, key):
    """The change of one layer of a LoCon as a matrix, written out."""
    part = {
        name.removeprefix(f"{key}."): tensor.double() for name, tensor in tensors.items() if name.startswith(f"{key}.")
    }
    up, down = part["lora_up.weight"].flatten(1), part["lora_down.weight"]
    if "lora_mid.weight" in part:
        found = torch.einsum("or,rshw,si->oihw", up, part["lora_mid.weight"], down.flatten(1)).flatten(1)
    else:
        found = up @ down.flatten(1)
    if "bias_values" in part:
        rows, columns = part["bias_indices"].long() % 2**16
        found[rows, columns] += part["bias_values"]
    return found


MODES = {"threshold": (0.3, lambda v: v > 0.3), "ratio": (0.6, lambda v: v > 0.6 * v[0])}


@pytest.mark.parametrize("mode", MODES)
def test_ranks_of_a_locon_follow_the_mode(sd1, mode, tmp_path):
    number, rule = MODES[mode]
    words = ["--mode", mode, f"--linear_{mode}", number, f"--conv_{mode}", number, "--disable_cp"]
    tensors, ranks = locon(sd1, "sd1", tmp_path / "m.safetensors", *words), set()
    for key, whole in changes(sd1 / "a.safetensors").items():
        values = np.linalg.svd(whole.numpy(), compute_uv=False)
        expected = max(1, int(rule(values).sum()))
        ranks.add(len(tensors[f"{key}.lora_down.weight"]))
        assert len(tensors[f"{key}.lora_down.weight"]) == expected, key
    assert len(ranks) > 1


def kinds(weight):
    """Networks of LyCORIS for one linear layer, and what each makes of its weight by its formula."""
    out, inside = weight.shape
    g = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(*shape, generator=g)

    w1a, w1b, w2a, w2b = drawn(out, 2), drawn(2, inside), drawn(out, 2), drawn(2, inside)
    loha = {"hada_w1_a": w1a, "hada_w1_b": w1b, "hada_w2_a": w2a, "hada_w2_b": w2b, "alpha": torch.tensor(1.0)}
    yield "LoHa", loha, weight + 0.5 * 0.5 * (w1a @ w1b) * (w2a @ w2b)
    w1, w2 = drawn(4, 4), drawn(out // 4, inside // 4)
    yield "LoKr", {"lokr_w1": w1, "lokr_w2": w2, "alpha": torch.tensor(1.0)}, weight + 0.5 * torch.kron(w1, w2)
    rows, columns = drawn(out), drawn(inside)
    yield "rows", {"weight": rows, "on_input": torch.tensor(0)}, weight * (1 + 0.5 * rows[:, None])
    yield "columns", {"weight": columns, "on_input": torch.tensor(1)}, weight * (1 + 0.5 * columns)


def test_networks_of_lycoris_are_merged_by_their_formulas(sd1, tmp_path):
    pytest.importorskip("lycoris.modules")
    model = open_original(str(sd1 / "base.safetensors"))
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    layer = model.layers[key]
    for name, tensors, expected in kinds(model.weight(layer).clone()):
        save_file({f"{key}.{part}": tensor for part, tensor in tensors.items()}, tmp_path / f"{name}.safetensors")
        to = tmp_path / "m.safetensors"
        run_tool(
            "tools/merge_lycoris.py", sd1 / "base.safetensors", tmp_path / f"{name}.safetensors", to, "--weight", 0.5
        )
        torch.testing.assert_close(load_file(to)[layer.tensor], expected, rtol=1e-5, atol=1e-6, msg=name)


def test_what_is_wrong_with_a_file_is_told(sd1, tmp_path):
    tensors = load_file(sd1 / "a.safetensors")
    names = [name for name in tensors if name.endswith("lora_up.weight")]
    tensors[names[0]][0, 0], tensors[names[1]] = float("nan"), torch.zeros_like(tensors[names[1]])
    save_file(tensors, tmp_path / "bad.safetensors")
    recorder = run_tool("networks/check_lora_weights.py", tmp_path / "bad.safetensors")
    assert f"infinite or none, such as {names[0]}" in recorder.said
    assert f"changes nothing, such as {names[1]}" in recorder.said
    assert ".alpha," not in recorder.said
    assert ".alpha," in run_tool("networks/check_lora_weights.py", "-s", sd1 / "a.safetensors").said


@torch.no_grad()
def test_the_words_that_a_lora_changes_most(sd1, xl, tmp_path):
    from sd_scripts.library.models.sd import load

    script, given = "networks/lora_interrogator.py", ["--sd_model", sd1 / "base.safetensors", "--batch_size", 4096]
    recorder = run_tool(script, *given, "--model", sd1 / "a.safetensors")
    words = recorder.of("summary")[0].tables["words"]
    assert len(words) == 100 and words[0]["difference"] >= words[-1]["difference"] > 0
    ids = torch.tensor([[49406, words[0]["token"], 49407]])
    encoders = [load(str(sd1 / f"{name}.safetensors")).text_encoder for name in ("base", "tuned")]
    before, after = (encoder(ids).last_hidden_state for encoder in encoders)
    assert abs(float((after - before).abs().mean()) - words[0]["difference"]) < 1e-5
    with pytest.raises(BadFile, match="is for SDXL"):
        run_tool(script, *given, "--model", xl / "a.safetensors")
