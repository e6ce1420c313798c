"""The models themselves: sampling, the original BLIP layout, broken files."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.options.captioning import BlipOptions
from sd_scripts.options.tagging import DeepDanbooruOptions, Wd14TextOptions, Wd14ThresholdOptions

PATHS = [Path(f"{name}.png") for name in "abcde"]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).normal(size=(5, 3, 32, 32)).astype(np.float32)


@pytest.fixture
def blip(models):
    from sd_scripts.library.tagging.blip import Blip, load_blip

    parts = load_blip(models("blip"))
    return lambda **options: Blip(parts, BlipOptions(caption_weights="", **options))


def test_a_picture_keeps_its_sentence_in_any_batch(blip, images):
    together = blip(seed=7).describe(images, PATHS)
    alone = [blip(seed=7).describe(images[i : i + 1], PATHS[i : i + 1])[0] for i in (3, 0)]
    assert alone == [together[3], together[0]]
    assert blip(seed=8).describe(images, PATHS) != together


def test_sentences_have_no_prompt_and_keep_their_lengths(blip, images):
    for how in ({"beam_search": True, "num_beams": 3}, {"top_p": 1.0}):
        sentences = blip(min_length=10, max_length=12, **how).describe(images, PATHS)
        # The prompt's four tokens count: 6 to 8 are left, of which an end may be one.
        assert all(6 <= len(sentence.split()) <= 8 for sentence in sentences)
        assert not any(sentence.startswith("a picture of") for sentence in sentences)


def test_a_tiny_nucleus_is_the_likeliest_sentence(blip, images):
    one = blip(top_p=0.0, seed=1).describe(images, PATHS)
    assert one == blip(top_p=0.0, seed=2).describe(images, PATHS)


def test_lengths_that_cannot_be(blip):
    with pytest.raises(BadOption, match="--min_length 9 is more than --max_length 8"):
        blip(min_length=9, max_length=8)
    with pytest.raises(BadOption, match="this model takes 5 to 128 tokens"):
        blip(max_length=129)


def test_words_are_drawn_by_their_probability():
    import torch

    from sd_scripts.library.tagging.captioner import WordsByPicture

    words = WordsByPicture(0, [Path("a"), Path("b")])
    scores = torch.tensor([[0.7, 0.3, 0.0], [0.1, 0.2, 0.7]]).log()
    drawn = torch.stack([words(None, scores).argmax(dim=1) for _ in range(4000)])
    for row, expected in enumerate(scores.exp()):
        shares = torch.bincount(drawn[:, row], minlength=3) / 4000
        assert torch.allclose(shares, expected, atol=0.03)
    assert not (drawn[:, 0] == 2).any()


def test_the_original_layout_is_the_same_model(models, images):
    import torch

    from sd_scripts.library.example.taggers import _blip
    from sd_scripts.library.tagging.blip import load_blip

    parts = load_blip(models("original"))
    made, _, processor = _blip(head_width=64)
    theirs, ours = made.state_dict(), parts.model.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    assert parts.processor.size == processor.size
    assert parts.model.config.vision_config.layer_norm_eps == 1e-6
    assert parts.model.config.text_config.bos_token_id == len(parts.tokenizer)


def test_the_original_names_of_the_published_file():
    from sd_scripts.library.tagging.blip_original import transformers_name

    same = "text_decoder.bert.encoder.layer.3.crossattention.self.key.weight"
    for original, theirs in {
        "visual_encoder.cls_token": "vision_model.embeddings.class_embedding",
        "visual_encoder.patch_embed.proj.bias": "vision_model.embeddings.patch_embedding.bias",
        "visual_encoder.blocks.11.attn.proj.weight": "vision_model.encoder.layers.11.self_attn.projection.weight",
        "visual_encoder.blocks.0.norm2.bias": "vision_model.encoder.layers.0.layer_norm2.bias",
        "visual_encoder.norm.weight": "vision_model.post_layernorm.weight",
        same: same,
    }.items():
        assert transformers_name(original) == theirs


class Harmful:
    """A pickle that would write a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_is_never_run(tmp_path):
    from sd_scripts.library.tagging.blip import load_blip

    trap = tmp_path / "trap"
    (tmp_path / "model.pth").write_bytes(pickle.dumps({"model": Harmful(trap)}))
    with pytest.raises(BadFile, match="broken, or holds more than tensors"):
        load_blip(tmp_path / "model.pth")
    assert not trap.exists()


def test_original_files_that_are_none(models, tmp_path):
    import torch

    from sd_scripts.library.tagging.blip import load_blip

    whole = torch.load(models("original"), weights_only=True)
    vocabulary = models("original").with_name("vocab.txt").read_text()
    path = tmp_path / "part.pth"
    torch.save({"model": {"a": torch.zeros(1)}}, path)
    with pytest.raises(BadFile, match="no BLIP caption model in the original layout"):
        load_blip(path)
    (tmp_path / "vocab.txt").write_text(vocabulary + "more\n")
    torch.save(whole, path)
    with pytest.raises(BadFile, match="they are not a pair"):
        load_blip(path)
    (tmp_path / "vocab.txt").write_text(vocabulary)
    del whole["model"]["visual_encoder.norm.weight"]
    torch.save(whole, path)
    with pytest.raises(BadFile, match="lacks vision_model.post_layernorm.weight"):
        load_blip(path)


def test_a_folder_without_all_weights_is_not_filled_with_chance(models, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    from sd_scripts.library.tagging.blip import load_blip

    folder = shutil.copytree(models("blip"), tmp_path / "blip")
    tensors = load_file(folder / "model.safetensors")
    del tensors["vision_model.post_layernorm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadFile, match="lack vision_model.post_layernorm.weight"):
        load_blip(folder)
    (folder / "model.safetensors").write_bytes(b"text")
    with pytest.raises(BadFile, match="no model that can be opened"):
        load_blip(folder)


def wd14(folder, said):
    from sd_scripts.library.tagging.wd14 import Wd14Tagger, find_tagger
    from sd_scripts.options.tagging import Wd14ModelOptions

    files = find_tagger(Wd14ModelOptions(repo_id=str(folder)), said[0])
    return Wd14Tagger(files, Wd14ThresholdOptions(), Wd14TextOptions(), said[0])


def test_wd14_layouts_read_the_same_pixels(models, said):
    """Both tiny models are the same linear look at averages: one in 0..255 NHWC, one in -1..1 NCHW with logits."""
    import onnx
    from onnx import numpy_helper

    pixels = np.random.default_rng(2).integers(0, 256, (2, 448, 448, 3), dtype=np.uint8)

    def seen(tagger):
        return tagger.confidences(tagger.gather(list(pixels)))

    averages = pixels.reshape(2, 8, 56, 8, 56, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2).reshape(2, -1) / 127.5 - 1
    folder = models("wd14_mapping")
    constants = onnx.load(folder / "model_optimized.onnx").graph.initializer
    weights, bias = (numpy_helper.to_array(constant) for constant in constants)
    expected = 1 / (1 + np.exp(-(averages @ weights + bias)))
    assert np.abs(seen(wd14(folder, said)) - expected).max() < 1e-4
    constants = onnx.load(models("wd14") / "model.onnx").graph.initializer
    weights, bias = (numpy_helper.to_array(constant).astype(np.float64) for constant in constants)
    expected = 1 / (1 + np.exp(-((averages + 1) * 127.5 @ weights + bias)))
    assert np.abs(seen(wd14(models("wd14"), said)) - expected).max() < 1e-4
    assert "model.onnx runs on the CPU." in said[1]()


def test_wd14_files_that_do_not_fit(models, tmp_path, said):
    (tmp_path / "selected_tags.csv").write_text("tag_id,name,category,count\n1,a,0,1\n")
    (tmp_path / "model.onnx").write_bytes((models("wd14") / "model.onnx").read_bytes())
    with pytest.raises(BadFile, match=r"gives 39 tags, but .* names 1"):
        wd14(tmp_path, said)
    (tmp_path / "model.onnx").write_bytes(b"text")
    with pytest.raises(BadFile, match="is no ONNX model that can be run"):
        wd14(tmp_path, said)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_deepdanbooru_gives_what_keras_gives(models, said):
    from sd_scripts.library.tagging.deepdanbooru import DeepDanbooru, find_project

    project = find_project(DeepDanbooruOptions(project_path=str(models("deepdanbooru"))))
    # After the maker, which sets its backend.
    import keras

    images = np.random.default_rng(4).random((3, 64, 64, 3)).astype(np.float32)
    expected = keras.saving.load_model(project.model, compile=False).predict_on_batch(images)
    seen = DeepDanbooru(project, 0.4, said[0]).describe(images, PATHS[:3])
    assert seen == [[tag for tag, share in zip(project.tags, row, strict=True) if share >= 0.4] for row in expected]
    assert 0 < len(seen[0]) < len(project.tags)


def test_deepdanbooru_projects_that_are_none(models, tmp_path, said):
    import shutil

    from sd_scripts.library.tagging.deepdanbooru import DeepDanbooru, find_project

    folder = shutil.copytree(models("deepdanbooru"), tmp_path / "project")
    options = DeepDanbooruOptions(project_path=str(folder))
    (folder / "tags.txt").write_text("a\nb\n")
    with pytest.raises(BadFile, match=r"gives 34 tags, but .* names 2"):
        DeepDanbooru(find_project(options), 0.5, said[0])
    (folder / "model-tiny_resnet.keras").write_bytes(b"text")
    with pytest.raises(BadFile, match="no Keras model that can be opened"):
        DeepDanbooru(find_project(options), 0.5, said[0])
    (folder / "model-tiny_resnet.keras").unlink()
    with pytest.raises(BadFile, match="neither model-tiny_resnet.keras nor model-tiny_resnet.h5"):
        find_project(options)


def deepdanbooru_tags(folder, said):
    from sd_scripts.library.tagging.deepdanbooru import DeepDanbooru, find_project

    images = np.random.default_rng(4).random((3, 64, 64, 3)).astype(np.float32)
    return DeepDanbooru(find_project(DeepDanbooruOptions(project_path=str(folder))), 0.4, said[0]).describe(
        images, PATHS[:3]
    )


def test_deepdanbooru_in_a_place_that_cannot_be_written_to(models, tmp_path, said):
    import shutil

    folder = shutil.copytree(models("deepdanbooru"), tmp_path / "project")
    expected = deepdanbooru_tags(folder, said)
    (export,) = folder.glob("*.onnx")
    export.unlink()
    # In the way of the export, whoever runs the test.
    export.mkdir()
    assert deepdanbooru_tags(folder, said) == expected
    assert "by Keras" not in said[1]()
    assert list(export.iterdir()) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_deepdanbooru_without_an_onnx_form_is_run_by_keras(models, tmp_path, said):
    import shutil

    folder = shutil.copytree(models("deepdanbooru"), tmp_path / "project")
    import keras
    import torch

    @keras.saving.register_keras_serializable("tests")
    class Bessel(keras.layers.Layer):
        def call(self, pixels):
            return torch.special.bessel_j0(pixels)

    path = folder / "model-tiny_resnet.keras"
    whole = keras.saving.load_model(path, compile=False)
    pixels = keras.Input((64, 64, 3))
    keras.Model(pixels, whole(Bessel()(pixels))).save(path)
    before = sorted(folder.iterdir())
    tags = deepdanbooru_tags(folder, said)
    assert "The model is run by Keras, which is slower: it has no ONNX form" in said[1]()
    assert len(tags) == 3
    assert 0 < len(tags[0]) < 34
    assert sorted(folder.iterdir()) == before
