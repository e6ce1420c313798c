"""A small real family of diffusers' and transformers' classes, and training data in memory."""

import io
import json
import random
from pathlib import Path

import torch

from sd_scripts.library.data.training_data import Example, Item, TrainImage
from sd_scripts.library.report import Report
from sd_scripts.library.seeds import derive
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import from_values


class TinyFamily:
    """SD1 in small: one block of each kind, 16 text dimensions."""

    name = "sd1"
    source_format = "safetensors"
    prediction_type = "epsilon"
    latent_scale = 0.18215

    def __init__(self, seed=0):
        from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
        from transformers import CLIPTextConfig, CLIPTextModel

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.unet = UNet2DConditionModel(
                sample_size=8, in_channels=4, out_channels=4, block_out_channels=(32, 32), layers_per_block=1,
                down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                cross_attention_dim=16, attention_head_dim=4,
            )  # fmt: skip
            self.vae = AutoencoderKL(
                block_out_channels=(32, 32, 32, 32), latent_channels=4, down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
            )  # fmt: skip
            config = CLIPTextConfig(
                vocab_size=1000, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                bos_token_id=998, eos_token_id=999,
            )  # fmt: skip
            self.text_encoder = CLIPTextModel(config)
        self.tokenizer = None
        self.scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
        self.attention = None
        self.saved = []

    def tokenize(self, texts, settings):
        rows = [[998, *(derive(0, word) % 998 for word in text.split()[:75])] for text in texts]
        return torch.tensor([row + [999] * (77 - len(row)) for row in rows])

    def token_count(self, text):
        return len(text.split())

    def encode_text(self, tokens_BL, settings):
        return self.text_encoder(tokens_BL).last_hidden_state

    def encode_images(self, pixels_BCHW, generator=None):
        return self.vae.encode(pixels_BCHW).latent_dist.sample(generator)

    def decode_latents(self, latents_BCHW):
        return self.vae.decode(latents_BCHW).sample

    def add_noise(self, latents_BCHW, noise_BCHW, timesteps_B):
        return self.scheduler.add_noise(latents_BCHW, noise_BCHW, timesteps_B)

    def predict(self, noisy_BCHW, timesteps_B, hidden_BLD):
        return self.unet(noisy_BCHW, timesteps_B, hidden_BLD).sample

    def target(self, latents_BCHW, noise_BCHW, timesteps_B):
        return noise_BCHW

    def use_attention(self, kind):
        self.attention = kind

    def use_gradient_checkpointing(self):
        self.unet.enable_gradient_checkpointing()
        self.text_encoder.activation_checkpointing_enable()

    def sampling_scheduler(self, sampler):
        from diffusers import DDIMScheduler, EulerAncestralDiscreteScheduler

        kinds = {"ddim": DDIMScheduler, "euler_a": EulerAncestralDiscreteScheduler}
        return kinds[sampler].from_config(self.scheduler.config)

    def save(self, request):
        from safetensors.torch import save_file

        path = request.path.with_name(request.path.name + ".safetensors")
        path.parent.mkdir(exist_ok=True)
        tensors = {}
        for part in ("unet", "text_encoder", "vae"):
            state = getattr(self, part).state_dict()
            tensors |= {f"{part}.{name}": tensor.contiguous() for name, tensor in state.items()}
        save_file(tensors, path, metadata=request.metadata)
        return path


class MemoryData:
    """Latents (or pixels) in memory, in buckets of one size."""

    def __init__(self, count=4, side=8, pixels=False, shapes=None):
        shapes = shapes or [(side, side)] * count
        texts = ["a red cat", "a blue dog, sitting", "one tree", "two houses", "a boat", "rain", "snow", "wind"]
        self.images = [
            TrainImage(f"picture{i}", Path(f"picture{i}.png"), texts[i % 8], (w * 8, h * 8))
            for i, (h, w) in enumerate(shapes)
        ]
        generator = torch.Generator().manual_seed(7)
        self.latents = [torch.randn(4, h, w, generator=generator) * 5 for h, w in shapes]
        self.pixels = [torch.rand(3, h * 8, w * 8, generator=generator) * 2 - 1 for h, w in shapes] if pixels else None

    def plan(self, epoch, batch_size, seed):
        order = random.Random(derive(seed, "order", epoch))
        buckets = {}
        for number, image in enumerate(self.images):
            buckets.setdefault(image.bucket_px, []).append(Item(number, 0))
        batches = []
        for items in buckets.values():
            order.shuffle(items)
            batches += [items[i : i + batch_size] for i in range(0, len(items), batch_size)]
        order.shuffle(batches)
        return batches

    def caption(self, item, epoch, seed):
        return self.images[item.image].text

    def load(self, item, epoch, seed):
        latents = None if self.pixels else self.latents[item.image]
        pixels = self.pixels[item.image] if self.pixels else None
        return Example(item, self.caption(item, epoch, seed), latents, pixels)


def options(folder, **values):
    """Options of fine_tune.py with the paths filled in."""
    metadata = Path(folder) / "meta_lat.json"
    metadata.write_text(json.dumps({"picture0": {"caption": "a red cat"}}))
    given = {
        "pretrained_model_name_or_path": "base.safetensors",
        "in_json": str(metadata),
        "output_dir": str(Path(folder) / "out"),
        "output_name": "X",
        "max_train_steps": 3,
        "learning_rate": 1e-3,
        "seed": 1,
        "max_data_loader_n_workers": 0,
    }
    return from_values(FineTuneOptions, given | values)


class Recorder:
    """A report whose events are kept."""

    def __init__(self):
        self.out = io.StringIO()
        self.report = Report(out=self.out)
        self.events = []
        self.report.emit = self.events.append

    def of(self, kind):
        return [event for event in self.events if event.event == kind]

    @property
    def losses(self):
        return [event.values["loss"] for event in self.of("metric")]

    @property
    def said(self):
        return self.out.getvalue()


def make_trainer(folder, family=None, data=None, text=False, **values):
    from sd_scripts.library.train.full import FullFineTune
    from sd_scripts.library.train.trainer import Trainer

    recorder = Recorder()
    data = data or MemoryData()
    trainer = Trainer(family or TinyFamily(), FullFineTune(text), data, options(folder, **values), recorder.report)
    return trainer, recorder


def train(folder, family=None, data=None, text=False, **values):
    """Trains to the end; (trainer, recorder)."""
    trainer, recorder = make_trainer(folder, family, data, text, **values)
    trainer.run()
    return trainer, recorder


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}
