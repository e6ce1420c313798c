"""Samples that are drawn at once: each is what it is alone, and nothing else is seen of it but the time."""

import pytest
import torch
from accelerate import Accelerator

from sd_scripts.library.errors import BadFile
from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.train.artist import Artist, Sketch, batches
from sd_scripts.library.train.batches import Encoder
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.output_place import OutputPlace
from sd_scripts.library.train.prompts import Prompt
from sd_scripts.library.train.sampling import Samples, evaluating
from sd_scripts.library.train.texts import Texts
from sd_scripts.options.training import SampleOptions
from tests.train.tiny import Recorder, tiny_family, train

# diffusers' Euler schedulers hand torch tensors to numpy in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

# Of pixels in -1 to 1: half a level of a PNG is 0.004. Processors sum larger batches in another order.
ROUNDING = 1e-3


def prompt(text="a cat", side=64, steps=2, **values):
    return Prompt(text, width=side, height=side, sample_steps=steps, **values)


def artist_of(family, fixed=False, max_tokens=75):
    accelerator = Accelerator(cpu=True)
    texts = Texts(family, TextSettings(max_tokens=max_tokens), accelerator, trained=False, keep=False, fixed=fixed)
    return Artist(family, texts, Encoder(family, accelerator, True), accelerator, 1)


def prompts_file(folder, lines):
    file = folder / "prompts.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    return str(file)


class Drawn:
    """Samples of a tiny model, drawn into a folder."""

    def __init__(self, folder, lines, **values):
        self.family, self.recorder = tiny_family(), Recorder()
        self.options = SampleOptions(sample_prompts=prompts_file(folder, lines), **values)
        self.rows = []
        own = self.family.predict

        def predict(noisy_BCHW, timesteps_B, conditions):
            self.rows.append(len(noisy_BCHW))
            self.before(len(noisy_BCHW))
            return own(noisy_BCHW, timesteps_B, conditions)

        self.family.predict = predict
        place = OutputPlace(folder / "out")
        self.samples = Samples(self.options, place, "X", [], self.recorder.report)

    def before(self, rows):
        """What happens before each prediction."""

    def draw(self):
        return self.samples.draw(artist_of(self.family), "000001", Place(1))

    @property
    def told(self):
        return [event.index for event in self.recorder.of("sample")]


SMALL = "--w 64 --h 64 --s 1"


@pytest.mark.parametrize("sampler", ["ddim", "euler_a", "dpm_2_a", "pndm"])
def test_a_picture_is_the_same_alone_and_in_a_batch(sampler):
    long = ", ".join(["a very long word"] * 40)
    prompts = [
        prompt("a (red:1.4) cat", negative_prompt="rain", steps=4),
        prompt(long, scale=3.0, steps=4),
        prompt("a dog", negative_prompt=long, scale=12.0, steps=4),
    ]
    sketches = [Sketch(number, one, sampler, 5 + number) for number, one in enumerate(prompts)]
    artist = artist_of(tiny_family(), max_tokens=150)
    with evaluating([artist.family.unet, artist.family.text_encoder]):
        together = [artist.decode(latents_CHW) for latents_CHW in artist.draw(sketches)]
        alone = [artist.decode(artist.draw([sketch])[0]) for sketch in sketches]
    for one, other in zip(together, alone, strict=True):
        assert torch.allclose(one, other, atol=ROUNDING)
    assert (together[0] - together[1]).abs().max() > 100 * ROUNDING


def test_what_goes_with_each_other_is_drawn_at_once():
    kinds = [prompt(), prompt(side=72), prompt(scale=1.0), prompt(steps=3), prompt(scale=2.0), prompt(scale=0.5)]
    sketches = [Sketch(number, one, "ddim", 1) for number, one in enumerate([*kinds, prompt(), prompt()])]
    sketches.append(Sketch(8, prompt(), "euler", 1))
    found = [[sketch.index for sketch in batch] for batch in batches(sketches, 3)]
    assert found == [[0, 4, 6], [1], [2, 5], [3], [7], [8]]


def test_pictures_are_told_in_the_order_of_their_prompts(tmp_path):
    large = "--w 72 --h 64 --s 1"
    drawn = Drawn(tmp_path, [f"a {SMALL}", f"b {large}", f"c {SMALL}", f"d {large}", f"e {SMALL}"])
    drawings = drawn.draw()
    assert drawn.rows == [6, 4]
    assert drawn.told == [0, 1, 2, 3, 4] == [one.index for one in drawings]
    assert [one.path.name[:11] for one in drawings] == [f"X_000001_0{index}" for index in range(5)]
    assert all(one.path.is_file() for one in drawings)


def test_a_stop_ends_after_the_batch_and_what_is_drawn_is_kept(tmp_path):
    drawn = Drawn(tmp_path, [f"a {SMALL}", f"b {SMALL} --ss euler", f"c {SMALL}", f"d {SMALL}"], sample_batch_size=2)
    drawn.before = lambda rows: drawn.recorder.report.ask("stop")
    assert [one.index for one in drawn.draw()] == [0, 2] == drawn.told
    assert len(list((tmp_path / "out" / "sample").iterdir())) == 2


def test_half_as_many_where_memory_runs_out(tmp_path):
    drawn = Drawn(tmp_path, [*[f"a {SMALL}"] * 8, "b --w 72 --h 64 --s 1"], sample_batch_size=8)

    def before(rows):
        if rows > 6:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    drawn.before = before
    drawn.draw()
    drawn.draw()
    assert drawn.told == [*range(9)] * 2
    assert drawn.rows == [16, 8, 4, 4, 4, 4, 2, 4, 4, 4, 4, 2]
    said = [event.text for event in drawn.recorder.of("notice")]
    assert [text[-22:] for text in said] == ["--sample_batch_size 4.", "--sample_batch_size 2."]
    assert said[0].startswith("Memory ran out while 8 samples of 64 x 64 px were drawn at once.")


def test_memory_that_one_picture_lacks_is_an_error(tmp_path):
    drawn = Drawn(tmp_path, [f"a {SMALL}"] * 2)

    def before(rows):
        raise RuntimeError("out of memory")

    drawn.before = before
    with pytest.raises(RuntimeError, match="out of memory"):
        drawn.draw()
    assert drawn.rows == [4, 2]


def test_what_was_drawn_before_an_error_is_written_and_told(tmp_path):
    drawn = Drawn(tmp_path, [f"a {SMALL}"] * 2, sample_batch_size=1)

    def before(rows):
        if len(drawn.rows) == 2:
            raise RuntimeError("another fault")

    drawn.before = before
    with pytest.raises(RuntimeError, match="another fault"):
        drawn.draw()
    assert drawn.told == [0] and len(list((tmp_path / "out" / "sample").iterdir())) == 1


def test_a_picture_that_cannot_be_written_ends_the_drawing(tmp_path):
    drawn = Drawn(tmp_path, [f"a {SMALL}"] * 2)
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(BadFile, match=r"Cannot write .*X_000001_00_"):
        drawn.draw()
    assert drawn.told == []


@pytest.mark.parametrize(("fixed", "times"), [(True, 2), (False, 3)])
def test_what_frozen_encoders_make_of_prompts_is_kept(fixed, times):
    family, seen = tiny_family(), []
    own = family.encode_text
    family.encode_text = lambda tokens, settings: seen.append(1) or own(tokens, settings)
    artist = artist_of(family, fixed)
    with evaluating([family.unet, family.text_encoder]):
        first, _, last = (artist.draw([Sketch(0, prompt(), "ddim", 1)]) for _ in range(3))
    # A prompt and its negative each once for all drawings, or both together for each.
    assert len(seen) == times and torch.equal(first, last)


def test_prompts_of_encoders_that_learn_are_encoded_each_time(tmp_path):
    file = prompts_file(tmp_path, [f"a cat {SMALL}"])
    once = {"sample_prompts": file, "sample_at_first": True, "max_train_steps": 1}
    learning, frozen = (train(tmp_path, text=text, **once)[0] for text in (True, False))
    assert set(frozen.texts._prompts) == {"", "a cat"} and not learning.texts._prompts
