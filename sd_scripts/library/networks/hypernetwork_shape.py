"""What the modules of a hypernetwork consist of, as the field's files say it. Needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_LAYERS = (1.0, 2.0, 1.0)
DEFAULT_DROPOUT = 0.3


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of every module of a hypernetwork.

    `layers`: the width before the first and after each layer, in multiples of the context's width. `dropout`: the share
    that is left out after each of them, of the same length. `activate_output`: the last layer has an activation too.
    `initialisation`: how its weights were drawn.
    """

    layers: tuple[float, ...] = DEFAULT_LAYERS
    activation: str = "linear"
    activate_output: bool = False
    layer_norm: bool = False
    dropout: tuple[float, ...] = (0.0, 0.0, 0.0)
    initialisation: str = "Normal"

    def facts(self) -> dict[str, Any]:
        """The keys of a file that say so."""
        return {
            "layer_structure": [int(times) if times == int(times) else times for times in self.layers],
            "activation_func": self.activation,
            "is_layer_norm": self.layer_norm,
            "weight_initialization": self.initialisation,
            "activate_output": self.activate_output,
            "use_dropout": any(self.dropout),
            "dropout_structure": list(self.dropout),
            "last_layer_dropout": self.dropout[-2] != 0,
        }


def shape_of(facts: Mapping[str, Any]) -> Shape:
    """The shape that a file's keys tell; what older files lack is as it was then.

    Errors: ValueError, TypeError, where a value is none that a shape may have.
    """
    layers = tuple(float(times) for times in facts.get("layer_structure") or DEFAULT_LAYERS)
    dropout = facts.get("dropout_structure")
    if dropout is None:
        dropout = dropout_of(len(layers), facts.get("use_dropout") is True, facts.get("last_layer_dropout") is True)
    shape = Shape(
        layers=layers,
        activation=str(facts.get("activation_func") or "linear").lower(),
        activate_output=bool(facts.get("activate_output", True)),
        layer_norm=bool(facts.get("is_layer_norm", False)),
        dropout=tuple(float(share) for share in dropout),
        initialisation=str(facts.get("weight_initialization") or "Normal"),
    )
    check_shape(shape)
    return shape


def check_shape(shape: Shape) -> None:
    """Errors: ValueError, a sentence's end that says what `layers` or `dropout` must be."""
    if len(shape.layers) < 2 or shape.layers[0] != 1 or shape.layers[-1] != 1:
        raise ValueError("layer_structure begins and ends with 1, such as 1 2 1")
    if not all(0 < times < float("inf") for times in shape.layers):
        raise ValueError("layer_structure has numbers above 0 only, such as 1 2 1")
    if len(shape.dropout) != len(shape.layers):
        raise ValueError("dropout_structure has as many numbers as layer_structure")
    if shape.dropout[0] or shape.dropout[-1] or not all(0 <= share < 1 for share in shape.dropout):
        raise ValueError("dropout_structure begins and ends with 0, and has shares below 1 between, such as 0 0.1 0")


def dropout_of(count: int, use_dropout: bool, last_layer: bool) -> tuple[float, ...]:
    """The shares that AUTOMATIC1111's two switches stand for: 0.3 within, and after the last but one if asked for."""
    if not use_dropout or count < 3:
        return (0.0,) * count
    return (0.0, *(DEFAULT_DROPOUT,) * (count - 3), DEFAULT_DROPOUT if last_layer else 0.0, 0.0)
