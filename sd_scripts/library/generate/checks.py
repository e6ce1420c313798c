"""What must be true of the options before a model is loaded. Needs no torch."""

from collections.abc import Sequence
from pathlib import Path

from sd_scripts.library.errors import BadOption
from sd_scripts.library.generate.asked import read_asked
from sd_scripts.library.generate.plan import is_grid
from sd_scripts.library.io.fitting import check_embedding_file, check_hypernetwork_file, check_network_file
from sd_scripts.library.networks.lycoris_arguments import MODULE
from sd_scripts.options.gen_img import AddedOptions, GenImgOptions


def check_drawing(options: GenImgOptions) -> None:
    """Errors: BadOption."""
    model, speed, picture = options.model, options.speed, options.picture
    if not (options.model.ckpt or options.grid.grid):
        raise BadOption("ckpt", "--ckpt is needed: the model that draws.")
    read_asked(options.prompts)
    _check_one_of(("v1", model.v1), ("v2", model.v2), ("sdxl", model.sdxl))
    _check_one_of(("fp16", speed.fp16), ("bf16", speed.bf16))
    _check_one_of(("sdpa", speed.sdpa), ("xformers", speed.xformers), ("diffusers_xformers", speed.diffusers_xformers))
    check_added(options.added)
    _check_contents(options.added, model.ckpt)
    _check_files("grid", options.grid.grid)
    if options.grid.grid_multipliers and not (
        options.grid.grid or options.added.network_weights or options.added.hypernetwork_weights
    ):
        sentence = "there is nothing whose strength could differ. Name networks with --grid or --network_weights."
        raise BadOption("grid_multipliers", f"--grid_multipliers: {sentence}")
    if options.grid.grid_multipliers and options.added.network_merge and not options.grid.grid:
        raise BadOption("network_merge", "--network_merge fixes strengths: it does not go with --grid_multipliers.")
    _check_pictures(options)
    if options.files.use_original_file_name and not picture.image_path:
        raise BadOption("use_original_file_name", "--use_original_file_name needs --image_path.")
    if options.prompts.shuffle_prompts and is_grid(options):
        raise BadOption("shuffle_prompts", "--shuffle_prompts: a grid has its prompts in order. Leave it out.")


def check_added(options: AddedOptions) -> None:
    """Files are there, and lists are as long as the files they speak of. Errors: BadOption."""
    for option in ("network_weights", "textual_inversion_embeddings", "hypernetwork_weights"):
        _check_files(option, getattr(options, option))
    for option in ("network_module", "network_mul", "network_args", "network_merge_n_models"):
        _check_length(option, getattr(options, option), "network_weights", options.network_weights)
    _check_length("hypernetwork_mul", options.hypernetwork_mul, "hypernetwork_weights", options.hypernetwork_weights)
    for option in ("network_merge", "network_show_meta"):
        if getattr(options, option) and not options.network_weights:
            raise BadOption(option, f"--{option} needs --network_weights.")


def _check_contents(options: AddedOptions, model: str | None) -> None:
    """Files are what they are taken for, and for this kind of model. Other packages' modules know their own files."""
    for place, file in enumerate(options.network_weights or []):
        modules = options.network_module or []
        module = (modules[min(place, len(modules) - 1)] if modules else "").removeprefix("sd_scripts.")
        if not module or module.startswith("networks.") or module == MODULE:
            check_network_file(file, model)
    for file in options.textual_inversion_embeddings or []:
        check_embedding_file(file, model)
    for file in options.hypernetwork_weights or []:
        check_hypernetwork_file(file)


def _check_pictures(options: GenImgOptions) -> None:
    picture = options.picture
    if picture.image_path and options.stages.highres_fix_scale:
        sentence = "a picture to begin with has no first stage. Leave out one of the two."
        raise BadOption("highres_fix_scale", f"--highres_fix_scale and --image_path exclude each other: {sentence}")
    if picture.mask_path and not picture.image_path:
        raise BadOption("mask_path", "--mask_path needs --image_path, the picture that is drawn anew there.")
    for option in ("image_path", "mask_path"):
        path = getattr(picture, option)
        if path and not Path(path).exists():
            raise BadOption(option, f"--{option} {path}: there is no such file or folder. Choose a picture.")


def _check_one_of(*given: tuple[str, bool]) -> None:
    chosen = [f"--{name}" for name, value in given if value]
    if len(chosen) > 1:
        raise BadOption(chosen[-1][2:], f"{' and '.join(chosen)} exclude each other. Choose one.")


def _check_files(option: str, files: Sequence[str] | None) -> None:
    for file in files or []:
        # A model may also be a folder or a hub id.
        if not Path(file).exists() and (option != "grid" or Path(file).suffix):
            raise BadOption(option, f"--{option} {file}: there is no such file. Choose another.")


def _check_length(option: str, values: object, of: str, files: Sequence[str] | None) -> None:
    if values is None:
        return
    if not files:
        raise BadOption(option, f"--{option} needs --{of}.")
    count = len(values) if isinstance(values, list) else int(str(values))
    if count > len(files):
        raise BadOption(option, f"--{option}: {count} for {len(files)} of --{of}. Leave out what is too much.")
