"""A new word on the one loop: only its vectors change, states, precision, samples, captions."""

import contextlib

import pytest
import torch

from sd_scripts.library.errors import TrainingFailed
from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.models.new_word import NewWord
from sd_scripts.library.train.noise import Draw
from sd_scripts.options.noise import NoiseOptions
from tests.inversion.tiny import WORD, learn_word, make_inversion_trainer, vectors
from tests.train.tiny import captioned, tiny_family, weights
from tests.train.tiny_sdxl import tiny_sdxl

FAMILIES = {"sd1": tiny_family, "sdxl": tiny_sdxl}


@pytest.fixture(scope="module", params=FAMILIES)
def trained(request, tmp_path_factory):
    """Six steps with all that divides a step, and a state in the middle: (make, folder, values, trainer, recorder)."""
    folder, make = tmp_path_factory.mktemp(request.param), FAMILIES[request.param]
    values = {"max_train_steps": 6, "learning_rate": 1e-2, "lr_scheduler": "cosine", "gradient_checkpointing": True}
    values |= {"gradient_accumulation_steps": 2, "train_batch_size": 2, "init_word": "cat"}
    (folder / "prompts.txt").write_text(f"{WORD} --w 64 --h 64 --s 2 --d 1\na cat --w 64 --h 64 --s 2 --d 1\n")
    drawn = {"sample_prompts": str(folder / "prompts.txt"), "sample_at_first": True, "sample_every_n_steps": 6}
    trainer, recorder = learn_word(folder, make(), save_state=True, save_every_n_steps=3, **drawn, **values)
    return make, folder, values, trainer, recorder


def same(before, after):
    return set(before) == set(after) and all(torch.equal(before[name], after[name]) for name in before)


def test_nothing_but_the_words_vectors_is_trained_or_changes(trained):
    make, _, _, trainer, recorder = trained
    before, new = make(), vectors(trainer)
    assert same(weights(before.unet), weights(trainer.family.unet))
    for part, encoder in before.text_encoders.items():
        after = weights(trainer.family.text_encoders[part])
        assert same(weights(encoder), {name.replace(".known.", "."): tensor for name, tensor in after.items()})
        cat = encoder.get_input_embeddings().weight[2368]
        # Both began as the same word, and are two now.
        assert new[part].shape == (2, len(cat)) and not torch.equal(new[part][0], new[part][1])
        assert (new[part] - cat).abs().min() > 0
    held = [parameter for group in trainer.learner.optimizer.param_groups for parameter in group["params"]]
    assert sum(parameter.numel() for parameter in held) == sum(tensor.numel() for tensor in new.values())
    assert "Moved since the start, by a sample of the weights: text encoder" in recorder.said
    rates = [name for name in recorder.of("metric")[0].values if name.startswith("lr/")]
    assert rates == [f"lr/{part}" for part in new]


def test_six_steps_are_three_and_three_bit_for_bit(trained, tmp_path):
    make, folder, values, trainer, recorder = trained
    state = folder / "out" / "X-step00000003-state"
    again, resumed = learn_word(tmp_path, make(), **values, resume=str(state))
    assert resumed.losses == recorder.losses[3:] and len(recorder.losses) == 6
    ours, theirs = vectors(trainer), vectors(again)
    assert all(torch.equal(ours[part], theirs[part]) for part in ours)


def test_samples_see_the_new_word_and_other_texts_stay(trained):
    _, folder, _, _, _ = trained
    word, other = (sorted((folder / "out" / "sample").glob(f"*_{index:02d}_*.png")) for index in (0, 1))
    assert word[0].read_bytes() != word[1].read_bytes()
    assert other[0].read_bytes() == other[1].read_bytes()


def listening(family):
    """The family with a U-Net to which texts matter: a new one hardly hears them."""
    for name, parameter in family.unet.named_parameters():
        if "attn2.to_out" in name or "attn2.to_v" in name:
            parameter.data *= 20
    return family


@pytest.mark.parametrize("name", FAMILIES)
def test_one_picture_is_learnt_by_heart(name, tmp_path):
    given = {"max_train_steps": 45, "learning_rate": 0.3, "num_vectors_per_token": 30, "init_word": "cat"}
    trainer, _ = make_inversion_trainer(tmp_path, listening(FAMILIES[name]()), captioned(WORD, 1), **given)
    trainer._prepare()
    with contextlib.closing(trainer.feed.windows(trainer._windows(), trainer._moment())) as loading:
        batch = trainer._batch(next(iter(loading))[0], Draw(trainer.seed, 0, NoiseOptions(min_timestep=900)))
    losses = [float(trainer.learner.step([batch], step, trainer.schedule).loss) for step in range(45)]
    assert losses[-1] < 0.8 * losses[0] and losses == pytest.approx(sorted(losses, reverse=True), rel=0.03), losses


def test_without_an_init_word_it_begins_as_large_as_others_by_the_seed(tmp_path):
    family = tiny_family()
    first, again, other = (family.first_vectors(None, 50, seed)["text_encoder"] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    usual = family.text_encoder.get_input_embeddings().weight
    assert first.std() == pytest.approx(usual.std().item(), rel=0.1)
    turns = family.first_vectors("red cat", 3, 1)["text_encoder"]
    assert torch.equal(turns, usual[[736, 2368, 736]])


def test_more_tokens_than_vectors_are_told(tmp_path):
    trainer, recorder = make_inversion_trainer(tmp_path, init_word="a big red cat", num_vectors_per_token=2)
    trainer.method.prepare(trainer.family, 1)
    assert "--init_word a big red cat has 4 tokens for 2 vectors: the first ones are taken." in recorder.said


@pytest.mark.parametrize(
    ("values", "base", "new"),
    [
        ({"mixed_precision": "bf16"}, torch.bfloat16, torch.float32),
        ({"mixed_precision": "bf16", "full_bf16": True}, torch.bfloat16, torch.bfloat16),
        ({"mixed_precision": "bf16", "fp8_base": True}, torch.float8_e4m3fn, torch.float32),
    ],
)
def test_the_base_is_held_in_what_is_computed_in(values, base, new, tmp_path):
    trainer, recorder = learn_word(tmp_path, **values)
    encoder = trainer.family.text_encoder
    assert getattr(encoder, "text_model", encoder).encoder.layers[0].mlp.fc1.weight.dtype is base
    assert trainer.family.unet.mid_block.attentions[0].proj_in.weight.dtype is base
    assert vectors(trainer)["text_encoder"].dtype is new and len(recorder.losses) == 3


def test_nothing_learnt_is_an_error(tmp_path):
    with pytest.raises(TrainingFailed, match="in the text encoder no weight has changed. Is the learning rate too"):
        learn_word(tmp_path, learning_rate=1e-60)


def test_a_word_is_spelt_wherever_it_stands():
    word = NewWord("<Cat>", 3)
    assert [text for text in ("a <cat>", "the<CAT>s", "cat") if word.is_in(text)] == ["a <cat>", "the<CAT>s"]
    whole = ("My-Cat", "(my-cat:1.2)", "my-cat_(style)", "黒いmy-catの")
    assert [text for text in (*whole, "my-cats", "my-cat2") if NewWord("my-cat").is_in(text)] == [*whole]
    family = tiny_family()
    plain = family.tokenizers
    family.add_word(word, family.first_vectors("dog", 3, 0))
    tokens = family.tokenize(["a <cat>, dog", "a (<cat>:1.2)"], TextSettings(), weighted=True)
    new = [49408, 49409, 49410]
    assert tokens["tokens_BL"][0, :8].tolist() == [49406, 320, *new, 267, 1929, 49407]
    assert tokens["weights_BL"][1, :6].tolist() == pytest.approx([1.0, 1.0, 1.2, 1.2, 1.2, 1.0])
    assert family.token_count("<cat>") == 3 and len(plain[0]) == 49408
    # What ends a text is found by its token, not by the highest number.
    family.text_encoder.eos_token_id = 2
    assert family.add_word(NewWord("xyzzq"), family.first_vectors(None, 1, 0)) and family.token_count("xyzzq") == 1
    assert family.text_encoder.eos_token_id == 49407
    # A word may be one that the vocabulary has, and begin as another one does; of two that are spelt the same, the
    # last one counts.
    for text in ("cat", "cat-hat", "CAT"):
        family.add_word(NewWord(text), family.first_vectors(None, 1, 0))
    tokens = family.tokenize(["cat cats cat-hat <cat>"], TextSettings())["tokens_BL"][0, 1:8].tolist()
    assert tokens == [49414, 3989, 49413, *new, 49407]
