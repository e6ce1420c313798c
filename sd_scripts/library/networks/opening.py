"""Models and networks of the kind that a tool is for."""

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.headers import check_version
from sd_scripts.library.models.original import OriginalModel, open_original
from sd_scripts.library.networks import asked
from sd_scripts.library.networks.numbers import device_of
from sd_scripts.library.networks.stored import StoredNetwork


def opened(
    option: str, name: str, sdxl: bool | None, v2: bool, device_option: str = "", device: str | None = None
) -> OriginalModel:
    """A model of the kind that is asked for. Errors: BadOption, BadFile."""
    model = open_original(asked.given(option, name), device_of(device_option, device))
    if sdxl is not None and (model.kind == "sdxl") != sdxl:
        raise BadFile(f"{model.path} {_OTHER_KIND[model.kind == 'sdxl']}")
    if not sdxl:
        check_version(model.path, model.kind, v2)
    return model


_OTHER_KIND = {
    True: "is an SDXL model. Use networks/sdxl_merge_lora.py for merging, and --sdxl or --is_sdxl where there is such.",
    False: "is no SDXL model. Use networks/merge_lora.py for merging, and leave out --sdxl or --is_sdxl elsewhere.",
}


def check_family(network: StoredNetwork, sdxl: bool | None) -> None:
    """Raises BadFile for a network of the other kind of model."""
    if sdxl is not None and (network.base == "sdxl") != sdxl:
        ours, theirs = ("SDXL", "Stable Diffusion 1 or 2") if sdxl else ("Stable Diffusion 1 or 2", "SDXL")
        tool = "networks/merge_lora.py" if sdxl else "networks/sdxl_merge_lora.py"
        raise BadFile(f"{network.path} is for {theirs}, and this is for {ours}. Merge it with {tool}.")
