"""Files of embeddings: diffusers reads them and answers as our trainer does; those of others are gone on from."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sd_scripts.gen_img import work
from sd_scripts.library.errors import BadFile
from sd_scripts.library.example import sd_models
from sd_scripts.library.io.embeddings import read_embedding
from sd_scripts.library.io.headers import safetensors_header
from sd_scripts.library.models import sd
from sd_scripts.library.models.family import SaveRequest, TextSettings
from sd_scripts.options.cli import parse
from sd_scripts.options.gen_img import GenImgOptions
from tests.inversion.tiny import WORD, learn_word, make_inversion_trainer, vectors
from tests.train.tiny import Recorder, tiny_family
from tests.train.tiny_sdxl import tiny_sdxl

TEXT = f"a photo of {WORD}, red"


@pytest.fixture(scope="module", params=["sd1", "sd2", "sdxl"])
def pair(request, tmp_path_factory):
    """A family that has learnt a word, the file of it, and diffusers' pipeline of the same model without it."""
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    folder, name = tmp_path_factory.mktemp(request.param), request.param
    if name == "sd2":
        family = sd.load(str(sd_models.make_sd2(folder / "base.safetensors")), v2=True)
    else:
        family = {"sd1": tiny_family, "sdxl": tiny_sdxl}[name]()
    family.save(SaveRequest(folder / "pipeline", "diffusers_safetensors"))
    kind = StableDiffusionXLPipeline if name == "sdxl" else StableDiffusionPipeline
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = kind.from_pretrained(folder / "pipeline", local_files_only=True)
    given = {"learning_rate": 5e-2, "init_word": "cat", "v2": name == "sd2"}
    trainer, _ = learn_word(folder, family, **{key: value for key, value in given.items() if value})
    return trainer, folder / "out" / "X.safetensors", pipeline


def told(pipeline, text):
    """What the pipeline tells its U-Net of a text."""
    asked = {"device": "cpu", "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    made = pipeline.encode_prompt(text, **asked)
    return {"hidden": made[0], **({"pooled": made[2]} if len(made) == 4 else {})}


def ours(family, text):
    conditions = family.encode_text(family.tokenize([text], TextSettings()), TextSettings())
    hidden = [conditions[name] for name in ("hidden_BLD", "hidden1_BLD", "hidden2_BLD") if name in conditions]
    pooled = {"pooled": conditions["pooled_BD"]} if "pooled_BD" in conditions else {}
    return {"hidden": torch.cat(hidden, dim=2), **pooled}


@pytest.mark.filterwarnings("ignore")
def test_diffusers_answers_as_our_trainer_does(pair):
    trainer, file, pipeline = pair
    with torch.no_grad():
        before = told(pipeline, TEXT)
        tensors = load_file(file)
        if "clip_l" in tensors:
            second = {"text_encoder": pipeline.text_encoder_2, "tokenizer": pipeline.tokenizer_2}
            pipeline.load_textual_inversion({WORD: tensors["clip_l"]}, token=WORD)
            pipeline.load_textual_inversion({WORD: tensors["clip_g"]}, token=WORD, **second)
        else:
            pipeline.load_textual_inversion(str(file), token=WORD)
        theirs, own = told(pipeline, TEXT), ours(trainer.family, TEXT)
        noisy_BCHW = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
        for name, tensor in own.items():
            assert (before[name] - tensor).norm() > 0.01 * tensor.norm(), name
            torch.testing.assert_close(theirs[name], tensor, rtol=1e-4, atol=1e-5)
        same = ours(trainer.family, "a red dog"), told(pipeline, "a red dog")
        torch.testing.assert_close(same[0]["hidden"], same[1]["hidden"], rtol=1e-4, atol=1e-5)
    if "pooled" not in own:
        predictions = [
            unet(noisy_BCHW, torch.tensor([400]), encoder_hidden_states=hidden).sample
            for unet, hidden in ((trainer.family.unet, own["hidden"]), (pipeline.unet, theirs["hidden"]))
        ]
        torch.testing.assert_close(*predictions, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("word", ["my-cat", "cat"])
def test_gen_img_draws_with_a_file_as_the_training_did_with_the_word(word, tmp_path):
    base = sd_models.make_sd1(tmp_path / "base.safetensors")
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(f"a {WORD}, (my-cats:1.2) and [{WORD}] --w 64 --h 64 --s 2 --d 7")
    given = {"learning_rate": 0.3, "sample_prompts": str(prompts), "sample_every_n_steps": 3}
    learn_word(tmp_path, sd.load(str(base)), **given)
    file = (tmp_path / "out" / "X.safetensors").rename(tmp_path / f"{word}.safetensors")
    # A file may be named as the vocabulary's words are.
    argv = ["--ckpt", str(base), "--textual_inversion_embeddings", str(file), "--outdir", str(tmp_path / "drawn")]
    argv += ["--prompt", prompts.read_text().replace(WORD, word).replace(f"{word}s", "my-cats")]
    work(parse(GenImgOptions, argv, "gen_img.py"), Recorder().report)
    (sample,) = (tmp_path / "out" / "sample").glob("*.png")
    (drawn,) = (tmp_path / "drawn").glob("*.png")
    assert np.array_equal(*(np.asarray(Image.open(path)) for path in (sample, drawn)))


def test_files_are_named_and_headed_as_others_know_them(pair, tmp_path):
    trainer, file, _ = pair
    names = ("clip_l", "clip_g") if trainer.family.name == "sdxl" else ("emb_params",)
    new = dict(zip(names, vectors(trainer).values(), strict=True))
    assert {name: tensor.tolist() for name, tensor in load_file(file).items()} == {
        n: t.tolist() for n, t in new.items()
    }
    header = safetensors_header(file)[1]
    assert header["modelspec.architecture"].endswith("/textual-inversion")
    assert header["modelspec.implementation"] == "https://github.com/Stability-AI/generative-models"
    assert (header["modelspec.title"], header["ss_token_string"], header["ss_steps"]) == ("X", WORD, "3")
    for ending in ("pt", "ckpt"):
        request = SaveRequest(tmp_path / "Y", ending, torch.float16, {"ss_steps": "3"})
        pickled = trainer.method.save(trainer.family, request)
        held = torch.load(pickled, weights_only=True)
        if len(names) == 1:
            assert (held["name"], held["step"], held["string_to_token"]) == (WORD, 3, {"*": 265})
            held = {"emb_params": held["string_to_param"]["*"]}
        assert {name: tensor.half().tolist() for name, tensor in new.items()} == {
            n: t.tolist() for n, t in held.items()
        }
        again = read_embedding(pickled)
        assert all(torch.equal(again[name], tensor.half().float()) for name, tensor in new.items())


def test_a_word_goes_on_from_its_file(pair, tmp_path):
    trainer, file, _ = pair
    make = {"sd1": tiny_family, "sd2": lambda: trainer.family, "sdxl": tiny_sdxl}[trainer.family.name]
    if trainer.family.name != "sd2":
        again, recorder = make_inversion_trainer(tmp_path, make(), weights=str(file))
        again.method.prepare(again.family, 1)
        assert f"Going on from {file}." in recorder.said
        old = vectors(trainer)
        assert all(torch.equal(old[part], tensor) for part, tensor in vectors(again).items())
    for values, family, sentence in (
        (
            {"num_vectors_per_token": 3},
            make(),
            "has 2 vectors, and --num_vectors_per_token is 3. Set it to 2.",
        ),
        (
            {},
            tiny_sdxl() if len(load_file(file)) == 1 else tiny_family(),
            "is an embedding for .*, and this model is of another",
        ),
    ):
        other, _ = make_inversion_trainer(tmp_path, family, weights=str(file), **values)
        with pytest.raises(BadFile, match=sentence):
            other.method.prepare(other.family, 1)


def test_files_of_other_programs_are_read(tmp_path):
    held = torch.randn(2, 16)
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(held)})
    web = {
        "string_to_token": {"*": 265},
        "string_to_param": parameters,
        "name": "cat",
        "step": 7,
        "sd_checkpoint": None,
    }
    for value in (web, {**web, "string_to_param": {"*": held}}, {"emb_params": held}, {"<cat>": held}):
        torch.save(value, tmp_path / "a.pt")
        assert torch.equal(read_embedding(tmp_path / "a.pt")["emb_params"], held)
    save_file({"<cat>": held[0]}, tmp_path / "one.safetensors")
    assert read_embedding(tmp_path / "one.safetensors")["emb_params"].tolist() == [held[0].tolist()]


def test_what_is_no_embedding_is_refused(tmp_path):
    save_file({"a": torch.ones(2, 3), "b": torch.ones(2, 3)}, tmp_path / "two.safetensors")
    save_file({"a": torch.ones(2, 3, 3)}, tmp_path / "deep.safetensors")
    save_file({"emb_params": torch.ones(2, 30)}, tmp_path / "wide.safetensors")
    torch.save([1, 2], tmp_path / "list.pt")
    save_file({"clip_l": torch.ones(2, 3), "clip_g": torch.ones(1, 4)}, tmp_path / "uneven.safetensors")
    with pytest.raises(BadFile, match="has 2 vectors for one text encoder and 1 for the other"):
        read_embedding(tmp_path / "uneven.safetensors")
    for name in ("two.safetensors", "deep.safetensors", "list.pt"):
        with pytest.raises(BadFile, match=f"{name} is no embedding: it holds neither"):
            read_embedding(tmp_path / name)
    trainer, _ = make_inversion_trainer(tmp_path, weights=str(tmp_path / "wide.safetensors"))
    with pytest.raises(BadFile, match="has vectors of 30 numbers, and this model's have 16: it is for another kind"):
        trainer.method.prepare(trainer.family, 1)
