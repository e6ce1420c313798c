"""The networks of kohya_ss's settings: a kind by its name, and many fields that are arguments of the network."""

from typing import Any

from kohya_gui.importing.taker import Taker, is_off, table
from kohya_gui.words import say


def take_network(taker: Taker, settings: dict[str, Any], given: Any) -> None:
    """The kind of network, with its arguments from all the fields that belong to it."""
    known = table("kohya_network")
    kind = known["kinds"].get(str(given))
    if taker.spec("network_module") is None:
        taker.leave("LoRA_type", given, say("import.group.lora"))
    elif kind is None:
        taker.leave("LoRA_type", given, say("import.no_network"))
    else:
        module = kind["module"]
        taker.take("network_module", module, "LoRA_type", say("import.now", flag="network_module"), given)
        arguments = [*kind.get("arguments", "").split(), *_arguments(settings, kind["fields"].split())]
        if arguments:
            taker.take("network_args", arguments, "network_args", say("import.from_fields"))


def take_argument(taker: Taker, settings: dict[str, Any], given: Any, key: str) -> None:
    """A field that is an argument of the network: it was taken with the kind, if that kind knows it."""
    kind = table("kohya_network")["kinds"].get(str(settings.get("LoRA_type")))
    if taker.spec("network_args") is None:
        _left_unless_off(taker, key, given, say("import.group.lora"))
    elif kind and key in kind["fields"].split():
        taker.unused(key, given, say("import.off" if is_off(given) else "import.part", flag="network_args"))
    else:
        _left_unless_off(taker, key, given, say("import.other_network"))


def take_rate(taker: Taker, settings: dict[str, Any], given: Any, key: str, other: str, alone: str) -> None:
    """The rate of a part of the network: 0 leaves the part out, where the other part has one."""
    if taker.spec(key) is None or not is_off(given):
        taker.take(key, given)
    elif is_off(settings.get(other)):
        taker.unused(key, given, say("import.zero"))
    else:
        taker.take(alone, True, key, say("import.named_switch", flag=alone), given)


def fields() -> set[str]:
    """The fields that are arguments of some network."""
    return {field for kind in table("kohya_network")["kinds"].values() for field in kind["fields"].split()}


def _arguments(settings: dict[str, Any], keys: list[str]) -> list[str]:
    """name=value of the fields that are set; lists of blocks lose their spaces."""
    renamed = table("kohya_network")["renamed"]
    given = {key: settings[key] for key in keys if not is_off(settings.get(key))}
    return [f"{renamed.get(key, key)}={str(value).replace(' ', '')}" for key, value in given.items()]


def _left_unless_off(taker: Taker, key: str, given: Any, why: str) -> None:
    if is_off(given):
        taker.unused(key, given, say("import.off"))
    else:
        taker.leave(key, given, why)
