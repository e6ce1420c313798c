"""LyCORIS's networks (LoHa, LoKr, (IA)^3, full, OFT, ...) from its package: --network_module lycoris.kohya.

The package makes the adapters. What is done here is what does not go together by itself: names of layers in files
(transformers has lost a level, SDXL's files have names of their own), presets for classes of another U-Net, files.
"""

import copy
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from lycoris.config import PRESET
from lycoris.config_sdk import PresetConfig, PresetValidationError
from lycoris.kohya import LycorisNetworkKohya
from lycoris.modules import get_module, make_module
from lycoris.modules.dylora import DyLoraModule
from lycoris.modules.full import FullModule
from lycoris.modules.ia3 import IA3Module
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.wrapper import network_module_dict
from torch import Tensor, nn

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.checkpoints import open_checkpoint
from sd_scripts.library.io.reading import parse_toml, read_text
from sd_scripts.library.io.usable import all_usable
from sd_scripts.library.models.adaptable import Adaptable, Blocks
from sd_scripts.library.networks.files import write_network
from sd_scripts.library.networks.groups import Groups, Share, parameter_groups
from sd_scripts.library.networks.lycoris_arguments import LycorisArguments, check_rank, read_lycoris
from sd_scripts.library.networks.network import Loaded
from sd_scripts.library.networks.plan import DEFAULT_ALPHA, DEFAULT_RANK

logging.getLogger("LyCORIS").setLevel(logging.WARNING)

_OPTION = "network_args"
_CLASSES = {"CrossAttention": "Attention", "SelfAttention": "Attention"}
"""Classes of sd-scripts' own U-Net as diffusers calls them."""
_NAMED_TOO = "TimestepEmbedding"
"""A class, for another model, of layers that the presets name for ours: adapted twice they are refused."""
_NOTHING: dict[str, Any] = {"unet_target_module": [], "unet_target_name": [], "text_encoder_target_module": []}
_ANEW: dict[str, Any] = {"module_algo_map": {}, "name_algo_map": {}, "use_fnmatch": False, "exclude_name": []}
"""What a preset leaves as the one before it had it: presets are put into a class."""


def check_arguments(given: Mapping[str, Any], blocks: Blocks, rank: int | None, alpha: float | None) -> None:
    """What can be said of --network_args before a model is loaded. Errors: BadOption."""
    asked = read_lycoris(given)
    check_rank(asked, rank or DEFAULT_RANK)
    _preset(asked.preset)


def create_network(
    multiplier: float,
    network_dim: int | None,
    network_alpha: float | None,
    vae: Any,
    text_encoder: Any,
    unet: Any,
    neuron_dropout: float | None = None,
    *,
    adaptable: Adaptable,
    **given: Any,
) -> "LycorisNetwork":
    """A network of the size that is asked for. `given`: --network_args as texts. Errors: BadOption."""
    asked = read_lycoris(given)
    rank, alpha = network_dim or DEFAULT_RANK, DEFAULT_ALPHA if network_alpha is None else network_alpha
    LycorisNetworkKohya.apply_preset(_ANEW | _preset(asked.preset))
    sizes = {
        "lora_dim": rank,
        "conv_lora_dim": rank if asked.conv_dim is None else asked.conv_dim,
        "alpha": alpha,
        "conv_alpha": alpha if asked.conv_alpha is None else asked.conv_alpha,
    }
    try:
        return LycorisNetwork(adaptable, text_encoder, unet, asked, multiplier=multiplier, **sizes, **_named(asked))
    except AssertionError as error:
        raise BadOption(_OPTION, f"--{_OPTION} preset={asked.preset} adapts a layer twice: {error}.") from error


def create_network_from_weights(
    multiplier: float,
    file: str,
    vae: Any,
    text_encoder: Any,
    unet: Any,
    weights_sd: dict[str, Tensor] | None = None,
    for_inference: bool = False,
    *,
    adaptable: Adaptable,
    **given: Any,
) -> "tuple[LycorisNetwork, dict[str, Tensor]]":
    """A network as a file has it, with the file's tensors. Errors: BadFile, BadOption."""
    tensors = _read(file) if weights_sd is None else weights_sd
    asked = read_lycoris(given)
    LycorisNetworkKohya.apply_preset(_ANEW | _NOTHING)
    network = LycorisNetwork(adaptable, text_encoder, unet, asked)
    network.fill(tensors, file)
    network.set_multiplier(multiplier)
    return network, tensors


class LycorisNetwork(LycorisNetworkKohya):
    """LyCORIS's network for our models."""

    def __init__(
        self, adaptable: Adaptable, text_encoder: Any, unet: Any, asked: LycorisArguments, **given: Any
    ) -> None:
        super().__init__(_with_text_model(text_encoder), unet, warn_on_unmatched=False, **given)
        self._asked = asked
        self._part_of = {layer.key: layer.part for layer in adaptable.layers}
        named = {adaptable.unet_key(name): module for name, module in unet.named_modules()}
        self._modules_by_key = named | {layer.key: layer.module for layer in adaptable.layers}
        keys = {id(module): key for key, module in self._modules_by_key.items()}
        for adapter in self.loras:
            adapter.lora_name = keys.get(id(adapter.org_module[0]), adapter.lora_name)

        self.ranks = {given["lora_dim"]} if given else set()
        self.alphas = {float(given["alpha"])} if given else set()

    def set_multiplier(self, multiplier: float) -> None:
        """How strongly the network changes the model."""
        for adapter in self.loras:
            adapter.multiplier = multiplier

    def fill(self, tensors: Mapping[str, Tensor], file: str) -> None:
        """Takes adapters as a file has them, in place of its own. Errors: BadFile."""
        for key in _keys(tensors, file):
            if key not in self._modules_by_key:
                sentence = f"is for another kind of model, which has layers that this one has not, such as {key}"
                raise BadFile(f"{file} {sentence}. Choose another.")
            adapter = _remade(tensors, key, self._modules_by_key[key], self._asked)
            (self.unet_loras if self._part(key) == "unet" else self.text_encoder_loras).append(adapter)
        self.loras = [*self.text_encoder_loras, *self.unet_loras]

    def load_weights(self, file: str) -> Loaded:
        """Takes a file's tensors in place of its own. Errors: BadFile, where they are of another kind or size."""
        tensors = _read(file)
        keys = set(_keys(tensors, file))
        own = {adapter.lora_name: adapter for adapter in self.loras}
        for key in keys & set(own):
            _load_into(own[key], _of(tensors, key), file)
        left_out = [name for name in tensors if name.split(".")[0] not in own]
        return Loaded([f"{key}.weight" for key in own if key not in keys], left_out, [])

    def merge_to(self, text_encoder: Any, unet: Any, weights_sd: dict[str, Tensor], dtype: Any, device: Any) -> None:
        """Puts the change of its tensors, which are in it already, into the model's own weights."""
        with torch.no_grad():
            for adapter in self.loras:
                adapter.merge_to(adapter.multiplier)

    def prepare_optimizer_params_with_multiple_te_lrs(
        self, text_encoder_lr: list[float] | None, unet_lr: float | None, default_lr: float
    ) -> Groups:
        """The optimizer's groups, each with its `name`. One rate for each text encoder, or one for all."""
        asked, rates = self._asked, text_encoder_lr or [default_lr]
        ratio = asked.loraplus_unet_lr_ratio or asked.loraplus_lr_ratio
        shares = [Share("unet", tuple(self.unet_loras), default_lr if unet_lr is None else unet_lr, ratio)]
        ratio = asked.loraplus_text_encoder_lr_ratio or asked.loraplus_lr_ratio
        for number, part in enumerate(dict.fromkeys(self._part(one.lora_name) for one in self.text_encoder_loras)):
            adapters = tuple(one for one in self.text_encoder_loras if self._part(one.lora_name) == part)
            shares.append(Share(part, adapters, rates[min(number, len(rates) - 1)], ratio))
        return parameter_groups(share for share in shares if share.adapters)

    def save_weights(self, file: str, dtype: torch.dtype | None, metadata: dict[str, str] | None) -> None:
        """Writes its tensors. Errors: BadFile."""
        write_network(file, self._file_tensors(), dtype, metadata or {})

    def _file_tensors(self) -> dict[str, Tensor]:
        whole = {adapter.lora_name: adapter for adapter in self.loras if isinstance(adapter, WholeModule)}
        tensors = {name: held for name, held in self.state_dict().items() if name.split(".")[0] not in whole}
        for key, adapter in whole.items():
            tensors |= {f"{key}.{name}": held for name, held in adapter.file_tensors().items()}
        return tensors

    def _part(self, key: str) -> str:
        return "unet" if key.startswith("lora_unet") else self._part_of.get(key, "text_encoder")


class NestedModule(DyLoraModule):
    """LyCORIS's DyLoRA, mended: it drew ranks by another generator than torch's and in samples too, its scale was not
    that of its file, and it could not read one."""

    def get_random_rank_weight(self) -> tuple[Tensor, Tensor, float]:
        """While training the first blocks of ranks, of which the last one learns; otherwise all of them."""
        last = int(torch.randint(self.block_count, ())) if self.training else self.block_count - 1
        down = torch.cat([*(block.detach() for block in self.down_list[:last]), self.down_list[last]])
        up = torch.cat([*(block.detach() for block in self.up_list[:last]), self.up_list[last]], 1)
        return down, up, float(self.alpha) / (self.block_size * (last + 1))

    def custom_state_dict(self) -> dict[str, Tensor]:
        """Its file's tensors, for convolutions with the window of one pixel that files of LoRA have."""
        tensors = super().custom_state_dict()
        window = (1,) * (len(self.shape) - 2)
        return tensors | {"lora_up.weight": tensors["lora_up.weight"].reshape(self.dim, -1, *window)}

    def load_weight_prehook(self, state_dict: dict[str, Tensor], prefix: str, *others: Any) -> None:
        """The two matrices of a file as the blocks that they are here."""
        if f"{prefix}lora_up.weight" not in state_dict:
            return
        ups = state_dict.pop(f"{prefix}lora_up.weight").flatten(1).split(self.block_size, 1)
        downs = state_dict.pop(f"{prefix}lora_down.weight").flatten(1).split(self.block_size)
        for number, (up, down) in enumerate(zip(ups, downs, strict=True)):
            state_dict[f"{prefix}up_list.{number}"], state_dict[f"{prefix}down_list.{number}"] = up, down


class WholeModule(FullModule):
    """LyCORIS's full, mended: a file's change was added to what had been loaded before it, and a state was a file's
    change too, which is not exactly the weights."""

    def custom_state_dict(self) -> None:
        """The weights themselves are what states hold."""

    def file_tensors(self) -> dict[str, Tensor]:
        """The change that files hold."""
        return FullModule.custom_state_dict(self)

    def load_weight_prehook(self, state_dict: dict[str, Tensor], prefix: str, *others: Any) -> None:
        """The weights that a file's change makes of the model's."""
        bases = {"diff": ("weight", self._org_weight), "diff_b": ("bias", self.org_bias)}
        for name, (own, base) in bases.items():
            if f"{prefix}{name}" in state_dict:
                change = state_dict.pop(f"{prefix}{name}")
                state_dict[f"{prefix}{own}"] = change if self.is_diff else change + base[0].to(change)


class _MergedOnce:
    """LyCORIS's LoHa and LoKr, mended: what they merge was scaled by alpha / r twice, what they train only once."""

    def get_diff_weight(self: Any, multiplier: float = 1, shape: Any = None, device: Any = None) -> tuple[Tensor, None]:
        """The change of the weight, as it is trained."""
        return (self.get_weight(shape) * self.scalar * multiplier).to(device), None


class HadamardModule(_MergedOnce, LohaModule):
    """LoHa."""


class KroneckerModule(_MergedOnce, LokrModule):
    """LoKr."""


_MENDED = {FullModule: WholeModule, LohaModule: HadamardModule, LokrModule: KroneckerModule}
network_module_dict.update(dylora=NestedModule, full=WholeModule, loha=HadamardModule, lokr=KroneckerModule)


def _read(file: str) -> dict[str, Tensor]:
    return all_usable(file, open_checkpoint(file).read())


def _with_text_model(text_encoder: Any) -> Any:
    """Text encoders under the names that presets and files have, with the level that transformers has lost."""
    if isinstance(text_encoder, list):
        return [_with_text_model(one) for one in text_encoder]
    return nn.ModuleDict({"text_model": getattr(text_encoder, "text_model", text_encoder)})


def _named(asked: LycorisArguments) -> dict[str, Any]:
    """The arguments as the package's network takes them."""
    return {
        "network_module": asked.algo,
        "use_tucker": asked.tucker,
        "constraint": asked.constraint or asked.constrain,
        "weight_decompose": asked.dora_wd,
        "wd_on_out": asked.wd_on_output,
        **{name: getattr(asked, name) for name in _AS_THEY_ARE},
    }


_AS_THEY_ARE = (
    "dropout", "rank_dropout", "module_dropout", "train_norm", "use_scalar", "block_size", "rescaled", "factor",
    "decompose_both", "full_matrix", "unbalanced_factorization", "bypass_mode", "rs_lora",
)  # fmt: skip


def _preset(name: str) -> dict[str, Any]:
    """Which layers are adapted, and how: a preset of the package, or of a file, for our classes. Errors: BadOption."""
    preset = copy.deepcopy(PRESET[name]) if name in PRESET else _read_preset(name)
    if name == "ia3":
        preset |= {key: _anywhere(preset[key]) for key in preset if key.endswith("_name") or key == "name_algo_map"}
    for key in ("unet_target_module", "text_encoder_target_module"):
        preset[key] = [_CLASSES.get(one, one) for one in preset.get(key, []) if one != _NAMED_TOO]
    preset["module_algo_map"] = {_CLASSES.get(k, k): v for k, v in preset.get("module_algo_map", {}).items()}
    return preset


def _anywhere(names: Any) -> Any:
    """Names as patterns that fit at the end of a path: the package looks for them at its beginning."""
    if isinstance(names, dict):
        return {rf".*\.{name}$": options for name, options in names.items()}
    return [rf".*\.{name}$" for name in names]


def _read_preset(path: str) -> dict[str, Any]:
    if not Path(path).is_file():
        sentence = f"there is no such preset and no such file. There are {', '.join(PRESET)}"
        raise BadOption(_OPTION, f"--{_OPTION} preset={path}: {sentence}.")
    try:
        preset = PresetConfig.from_dict(parse_toml(read_text(path)))
    except (OSError, ValueError, PresetValidationError) as error:
        raise BadOption(_OPTION, f"--{_OPTION} preset={path} cannot be read: {error}") from error
    return PRESET["full"] | preset.to_dict()


def _keys(tensors: Iterable[str], file: str) -> list[str]:
    """The layers that a file has tensors for. Errors: BadFile."""
    keys = list(dict.fromkeys(name.split(".")[0] for name in tensors if name.startswith(("lora_unet_", "lora_te"))))
    if not keys:
        raise BadFile(f"{file} is no LyCORIS file: it has no tensor named lora_unet_... or lora_te.... Choose another.")
    return keys


def _of(tensors: Mapping[str, Tensor], key: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{key}."): held for name, held in tensors.items() if name.startswith(f"{key}.")}


def _remade(tensors: Mapping[str, Tensor], key: str, layer: Any, asked: LycorisArguments) -> Any:
    """The adapter of one layer as a file has it."""
    kind, parameters = get_module(tensors, key)
    if kind is None:
        raise BadFile(f"{key} is of a kind that LyCORIS does not know: its tensors are {', '.join(_of(tensors, key))}.")
    if kind is IA3Module:
        # The package's own way takes one tensor and is given two.
        adapter = IA3Module(key, layer, train_on_input=bool(tensors[f"{key}.on_input"]))
    elif kind is LoConModule and asked.algo == "dylora":
        rank, alpha = len(tensors[f"{key}.lora_down.weight"]), float(tensors[f"{key}.alpha"])
        adapter = NestedModule(key, layer, 1.0, rank, alpha, block_size=asked.block_size)
    else:
        return make_module(_MENDED.get(kind, kind), parameters, key, layer)
    nn.Module.load_state_dict(adapter, _of(tensors, key), strict=False)
    return adapter


def _load_into(adapter: Any, tensors: dict[str, Tensor], file: str) -> None:
    try:
        found = nn.Module.load_state_dict(adapter, tensors, strict=False)
    except (RuntimeError, KeyError, ValueError) as error:
        text = f"{file} has another kind or rank in {adapter.lora_name}"
        raise BadFile(f"{text}: take the file's with --dim_from_weights.") from error
    if found.unexpected_keys:
        text = f"{file} is of another kind: {adapter.lora_name} has no {found.unexpected_keys[0]} here"
        raise BadFile(f"{text}. Take the file's with --dim_from_weights.")
