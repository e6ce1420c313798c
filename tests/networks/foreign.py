"""A network module as another package has it: it looks for layers itself, and changes their forward."""

import torch
from safetensors.torch import load_file, save_file
from torch import nn


class Shift(nn.Module):
    """Adds a trained vector to what a layer gives."""

    def __init__(self, lora_name, layer, strength):
        super().__init__()
        self.lora_name, self.strength = lora_name, strength
        self.shift = nn.Parameter(torch.zeros(layer.out_features))
        self.inner = [layer, layer.forward]

    def apply_to(self):
        self.inner[0].forward = lambda x: self.inner[1](x) + self.shift * self.strength


class ShiftNetwork(nn.Module):
    def __init__(self, unet, arguments):
        super().__init__()
        self.arguments = arguments
        layers = [(name, module) for name, module in unet.named_modules() if name.endswith("to_q")]
        strength = float(arguments.get("strength", 1))
        self.unet_loras = [Shift(name.replace(".", "_"), module, strength) for name, module in layers]
        self.text_encoder_loras = []

    def apply_to(self, text_encoder, unet, apply_text_encoder=True, apply_unet=True):
        for lora in self.unet_loras:
            lora.apply_to()
            self.add_module(lora.lora_name, lora)

    def prepare_optimizer_params(self, text_encoder_lr, unet_lr, learning_rate):
        return [{"params": self.parameters()}]

    def load_weights(self, file):
        return self.load_state_dict(load_file(file), False)

    def save_weights(self, file, dtype, metadata):
        save_file({name: tensor.to(dtype) for name, tensor in self.state_dict().items()}, file, metadata)


def create_network(multiplier, network_dim, network_alpha, vae, text_encoder, unet, neuron_dropout=None, **kwargs):
    return ShiftNetwork(unet, kwargs)


def create_network_from_weights(multiplier, file, vae, text_encoder, unet, weights_sd=None, **kwargs):
    return ShiftNetwork(unet, kwargs), load_file(file)
