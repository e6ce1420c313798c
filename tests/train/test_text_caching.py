"""Captions encoded once, in memory and on disk: training is the same, and files are not used where they do not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.text_files import outputs_path, places_of
from tests.networks.tiny import train_network
from tests.train.tiny import TEXTS, tiny_data, tiny_family, train
from tests.train.tiny_db import train_db
from tests.train.tiny_sdxl import tiny_sdxl, train_sdxl

STEPS = {"max_train_steps": 2, "train_batch_size": 2}
DISK = {"cache_text_encoder_outputs_to_disk": True}


def counting():
    """A family that counts how often it encodes texts."""
    family, read = tiny_sdxl(), []
    encode = family.encode_text
    family.encode_text = lambda tokens, settings: (read.append(tokens), encode(tokens, settings))[1]
    return family, read


def with_folder(folder, count=2):
    """Tiny data whose pictures lie in a folder."""
    data = tiny_data(count)
    folder.mkdir(exist_ok=True)
    for index, picture in enumerate(data.pictures):
        moved = replace(picture.image, path=folder / f"{index}.png")
        data.pictures[index] = replace(picture, image=moved)
    data.images = [picture.image for picture in data.pictures]
    return data


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return train_sdxl(tmp_path_factory.mktemp("plain"), data=tiny_data(2), **STEPS)[1].losses


def test_in_memory_all_is_encoded_before_training(tmp_path, plain):
    family, read = counting()
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat --w 64 --h 64 --s 1\n", encoding="utf-8")
    sampling = {"sample_prompts": str(prompts), "sample_every_n_steps": 2}
    trainer, recorder = train_sdxl(
        tmp_path, family, tiny_data(2), **STEPS, **sampling, cache_text_encoder_outputs=True, caption_dropout_rate=0.0
    )
    assert recorder.losses == plain
    assert [event.name for event in recorder.of("phase")][0] == "cache_texts"
    # Two captions, the sample's prompt and its empty negative one.
    assert len(read) == 4 and trainer.texts._resting
    assert len(recorder.of("sample")) == 1


def test_dropped_captions_are_encoded_when_they_come(tmp_path):
    dropped = {"caption_dropout_rate": 1.0}
    _, without = train_sdxl(tmp_path, data=tiny_data(2), **STEPS, **dropped)
    _, kept = train_sdxl(tmp_path, data=tiny_data(2), **STEPS, **dropped, cache_text_encoder_outputs=True)
    assert kept.losses == without.losses


def test_files_are_written_and_used_again(tmp_path, plain):
    _, recorder = train_sdxl(tmp_path, data=with_folder(tmp_path / "pics"), **STEPS, **DISK)
    assert recorder.losses == plain
    files = [tmp_path / "pics" / f"{index}_te_outputs.npz" for index in range(2)]
    with np.load(files[1]) as arrays:
        assert (arrays["hidden_state1"].shape, arrays["hidden_state2"].shape) == ((77, 16), (77, 24))
        assert arrays["pool2"].shape == (24,) and str(arrays["caption"]) == TEXTS[1]
    times = [file.stat().st_mtime_ns for file in files]
    family, read = counting()
    _, again = train_sdxl(tmp_path, family, with_folder(tmp_path / "pics"), **STEPS, **DISK)
    assert again.losses == plain and "is on disk already" in again.said
    # One text tells what the outputs are called.
    assert len(read) == 1 and [file.stat().st_mtime_ns for file in files] == times


def test_files_that_do_not_fit_are_made_anew(tmp_path, plain):
    folder = tmp_path / "pics"
    train_sdxl(tmp_path, data=with_folder(folder), **STEPS, **DISK)
    data = with_folder(folder)
    changed = replace(data.pictures[0].image, text="another text")
    data.pictures[0] = replace(data.pictures[0], image=changed)
    _, recorder = train_sdxl(tmp_path, data=data, **STEPS, **DISK)
    assert "Encoding the captions of 1 picture" in recorder.said and recorder.losses != plain
    _, long = train_sdxl(tmp_path, data=data, **STEPS, **DISK, max_token_length=150)
    assert "Encoding the captions of 2 pictures" in long.said
    _, other = train_sdxl(tmp_path, tiny_sdxl(seed=1), data, **STEPS, **DISK, max_token_length=150)
    assert "Encoding the captions of 2 pictures" in other.said
    (folder / "1_te_outputs.npz").write_bytes(b"PK broken")
    _, broken = train_sdxl(tmp_path, tiny_sdxl(seed=1), data, **STEPS, **DISK, max_token_length=150)
    assert "Encoding the captions of 1 picture" in broken.said


def test_files_of_other_programs_are_read(tmp_path):
    """They say nothing of what they were made from."""
    data = with_folder(tmp_path / "pics")
    for image in data.images:
        zeros = {"hidden_state1": (77, 16), "hidden_state2": (77, 24), "pool2": (24,)}
        np.savez(outputs_path(image.path), **{name: np.zeros(shape, np.float32) for name, shape in zeros.items()})
    trainer, recorder = train_sdxl(tmp_path, data=data, **STEPS, **DISK)
    assert "is on disk already" in recorder.said
    assert not any(tensor.any() for tensor in trainer.texts.outputs_of(TEXTS[0]).values())


def test_one_file_holds_one_caption(tmp_path):
    a, b = tmp_path / "a.png", tmp_path / "a.jpg"
    assert places_of([(a, "one"), (a, "one")]) == {"one": [outputs_path(a)]}
    with pytest.raises(BadOption, match="two captions, or shares its name"):
        places_of([(a, "one"), (b, "two")])


def test_outputs_do_not_depend_on_their_batch(plain, tmp_path):
    trainer, _ = train_sdxl(tmp_path, data=tiny_data(2), **STEPS)
    together = trainer.texts.encode(TEXTS[:2])
    for index, text in enumerate(TEXTS[:2]):
        for name, tensor in trainer.texts.outputs_of(text).items():
            torch.testing.assert_close(tensor, together[name][index], rtol=1e-4, atol=1e-6)


TRAINERS = {
    "fine_tune": (train, {}),
    "train_network": (train_network, {"network_train_unet_only": True}),
    "train_db": (train_db, {"stop_text_encoder_training": 0}),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder of two pictures whose captions fine_tune.py has encoded for Stable Diffusion 1."""
    folder = tmp_path_factory.mktemp("shared") / "pics"
    _, recorder = train(folder.parent, data=with_folder(folder), **STEPS, **DISK)
    assert "Encoding the captions of 2 pictures" in recorder.said
    return folder


@pytest.mark.parametrize("name", TRAINERS)
def test_all_methods_share_what_is_kept(name, shared, tmp_path):
    run, frozen = TRAINERS[name]
    _, without = run(tmp_path, data=tiny_data(2), **STEPS, **frozen)
    _, memory = run(tmp_path, data=tiny_data(2), **STEPS, **frozen, cache_text_encoder_outputs=True)
    _, disk = run(tmp_path, data=with_folder(shared), **STEPS, **frozen, **DISK)
    assert without.losses == memory.losses == disk.losses
    assert "is on disk already" in disk.said
    assert sorted(file.name for file in shared.glob("*.npz")) == ["0_sd1_te_outputs.npz", "1_sd1_te_outputs.npz"]


def test_families_and_settings_are_told_apart(shared, tmp_path):
    times = [file.stat().st_mtime_ns for file in sorted(shared.glob("*_sd1_*"))]
    train_sdxl(tmp_path, data=with_folder(shared), **STEPS, **DISK)
    assert len(list(shared.glob("*_te_outputs.npz"))) == 4
    assert [file.stat().st_mtime_ns for file in sorted(shared.glob("*_sd1_*"))] == times
    for values in ({"clip_skip": 2}, {"weighted_captions": True}, {"family": tiny_family(seed=1)}):
        _, recorder = train(tmp_path, data=with_folder(shared), **STEPS, **DISK, **values)
        assert "Encoding the captions of 2 pictures" in recorder.said, values
