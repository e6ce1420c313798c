"""The stages of the page: which script each one runs, what it takes from the project and gives to the next."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kohya_gui.launching import with_launcher
from kohya_gui.pictures import is_parent
from kohya_gui.project import Project
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import option_specs

Tab = Literal["caption", "tag", "metadata", "latents", "train", "try", "tools"]
Method = Literal["full", "dreambooth", "lora", "inversion", "hypernetwork"]
Family = Literal["sd", "sdxl"]
Group = Literal["networks", "models", "caches", "pictures", "texts"]

CAPTIONS_JSON = "meta_cap.json"
TAGS_JSON = "meta_cap_dd.json"
CLEAN_JSON = "meta_clean.json"
LATENTS_JSON = "meta_lat.json"

TAB_TITLES: dict[str, str] = {
    "caption": "Caption",
    "tag": "Tag",
    "metadata": "Metadata",
    "latents": "Latents",
    "train": "Train",
    "try": "Try",
    "tools": "Tools",
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage. `model_flag` takes the project's base model.

    `pictures_flag` takes its folder of pictures, where that is not train_data_dir.
    `per_folder`: one run for each folder of pictures. `reads` are the JSON files it can start from, best first;
    `writes` is the one it leaves in the working folder. `heavy`: it computes on a device, so it waits for a free one.
    A training has a `method` and a `family`; a tool belongs to a `group` of the list in its tab. `usual` are values
    that a form begins with, as hardly anybody wants others, though the script itself has no default. `shared`: several
    processes can each take a share of its pictures.
    """

    id: str
    title: str
    script: str
    tab: Tab
    per_folder: bool = True
    heavy: bool = True
    model_flag: str | None = None
    pictures_flag: str | None = None
    reads: tuple[str, ...] = ()
    writes: str | None = None
    method: Method | None = None
    family: Family | None = None
    group: Group | None = None
    shared: bool = False
    usual: dict[str, Any] = field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """Whether it is a training."""
        return self.method is not None

    @property
    def saves_whole_models(self) -> bool:
        """Whether what it trains and saves is the model itself, and not a file to use beside it."""
        return self.method in ("full", "dreambooth")

    @property
    def reads_folders(self) -> bool:
        """Whether it reads folders of pictures themselves, where no metadata is named."""
        return "reg_data_dir" in option_specs(self.options)

    @property
    def options(self) -> type:
        """The options class of the script, with those of its launcher where several processes can share its work."""
        own = SCRIPTS[self.script]
        return with_launcher(own) if self.trains or self.shared else own


# Latents are made for Stable Diffusion 1 and 2. Trainings of SDXL make their own, so they need a resolution.
_TEXTS = (CLEAN_JSON, TAGS_JSON, CAPTIONS_JSON)
_READS: dict[Family, tuple[str, ...]] = {"sd": (LATENTS_JSON, *_TEXTS), "sdxl": _TEXTS}
_USUAL: dict[Family, dict[str, Any]] = {
    "sd": {},
    "sdxl": {"resolution": "1024,1024", "enable_bucket": True, "cache_latents": True},
}
# The pictures of a folder have no sizes yet, as those of prepared metadata do.
_OF_FOLDERS: dict[str, Any] = {"resolution": "512,512", "enable_bucket": True, "cache_latents": True}


def _training(id: str, title: str, script: str, method: Method, family: Family, **usual: Any) -> Stage:
    return Stage(
        id=id,
        title=title,
        script=script,
        tab="train",
        per_folder=False,
        model_flag="pretrained_model_name_or_path",
        reads=_READS[family],
        method=method,
        family=family,
        usual=_USUAL[family] | usual,
    )


def _network_tool(id: str, title: str, script: str, **more: Any) -> Stage:
    return Stage(id=id, title=title, script=f"{script}.py", tab="tools", group="networks", per_folder=False, **more)


_NETWORK_TOOLS = (
    _network_tool("extract_lora", "Extract a LoRA", "networks/extract_lora_from_models", model_flag="model_org"),
    _network_tool("merge_lora", "Merge LoRAs", "networks/merge_lora"),
    _network_tool("sdxl_merge_lora", "Merge LoRAs for SDXL", "networks/sdxl_merge_lora"),
    _network_tool("svd_merge_lora", "Merge LoRAs to a rank", "networks/svd_merge_lora"),
    _network_tool("resize_lora", "Resize a LoRA", "networks/resize_lora"),
    _network_tool("check_lora", "Look into a LoRA", "networks/check_lora_weights", heavy=False),
    _network_tool("lora_words", "Words of a LoRA", "networks/lora_interrogator", model_flag="sd_model"),
    _network_tool("split_dylora", "Take a DyLoRA apart", "networks/extract_lora_from_dylora", heavy=False),
    _network_tool("extract_locon", "Extract a LoCon", "tools/lycoris_locon_extract", model_flag="base_model"),
    _network_tool("merge_lycoris", "Merge LyCORIS", "tools/merge_lycoris", model_flag="base_model"),
)


def _tool(id: str, title: str, script: str, group: Group, **more: Any) -> Stage:
    return Stage(id=id, title=title, script=f"tools/{script}.py", tab="tools", group=group, per_folder=False, **more)


_BASE = "pretrained_model_name_or_path"
_LISTS = (LATENTS_JSON, CLEAN_JSON, TAGS_JSON, CAPTIONS_JSON)
_FILE_TOOLS = (
    _tool("convert_model", "Convert a model", "convert_diffusers20_original_sd", "models", model_flag="model_to_load"),
    _tool("merge_models", "Merge models", "merge_models", "models"),
    _tool("show_metadata", "Show metadata", "show_metadata", "models", heavy=False),
    _tool("edit_metadata", "Edit metadata", "edit_metadata", "models", heavy=False),
    _tool("cache_latents", "Cache latents", "cache_latents", "caches", model_flag=_BASE, reads=_LISTS, shared=True),
    _tool(
        "cache_texts",
        "Cache texts",
        "cache_text_encoder_outputs",
        "caches",
        model_flag=_BASE,
        reads=_LISTS,
        shared=True,
    ),
    _tool(
        "make_folders",
        "Make training folders",
        "make_dreambooth_folders",
        "pictures",
        heavy=False,
        pictures_flag="train_pictures",
    ),
    _tool("balance_dataset", "Balance concepts", "dataset_balancing", "pictures", heavy=False),
    _tool("group_images", "Group by bucket", "group_images", "pictures", heavy=False, pictures_flag="input_folder"),
    _tool(
        "resize_images",
        "Scale pictures",
        "resize_images_to_resolution",
        "pictures",
        heavy=False,
        pictures_flag="src_img_folder",
    ),
    _tool("edit_captions", "Edit captions", "edit_captions", "texts", heavy=False, pictures_flag="folder"),
)


def _of_pictures(id: str, title: str, script: str, tab: Tab, **more: Any) -> Stage:
    return Stage(id=id, title=title, script=f"finetune/{script}.py", tab=tab, shared=True, **more)


_ALL = (
    _of_pictures("caption_blip", "Caption with BLIP", "make_captions", "caption"),
    _of_pictures("caption_git", "Caption with GIT", "make_captions_by_git", "caption"),
    _of_pictures("tag_wd14", "Tag with WD14", "tag_images_by_wd14_tagger", "tag"),
    _of_pictures("tag_deepdanbooru", "Tag with DeepDanbooru", "tag_images_by_deepdanbooru", "tag"),
    Stage(
        id="merge_captions",
        title="Merge captions",
        script="finetune/merge_captions_to_metadata.py",
        tab="metadata",
        heavy=False,
        writes=CAPTIONS_JSON,
    ),
    Stage(
        id="merge_tags",
        title="Merge tags",
        script="finetune/merge_dd_tags_to_metadata.py",
        tab="metadata",
        heavy=False,
        reads=(CAPTIONS_JSON,),
        writes=TAGS_JSON,
    ),
    Stage(
        id="clean",
        title="Clean texts",
        script="finetune/clean_captions_and_tags.py",
        tab="metadata",
        heavy=False,
        per_folder=False,
        reads=(TAGS_JSON, CAPTIONS_JSON),
        writes=CLEAN_JSON,
    ),
    _of_pictures(
        "latents",
        "Latents",
        "prepare_buckets_latents",
        "latents",
        model_flag="model_name_or_path",
        reads=(CLEAN_JSON, TAGS_JSON, CAPTIONS_JSON),
        writes=LATENTS_JSON,
    ),
    # The Train tab offers families, and the methods of each, in this order.
    _training("train", "Fine-tune", "fine_tune.py", "full", "sd"),
    _training(
        "train_lora", "LoRA", "train_network.py", "lora", "sd", network_module="networks.lora", learning_rate=1e-4
    ),
    _training("dreambooth", "DreamBooth", "train_db.py", "dreambooth", "sd"),
    _training(
        "train_inversion", "Textual inversion", "train_textual_inversion.py", "inversion", "sd", learning_rate=5e-3
    ),
    _training("train_hypernetwork", "Hypernetwork", "train_hypernetwork.py", "hypernetwork", "sd"),
    _training("sdxl_full", "Fine-tune SDXL", "sdxl_train.py", "full", "sdxl"),
    _training(
        "sdxl_lora",
        "LoRA for SDXL",
        "sdxl_train_network.py",
        "lora",
        "sdxl",
        network_module="networks.lora",
        learning_rate=1e-4,
    ),
    _training(
        "sdxl_inversion",
        "Textual inversion for SDXL",
        "sdxl_train_textual_inversion.py",
        "inversion",
        "sdxl",
        learning_rate=5e-3,
    ),
    Stage(id="try", title="Try the model", script="gen_img.py", tab="try", per_folder=False, model_flag="ckpt"),
    *_NETWORK_TOOLS,
    *_FILE_TOOLS,
)

STAGES: dict[str, Stage] = {stage.id: stage for stage in _ALL}

TRAINERS: tuple[str, ...] = tuple(stage.id for stage in _ALL if stage.trains)
"""The trainings by name, for what all of them share."""

LAUNCHED: tuple[str, ...] = tuple(stage.id for stage in _ALL if stage.trains or stage.shared)
"""The stages that several processes can do together."""


def training_of(method: str, family: str) -> Stage | None:
    """The training of a method and a family; None where there is no such script."""
    return next((stage for stage in _ALL if (stage.method, stage.family) == (method, family)), None)


_WRITERS = {stage.writes: stage for stage in _ALL if stage.writes}


@dataclass(frozen=True)
class Filled:
    """What project and earlier stages give to a stage, and for each flag where it comes from."""

    values: dict[str, Any]
    links: dict[str, str]


def stage_values(stage: Stage, project: Project, folder_index: int = 0, source: Path | None = None) -> Filled:
    """The values of a stage for one folder of the project.

    `source` is the JSON that the stage before wrote; without it the best one that is there is taken.
    """
    filled = Filled(dict(stage.usual), {})
    _fill_pictures(filled, stage, project, folder_index)
    if stage.model_flag and project.model:
        _put(filled, stage.model_flag, project.model, "Project")
    _fill_metadata(filled, stage, project, folder_index, source)
    _fill_reading(filled, stage)
    for flag, value in project.extra_values(stage.id).items():
        _put(filled, flag, value, "Project")
    if stage.trains and project.work_dir:
        _put(filled, "output_dir", str(project.output_dir), "Project")
        _put(filled, "logging_dir", str(project.logging_dir), "Project")
        _put(filled, "output_name", project.output_name, "Project")
    if stage.id == "try" and project.work_dir:
        _put(filled, "outdir", str(project.output_dir / "try"), "Project")
    return filled


def _put(filled: Filled, flag: str, value: Any, link: str) -> None:
    filled.values[flag] = value
    filled.links[flag] = link


def _fill_pictures(filled: Filled, stage: Stage, project: Project, folder_index: int) -> None:
    several = len(project.pictures) > 1
    if project.pictures and stage.per_folder:
        folder = project.pictures[max(0, min(folder_index, len(project.pictures) - 1))]
        _put(filled, "train_data_dir", folder, "Project")
        deep = is_parent(Path(folder))
        if deep:
            _put(filled, "recursive", True, "Project")
        if (several or deep) and stage.writes:
            _put(filled, "full_path", True, "Project")
    if project.pictures and stage.pictures_flag:
        _put(filled, stage.pictures_flag, project.pictures[0], "Project")
    if project.pictures and (stage.trains or stage.group == "caches") and not several:
        _put(filled, "train_data_dir", project.pictures[0], "Project")


def _fill_metadata(filled: Filled, stage: Stage, project: Project, folder_index: int, source: Path | None) -> None:
    work_dir = Path(project.work_dir) if project.work_dir else None
    if work_dir is None or not (stage.reads or stage.writes):
        return
    target = work_dir / stage.writes if stage.writes else None
    if folder_index and target and stage.per_folder:
        # The folders are chained: each run goes on from what the run of the folder before it wrote.
        source = target
    source = source or _best_source(stage, work_dir)
    if source and "in_json" in option_specs(stage.options):
        _put(filled, "in_json", str(source), TAB_TITLES[_WRITERS[source.name].tab])
    if target:
        _put(filled, "out_json", str(target), "Project")


def _fill_reading(filled: Filled, stage: Stage) -> None:
    """What follows from what is read: metadata has its pictures' full paths, where they lie in several folders."""
    described, folder = "in_json" in filled.values, filled.values.get("train_data_dir")
    if described and folder and not stage.per_folder and is_parent(Path(folder)):
        del filled.values["train_data_dir"], filled.links["train_data_dir"]
    if stage.trains and stage.reads_folders and not described:
        filled.values.update(_OF_FOLDERS | filled.values)


def _best_source(stage: Stage, work_dir: Path) -> Path | None:
    """The first of the stage's inputs that is there; where it cannot do without, the usual one."""
    there = next((work_dir / name for name in stage.reads if (work_dir / name).is_file()), None)
    needs_one = bool(stage.reads) and stage.id != "merge_tags" and not stage.reads_folders
    return there or (work_dir / stage.reads[0] if needs_one else None)


def by_folder(stage: Stage, values: dict[str, Any], project: Project) -> list[dict[str, Any]]:
    """The values of one run for each of the project's folders, chained: each goes on from what the last one wrote.

    Where the values name another folder than the project's first, that one alone is meant.
    """
    folders = project.pictures
    if not stage.per_folder or len(folders) < 2 or values.get("train_data_dir") != folders[0]:
        return [values]
    onward = {"in_json": values["out_json"]} if stage.writes and values.get("out_json") else {}
    return [values, *({**values, **onward, "train_data_dir": folder} for folder in folders[1:])]
