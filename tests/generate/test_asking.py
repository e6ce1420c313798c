"""Prompts and what is wrong with options: one sentence each, before a model is loaded."""

import json

import pytest

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.generate.asked import Asked, read_asked
from sd_scripts.library.generate.checks import check_drawing
from sd_scripts.library.generate.plan import batches, planned
from sd_scripts.options.cli import parse
from sd_scripts.options.gen_img import GenImgOptions, PromptOptions
from sd_scripts.options.spec import from_values

LINE = (
    "a cat, -- odd --n rain --w 72 --h 64 --d 1,2 --l 5 --nl 2 --s 9 --ss euler --t 0.5 --am 0.5,-1"
    " --ow 10 --oh 20 --nw 30 --nh 40 --cl 5 --ct 6"
)
ASKED = Asked("a cat, -- odd", "rain", 72, 64, (1, 2), 5.0, 2.0, 9, "euler", 0.5, (0.5, -1.0), 10, 20, 30, 40, 5, 6)


def options(**values):
    return from_values(GenImgOptions, {"ckpt": "m", **values})


def plan(side_px=512, seed=9, **values):
    made = options(**values)
    return planned(made, read_asked(made.prompts), seed, side_px)


def test_all_ways_to_write_prompts(tmp_path):
    (tmp_path / "p.txt").write_text(f"# comment\n\n{LINE}\n", encoding="utf-8")
    row = {"prompt": "a cat", "seed": [1, 2], "network_mul": [0.5], "width": 72}
    (tmp_path / "p.json").write_text(json.dumps([row, LINE]), encoding="utf-8")
    assert read_asked(PromptOptions(prompt=LINE, from_file=str(tmp_path / "p.txt"))) == [ASKED, ASKED]
    first, second = read_asked(PromptOptions(from_file=str(tmp_path / "p.json")))
    assert first == Asked("a cat", width=72, seed=(1, 2), network_mul=(0.5,)) and second == ASKED


def test_a_prompt_wins_over_the_command_line():
    given = {"W": 128, "H": 128, "scale": 7.5, "steps": 5, "sampler": "ddim", "negative_prompt": "snow"}
    own, usual = plan(prompt=f"{LINE}\na dog", **given)
    assert (own.size_px, own.scale, own.steps, own.sampler) == ((72, 64), 5.0, 9, "euler")
    assert (own.negative_prompt, own.seed, own.negative_scale, own.strength) == ("rain", 1, 2.0, 0.5)
    assert own.told.positive == (20, 10, 6, 5, 64, 72) and own.told.negative == (40, 30, 6, 5, 64, 72)
    assert (usual.size_px, usual.steps, usual.negative_prompt, usual.multipliers) == ((128, 128), 5, "snow", None)


def test_seeds():
    (one,) = plan(prompt="a")
    assert one.seed == 9
    several = plan(prompt="a\nb", images_per_prompt=2)
    assert len({picture.seed for picture in several}) == 4
    assert [p.seed for p in plan(prompt="a\nb\nc", images_per_prompt=2)][:4] == [p.seed for p in several]
    assert [p.seed for p in plan(prompt="a\nb", grid=["x"], images_per_prompt=2)] == [9, 10, 9, 10]
    same = plan(prompt="a\nb", n_iter=2, iter_same_seed=True)
    assert same[0].seed == same[1].seed != same[2].seed
    assert [p.seed for p in plan(prompt="a --d 3,4", images_per_prompt=3)] == [3, 4, 3]


def test_orders_and_batches():
    shuffled = [p.prompt for p in plan(prompt="a\nb\nc\nd\ne", n_iter=2, shuffle_prompts=True)]
    assert sorted(shuffled[:5]) == list("abcde") and shuffled[:5] != shuffled[5:]
    found = batches(plan(prompt="a\nb\nc\nd --w 64\ne --w 64"), 2)
    assert [[p.prompt for p in batch] for batch in found] == [["a", "b"], ["c"], ["d", "e"]]


def test_one_of_several_words_is_taken_by_lot():
    words = {picture.prompt for picture in plan(prompt="a {red|blue} cat", images_per_prompt=12)}
    assert words == {"a red cat", "a blue cat"}


def test_sides_are_multiples_of_eight():
    (picture,) = plan(prompt="a", W=67)
    assert picture.size_px == (64, 512)


SENTENCES = {
    "prompt": ({}, "--prompt is needed: what is to be seen; or --from_file with prompts in a file."),
    "ckpt": ({"ckpt": None, "prompt": "a"}, "--ckpt is needed: the model that draws."),
    "from_file": ({"from_file": "nowhere.txt"}, "--from_file nowhere.txt: there is no such file."),
    "fp16": ({"fp16": True, "bf16": True}, "--fp16 and --bf16 exclude each other. Choose one."),
    "sdxl": ({"v2": True, "sdxl": True}, "--v2 and --sdxl exclude each other. Choose one."),
    "network_weights": ({"network_weights": ["no.pt"]}, "--network_weights no.pt: there is no such file."),
    "network_mul": ({"network_mul": [1.0]}, "--network_mul needs --network_weights."),
    "hypernetwork_mul": ({"hypernetwork_mul": [1.0]}, "--hypernetwork_mul needs --hypernetwork_weights."),
    "network_merge": ({"network_merge": True}, "--network_merge needs --network_weights."),
    "grid": ({"grid": ["no.safetensors"]}, "--grid no.safetensors: there is no such file."),
    "grid_multipliers": ({"grid_multipliers": [1.0]}, "--grid_multipliers: there is nothing whose strength could"),
    "image_path": ({"image_path": "no.png"}, "--image_path no.png: there is no such file or folder."),
    "mask_path": ({"mask_path": "no.png"}, "--mask_path needs --image_path"),
    "use_original_file_name": ({"use_original_file_name": True}, "--use_original_file_name needs --image_path."),
    "highres_fix_scale": ({"highres_fix_scale": 0.5, "image_path": "."}, "exclude each other"),
    "a flag": ({"prompt": "a --q 3"}, "--prompt, line 1: there is no option --q. Use --n, --w, "),
    "a number": ({"prompt": "a --w big"}, '--prompt, line 1: width "big" is not a whole number.'),
}


@pytest.mark.parametrize("values, sentence", SENTENCES.values(), ids=SENTENCES)
def test_what_is_wrong_is_said_in_a_sentence(values, sentence):
    given = (
        values
        if {"prompt", "from_file"} & set(values) or sentence.startswith("--prompt is")
        else values | {"prompt": "a"}
    )
    with pytest.raises(BadOption) as error:
        check_drawing(options(**given))
    assert sentence in str(error.value)
    assert error.value.option in given or error.value.option in ("prompt", "ckpt")


def test_what_the_files_are_wrong_for(draw, world, tmp_path):
    (tmp_path / "text.safetensors").write_text("no tensors")
    wrong = {
        (BadOption, "is Stable Diffusion 2: leave out --sdxl"): ("--ckpt", "two.safetensors", "--sdxl"),
        (BadOption, "Stable Diffusion 2 skips a layer by itself"): ("--ckpt", "two.safetensors", "--clip_skip", "2"),
        (BadFile, "no .safetensors file"): ("--ckpt", "base.safetensors", "--grid", str(tmp_path / "text.safetensors")),
        (BadFile, "is for another kind of model"): (
            "--ckpt", "large.safetensors", "--network_weights", "cat.safetensors"
        ),
        (BadFile, "is no embedding: it holds neither"): (
            "--ckpt", "base.safetensors", "--textual_inversion_embeddings", "cat.safetensors"
        ),
    }  # fmt: skip
    for (kind, sentence), argv in wrong.items():
        with pytest.raises(kind, match=sentence):
            draw("--prompt", "a", *argv, model=None)


def test_a_picture_that_is_none(draw, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(BadFile, match="text.png cannot be read: .*Choose another picture"):
        draw("--prompt", "a", "--image_path", str(tmp_path / "text.png"), small=())


def test_the_version_may_be_named(draw):
    assert draw("--prompt", "a", "--v2", model="two").pictures


def test_refused_flags():
    for flag in ("--control_net_models", "--interactive", "--vae_slices"):
        with pytest.raises(BadOption, match=rf"^{flag} .*\."):
            parse(GenImgOptions, [flag], "gen_img.py")
