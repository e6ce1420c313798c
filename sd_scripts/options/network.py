"""Options of networks (LoRA and its kin): what is trained beside a model that stays as it is."""

from dataclasses import dataclass
from typing import Annotated, Literal

from sd_scripts.options.method import TextStopOptions
from sd_scripts.options.spec import PathTo, Range, Unit


@dataclass(kw_only=True)
class NetworkOptions:
    """The network that is trained, and what it begins as."""

    network_module: str | None = None
    """Kind of network: networks.lora, lora_fa, dylora or oft, lycoris.kohya, or another package's module."""

    network_dim: Annotated[int | None, Range(low=1)] = None
    """Rank: how much the network can hold, and how large its file is. Empty: 4."""

    network_alpha: Annotated[float, Range(low=0.0, zero="as network_dim")] = 1
    """The network's change is scaled by this divided by the rank. 0: the same as the rank."""

    network_dropout: Annotated[float | None, Range(low=0.0, high=1.0)] = None
    """Share of the numbers within the network that are left out by lot in each step."""

    network_args: list[str] | None = None
    """Further arguments of the network, such as conv_dim=4 rank_dropout=0.1, or algo=loha of lycoris.kohya."""

    network_weights: Annotated[str | None, PathTo("file")] = None
    """A network's file to go on from: its weights in place of new ones."""

    dim_from_weights: bool = False
    """Take the ranks from network_weights instead of network_dim and network_args."""


@dataclass(kw_only=True)
class NetworkRateOptions(TextStopOptions):
    """Which parts of the network are trained, and how fast."""

    unet_lr: Annotated[float | None, Range(low=0.0, zero="not trained")] = None
    """Learning rate of the network's part in the U-Net. Empty: learning_rate. 0: there is no such part."""

    text_encoder_lr: Annotated[list[float] | None, Range(low=0.0, zero="not trained")] = None
    """Learning rate of its part in the text encoder; SDXL has two. Empty: learning_rate. 0: there is no such part."""

    network_train_unet_only: bool = False
    """The network has a part in the U-Net only."""

    network_train_text_encoder_only: bool = False
    """The network has a part in the text encoder only."""

    scale_weight_norms: Annotated[float | None, Range(low=0.0)] = None
    """After each step, changes of a layer that are larger than this norm are scaled down to it. 1 is usual."""


@dataclass(kw_only=True)
class FrozenBaseOptions:
    """The base model, which is not trained: what is merged into it first, and how it is held."""

    base_weights: Annotated[list[str] | None, PathTo("file")] = None
    """Files of networks that are merged into the base model before training; the new one learns what they lack."""

    base_weights_multiplier: list[float] | None = None
    """How strongly each of base_weights is merged. Empty: 1."""

    fp8_base_unet: bool = False
    """Keep the U-Net's weights in 8 bits, but not the text encoder's. Needs mixed_precision fp16 or bf16."""

    base_bits: Literal[8, 4] | None = None
    """Keep the whole base model's weights in 8 or 4 bits (bitsandbytes): less memory, a little less exact."""

    cpu_offload_checkpointing: bool = False
    """What gradient_checkpointing keeps of the U-Net waits in RAM: slower, with still less of the GPU's memory."""


@dataclass(kw_only=True)
class StartOptions:
    """Where counting begins when a training goes on without a state."""

    initial_epoch: Annotated[int | None, Range(low=1), Unit("epochs")] = None
    """Begin with this epoch (from 1): the ones before count as done. The learning rate begins there."""

    initial_step: Annotated[int | None, Range(low=0), Unit("steps")] = None
    """Begin with the epoch in which this step lies; wins over initial_epoch. The learning rate begins there."""

    skip_until_initial_step: bool = False
    """Begin within the epoch, after the pictures that came before initial_step."""


@dataclass(kw_only=True)
class NetworkFormatOptions:
    """The form of the saved files."""

    save_model_as: Literal["ckpt", "pt", "safetensors"] = "safetensors"
    """Format of the saved networks. Only .safetensors has a header that tells of the training."""


@dataclass(kw_only=True)
class NetworkHeaderOptions:
    """What the header of a saved network tells."""

    no_metadata: bool = False
    """Leave out how it was trained. What programs need to use it is written all the same."""

    training_comment: str | None = None
    """A remark for the header."""
