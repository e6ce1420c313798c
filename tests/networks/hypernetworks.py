"""Hypernetworks as formats.md says, in numpy and plain attention; and trainings of them beside a tiny model."""

import math

import numpy as np
import torch

from sd_scripts.options.spec import from_values
from sd_scripts.options.train_hypernetwork import TrainHypernetworkOptions
from tests.train.tiny import Recorder, brief, shown_as_asked, tiny_data, tiny_family

ERF = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def leaky(slope):
    return lambda x: np.where(x > 0, x, slope * x)


SELU = 1.0507009873554805, 1.6732632423543772
FORMULAS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leakyrelu": leaky(0.01),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: x * (1 + ERF(x / np.sqrt(2))) / 2,
    "hardshrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hardtanh": lambda x: np.clip(x, -1, 1),
    "logsigmoid": lambda x: -softplus(-x),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "prelu": leaky(0.25),
    "relu6": lambda x: np.clip(x, 0, 6),
    # Out of training its slope is the middle of 1/8 and 1/3.
    "rrelu": leaky(11 / 48),
    "selu": lambda x: SELU[0] * np.where(x > 0, x, SELU[1] * np.expm1(x)),
    "silu": lambda x: x * sigmoid(x),
    "softplus": softplus,
    "softshrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanhshrink": lambda x: x - np.tanh(x),
}


def changed(c, state, facts, strength):
    """c + mlp(c) * strength, from a module's state and the other keys of a file alone."""
    weights = {name: np.asarray(tensor, np.float64) for name, tensor in state.items()}
    x, entry, layers = c, 0, len(facts["layer_structure"]) - 1
    for layer in range(layers):
        x = x @ weights[f"linear.{entry}.weight"].T + weights[f"linear.{entry}.bias"]
        entry += 1
        if facts["activation_func"] != "linear" and (layer < layers - 1 or facts["activate_output"]):
            x = FORMULAS[facts["activation_func"]](x)
            entry += 1
        if facts["is_layer_norm"]:
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
            x = x * weights[f"linear.{entry}.weight"] + weights[f"linear.{entry}.bias"]
            entry += 1
        inner = layer < layers - 2 or (layer == layers - 2 and facts["last_layer_dropout"])
        entry += facts["use_dropout"] and inner
    return c + x * strength


class PlainAttention:
    """An attention processor of diffusers' that reads keys and values from what a file makes of the context."""

    def __init__(self, file, strength):
        self.file, self.strength = file, strength

    def read(self, context, number):
        pair = self.file.get(context.shape[-1])
        if pair is None:
            return context
        return torch.from_numpy(changed(context.double().numpy(), pair[number], self.file, self.strength)).float()

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        made = (attn.to_q(hidden_states), attn.to_k(self.read(context, 0)), attn.to_v(self.read(context, 1)))
        query, key, value = (attn.head_to_batch_dim(states) for states in made)
        mixed = torch.softmax(query @ key.transpose(1, 2) * attn.scale, dim=-1) @ value
        return attn.to_out[0](attn.batch_to_head_dim(mixed))


def hypernetwork_options(folder, **values):
    """Options of train_hypernetwork.py with the paths filled in."""
    given = {"pretrained_model_name_or_path": "base.safetensors", **brief(folder)}
    return from_values(TrainHypernetworkOptions, given | values)


def make_hypernetwork_trainer(folder, family=None, data=None, **values):
    from sd_scripts.library.train.hypernetwork_method import HypernetworkMethod
    from sd_scripts.library.train.trainer import Trainer

    recorder = Recorder()
    given = hypernetwork_options(folder, **values)
    data = shown_as_asked(data or tiny_data(), given)
    method = HypernetworkMethod(given, recorder.report)
    return Trainer(family or tiny_family(), method, data, given, recorder.report, given.start), recorder


def train_hypernetwork(folder, family=None, data=None, **values):
    """Trains to the end; (trainer, recorder)."""
    trainer, recorder = make_hypernetwork_trainer(folder, family, data, **values)
    trainer.run()
    return trainer, recorder
