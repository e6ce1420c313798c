"""Models and networks of the kind that a tool is for."""

from dataclasses import dataclass

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.models.numbers import device_of
from sd_scripts.library.models.original import OriginalModel, open_original
from sd_scripts.library.networks.stored import BASE_TITLES, Base, StoredNetwork


@dataclass(frozen=True)
class Wanted:
    """The kind of model that a tool is told to expect, and the flags that tell it; without `xl_flag` the tool is for
    one kind, and `other_tool` is for the other."""

    sdxl: bool
    v2: bool = False
    v2_flag: str = "v2"
    xl_flag: str = ""
    other_tool: str = ""

    @property
    def base(self) -> Base:
        """The kind by its name."""
        return "sdxl" if self.sdxl else "sd"

    def check(self, model: OriginalModel) -> None:
        """Raises BadOption or BadFile for a model of another kind."""
        is_xl = model.kind == "sdxl"
        title = "an SDXL model" if is_xl else f"a Stable Diffusion {model.kind[-1]} model"
        if is_xl != self.sdxl and self.xl_flag:
            advice = "add" if is_xl else "leave out"
            raise BadOption(self.xl_flag, f"{model.path} is {title}: {advice} --{self.xl_flag}.")
        if is_xl != self.sdxl:
            advice = f"Use {self.other_tool}" if self.other_tool else "Choose another model"
            raise BadFile(f"{model.path} is {title}, and this tool is for {BASE_TITLES[self.base]}. {advice}.")
        if not is_xl and (model.kind == "sd2") != self.v2:
            advice = "leave out" if self.v2 else "add"
            raise BadOption(self.v2_flag, f"{model.path} is {title}: {advice} --{self.v2_flag}.")


def opened(name: str, wanted: Wanted, device_option: str = "", device: str | None = None) -> OriginalModel:
    """A model of the kind that is asked for. Errors: BadOption, BadFile."""
    model = open_original(name, device_of(device_option, device))
    wanted.check(model)
    return model


def check_base(network: StoredNetwork, base: Base) -> None:
    """Raises BadFile for a network of the other kind of model."""
    if network.base != base:
        kinds = f"{network.path} is for {BASE_TITLES[network.base]}, and this tool is for {BASE_TITLES[base]}"
        raise BadFile(f"{kinds}. Choose another network.")
