"""Samples: files, prompts, and that the model is left as it was."""

import json
import math
import re

import pytest
import torch
from PIL import Image

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.output_place import OutputPlace
from sd_scripts.library.train.prompts import Prompt, read_prompts, whole_eights
from sd_scripts.library.train.sampling import Samples, write_png
from sd_scripts.options.training import SampleOptions
from tests.train.tiny import Recorder, train, weights

# diffusers' Euler schedulers hand torch tensors to numpy in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = "--w 64 --h 64 --s 2"


def prompts(tmp_path, text, name="prompts.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def drawn(tmp_path):
    return sorted(path.name for path in (tmp_path / "out" / "sample").iterdir())


def picture(path):
    """(size, bytes) of a picture."""
    with Image.open(path) as image:
        return image.size, image.tobytes()


def furthest(one, other):
    """The largest difference of two pictures of one size, in levels of 0 to 255; alone or in a batch it is 1."""
    return max(abs(a - b) for a, b in zip(one[1], other[1], strict=True))


def test_samples_by_steps(tmp_path):
    file = prompts(tmp_path, f"# two\na cat {SMALL} --d 5\n\na dog {SMALL} --n rain --l 1 --ss euler_a\n")
    _, recorder = train(tmp_path, sample_prompts=file, sample_every_n_steps=2, sample_at_first=True)
    names = drawn(tmp_path)
    assert len(names) == 4
    assert re.fullmatch(r"X_e000000_00_\d{14}_5\.png", names[2])
    assert re.fullmatch(r"X_000002_01_\d{14}_\d+\.png", names[1])
    assert [(e.index, e.step, e.prompt) for e in recorder.of("sample")] == [
        (0, 0, "a cat"), (1, 0, "a dog"), (0, 2, "a cat"), (1, 2, "a dog")
    ]  # fmt: skip
    assert picture(recorder.of("sample")[0].path)[0] == (64, 64)


def test_samples_by_epochs_win(tmp_path):
    file = prompts(tmp_path, f"a cat {SMALL}")
    train(tmp_path, sample_prompts=file, sample_every_n_steps=1, sample_every_n_epochs=2, max_train_epochs=2)
    assert [name[:9] for name in drawn(tmp_path)] == ["X_e000002"]


def test_the_end_of_training_ends_its_epoch(tmp_path):
    file = prompts(tmp_path, f"a cat {SMALL}")
    train(tmp_path, sample_prompts=file, sample_every_n_epochs=1, max_train_steps=6)
    assert [name[:9] for name in drawn(tmp_path)] == ["X_e000001", "X_e000002"]


def test_the_same_prompt_keeps_its_seed(tmp_path):
    file = prompts(tmp_path, f"a cat {SMALL}")
    train(tmp_path, sample_prompts=file, sample_every_n_steps=1, learning_rate=0.0)
    first, second, third = [picture(tmp_path / "out" / "sample" / name) for name in drawn(tmp_path)]
    assert first == second == third


def test_modes_are_given_back(tmp_path):
    file = prompts(tmp_path, f"a cat {SMALL}")
    trainer, _ = train(tmp_path, sample_prompts=file, sample_every_n_steps=3)
    assert trainer.family.unet.training and not trainer.family.text_encoder.training
    before = weights(trainer.family.unet)
    trainer._sample("again")
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(trainer.family.unet).items())


def test_odd_sizes_are_rounded(tmp_path):
    file = prompts(tmp_path, "a cat --w 61 --h 67 --s 1")
    _, recorder = train(tmp_path, sample_prompts=file, sample_at_first=True)
    assert "Sample prompt 1: 61 x 67 becomes 64 x 64 px" in recorder.said
    assert whole_eights(Prompt("a", width=8, height=12)) == Prompt("a", width=8, height=16)


def test_colours(tmp_path):
    write_png(torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]).expand(3, 1, 5), tmp_path / "a.png")
    assert list(picture(tmp_path / "a.png")[1][::3]) == [0, 0, 128, 255, 255]


def test_all_file_kinds_read_alike(tmp_path):
    line = "a cat, -- odd --n bad hands --w 64 --h 128 --d 7 --l 5.5 --s 20 --ss k_euler_a"
    expected = [Prompt("a cat, -- odd", "bad hands", 64, 128, 7, 5.5, 20, "k_euler_a")]
    row = {
        "prompt": "a cat, -- odd", "negative_prompt": "bad hands", "width": 64, "height": 128, "seed": 7,
        "scale": 5.5, "sample_steps": 20, "sample_sampler": "k_euler_a",
    }  # fmt: skip
    toml = "[prompt]\nwidth = 64\nheight = 128\nscale = 5.5\nsample_steps = 20\n[[prompt.subset]]\nseed = 7\n"
    toml += 'prompt = "a cat, -- odd"\nnegative_prompt = "bad hands"\nsample_sampler = "k_euler_a"\n'
    assert read_prompts(prompts(tmp_path, f"\ufeff# comment\n{line}\n")) == expected
    assert read_prompts(prompts(tmp_path, json.dumps([row]), "p.json")) == expected
    assert read_prompts(prompts(tmp_path, json.dumps([line]), "p.json")) == expected
    assert read_prompts(prompts(tmp_path, toml, "p.toml")) == expected


def test_defaults_of_a_file_yield_to_a_prompt_of_its_own(tmp_path):
    toml = """
        [prompt]
        width = 640
        height = 384
        scale = 5
        negative_prompt = "rain"
        [[prompt.subset]]
        prompt = "a cat"
        [[prompt.subset]]
        prompt = "a dog"
        scale = 9.5
        negative_prompt = ""
        seed = 4
    """
    assert read_prompts(prompts(tmp_path, toml, "p.toml")) == [
        Prompt("a cat", "rain", 640, 384, scale=5.0),
        Prompt("a dog", "", 640, 384, seed=4, scale=9.5),
    ]
    alone = '[prompt]\nprompt = "a cat"\nsample_steps = 3\n'
    assert read_prompts(prompts(tmp_path, alone, "p.toml")) == [Prompt("a cat", sample_steps=3)]


def test_options_may_be_written_in_capitals(tmp_path):
    assert read_prompts(prompts(tmp_path, "a cat --W 64 --N rain --SS euler")) == [
        Prompt("a cat", "rain", 64, sample_sampler="euler")
    ]


def test_what_other_families_have_is_read_and_said(tmp_path):
    row = {"prompt": "a cat", "guidance_scale": 3.5, "controlnet_image": "edges.png"}
    expected = [Prompt("a cat", guidance_scale=3.5, controlnet_image="edges.png")]
    assert read_prompts(prompts(tmp_path, "a cat --g 3.5 --cn edges.png")) == expected
    assert read_prompts(prompts(tmp_path, json.dumps([row]), "p.json")) == expected
    file = prompts(tmp_path, f"a cat {SMALL}\na dog {SMALL} --g 3.5 --cn edges.png")
    _, recorder = train(tmp_path, sample_prompts=file, sample_every_n_steps=3)
    notices = [event.text for event in recorder.of("notice") if event.level == "warning"]
    assert notices[:2] == [
        "Sample prompt 2: --g 3.5 is for models that were distilled for guidance, as FLUX was; here --l is the scale."
        " It is drawn without.",
        "Sample prompt 2: --cn edges.png needs a ControlNet, and none is trained here. It is drawn without.",
    ]
    assert len(drawn(tmp_path)) == 2


def test_each_option_of_a_prompt_changes_its_picture(tmp_path):
    options = ["--n rain --l 9", "--l 3", "--s 3", "--d 6", "--ss euler_a", "--w 128", "--h 128"]
    lines = [f"a cat --w 64 --h 64 --s 2 --d 5 --l 7 {option}" for option in ["", *options]]
    file = prompts(tmp_path, "\n".join([*lines, lines[0]]))
    _, recorder = train(tmp_path, sample_prompts=file, sample_every_n_steps=3)
    pictures = [picture(event.path) for event in recorder.of("sample")]
    assert len(pictures) == 9 and furthest(pictures[0], pictures[-1]) <= 1
    assert all(furthest(pictures[0], other) > 1 for other in pictures[1:-3])
    assert [size for size, _ in pictures[-3:-1]] == [(128, 64), (64, 128)]


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("a cat --s 1000", "p.txt", "sample_steps 1000 must be 999 or less"),
        ("a cat --h 99999999", "p.txt", "height 99999999 must be 16384 or less"),
        ("a cat --l -1", "p.txt", "scale -1 must be 0 or more"),
        ("# nothing\n", "p.txt", "has no prompts. Write one a line"),
        ("width = 64", "p.toml", "width stands outside of \\[prompt\\]"),
        ("[]", "p.json", "has no prompts. Write \\["),
        ("a cat\na dog --w x", "p.txt", 'line 2: width "x" is not a whole number'),
        ("a cat --w 4", "p.txt", "width 4 must be 8 or more"),
        ("a cat --zz 4", "p.txt", "line 1: there is no option --zz. Use --n, --w"),
        ("a cat --ss best", "p.txt", 'sample_sampler "best": there is no such sampler. Use ddim'),
        ("{", "p.json", "is broken"),
        ("{}", "p.json", "must hold a list"),
        ('[{"prompt": "a", "size": 3}]', "p.json", "prompt 1: there is no field size"),
        ('[{"width": 64}]', "p.json", "prompt 1 has no prompt"),
        ("[7]", "p.json", "neither a text nor a table"),
        ("a = ", "p.toml", "is broken"),
        ("prompt = 3", "p.toml", "write \\[prompt\\]"),
    ],
)
def test_mistakes_in_prompts(tmp_path, text, name, sentence):
    with pytest.raises(BadOption, match=sentence) as caught:
        read_prompts(prompts(tmp_path, text, name))
    assert caught.value.option == "sample_prompts"


def test_a_missing_prompt_file():
    with pytest.raises(BadOption, match="there is no such file"):
        read_prompts("nowhere.txt")


def test_a_sample_that_is_no_numbers_is_black_and_told_once(tmp_path):
    recorder = Recorder()
    samples = Samples(SampleOptions(), OutputPlace(tmp_path), "X", [], recorder.report)
    for step in (1, 2):
        pixels_CHW = samples._checked(torch.tensor([[[math.nan, 0.5]]]), step)
        assert pixels_CHW.tolist() == [[[-1.0, 0.5]]]
    (notice,) = recorder.of("notice")
    assert "after step 1 came out as no numbers" in notice.text
