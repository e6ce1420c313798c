"""The settings files of kohya_ss: flat JSON, with names of its own for some flags, and 0 or "" for what is not set."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kohya_gui.importing import command_line
from kohya_gui.importing.kohya_network import fields, take_argument, take_network, take_rate
from kohya_gui.importing.report import Report
from kohya_gui.importing.taker import HIDDEN, Taker, belongs_to, elsewhere, is_off, is_secret, table
from kohya_gui.importing.trainings import method_of, training_report
from kohya_gui.stages import STAGES, TRAINERS
from kohya_gui.words import say
from sd_scripts.options.spec import option_specs

Settings = dict[str, Any]


def is_kohya_ss(settings: Settings) -> bool:
    """Whether a JSON object may be such a file: at least half of its keys are ones that kohya_ss writes."""
    flags = {flag for stage in TRAINERS for flag in option_specs(STAGES[stage].options)}
    known = flags | _RULES.keys() | table("kohya_ss")["renamed"].keys()
    return 2 * sum(key in known or group_of(key) is not None for key in settings) >= max(1, len(settings))


def read_kohya_ss(settings: Settings, name: str, stage: str) -> Report:
    """The report of a settings file, for training; or for a stage before it whose settings such files hold as well."""
    if stage in table("kohya_ss")["stages"]:
        return _for_earlier_stage(settings, name, stage)
    family = "sd" if _without_sdxl(settings) else "sdxl"
    report = training_report("kohya_ss", name, method_of(settings), family)
    taker = Taker(report, zero_is_unset=True)
    # Words of a command line win over everything else.
    last = "additional_parameters"
    for key, given in sorted(settings.items(), key=lambda item: item[0] == last):
        rule = _RULES.get(key)
        if rule:
            rule(taker, settings, given)
        else:
            _take(taker, settings, key, given)
    return report


@functools.cache
def group_of(key: str) -> str | None:
    """What a key belongs to that is no option of ours: another method, another family of models, the launcher."""
    tables = table("kohya_ss")
    for group, keys in tables["keys"].items():
        if key in keys.split():
            return str(group)
    prefixed = next((group for prefix, group in tables["prefixes"].items() if key.startswith(prefix)), None)
    return prefixed or elsewhere().get(key)


def _take(taker: Taker, settings: Settings, key: str, given: Any) -> None:
    tables = table("kohya_ss")
    flag = tables["renamed"].get(key, key)
    if given in tables["nothing"].get(flag, ()):
        taker.unused(key, given, say("import.off"))
    elif taker.spec(flag) or not group_of(flag):
        taker.take(flag, given, key)
    elif is_off(given):
        taker.unused(key, given, say("import.off"))
    else:
        _elsewhere(taker, settings, key, given, str(group_of(flag)))


def _elsewhere(taker: Taker, settings: Settings, key: str, given: Any, group: str) -> None:
    switches = table("kohya_ss")["switches"].get(group)
    if switches and all(is_off(settings.get(switch)) for switch in switches):
        taker.unused(key, given, say("import.family_off", family=say(f"import.name.{group}")))
    else:
        taker.leave(key, given, belongs_to(group))


def _for_earlier_stage(settings: Settings, name: str, stage: str) -> Report:
    report = Report("kohya_ss", stage, name)
    taker = Taker(report, zero_is_unset=True)
    flags = table("kohya_ss")["stages"][stage]
    for key, given in settings.items():
        if key not in flags:
            why = say("import.other_stage", stage=say("stage.train"))
            taker.unused(key, HIDDEN if is_secret(key) else given, why)
        elif key.endswith("_filename"):
            _take_file(taker, settings, given, key, flags[key])
        else:
            taker.take(flags[key], given, key)
    return report


def _attention(taker: Taker, settings: Settings, given: Any) -> None:
    """The name of the attention; in old files whether it is xformers."""
    name = "xformers" if str(given).lower() in ("true", "1") else str(given)
    if is_off(given):
        taker.unused("xformers", given, say("import.off"))
    elif name in ("xformers", "sdpa"):
        taker.take(name, True, "xformers", say("import.named_switch", flag=name), given)
    else:
        taker.leave("xformers", given, say("import.no_attention"))


def _adam_8bit(taker: Taker, settings: Settings, given: Any) -> None:
    if is_off(given) or settings.get("optimizer"):
        taker.unused("use_8bit_adam", given, say("import.off" if is_off(given) else "import.optimizer_wins"))
    else:
        taker.take("optimizer_type", "AdamW8bit", "use_8bit_adam", say("import.now", flag="optimizer_type"), given)


def _wandb(taker: Taker, settings: Settings, given: Any) -> None:
    if is_off(given) or settings.get("log_with"):
        taker.unused("use_wandb", given, say("import.off"))
    else:
        taker.take("log_with", "wandb", "use_wandb", say("import.now", flag="log_with"), given)


def _warmup(taker: Taker, settings: Settings, given: Any) -> None:
    """Percent of all steps; here a share below 1."""
    if is_off(given) or not is_off(settings.get("lr_warmup_steps")):
        taker.unused("lr_warmup", given, say("import.off" if is_off(given) else "import.warmup_wins"))
        return
    try:
        share = float(str(given)) / 100
    except ValueError:
        share = -1.0
    if 0 < share < 1:
        taker.take("lr_warmup_steps", share, "lr_warmup", say("import.percent"), given)
    else:
        taker.leave("lr_warmup", given, say("import.no_percent"))


def _epochs(taker: Taker, settings: Settings, given: Any) -> None:
    """The number of epochs, where nothing else says how long training takes."""
    winner = next((key for key in ("max_train_epochs", "max_train_steps") if not is_off(settings.get(key))), None)
    if winner or is_off(given):
        taker.unused("epoch", given, say("import.wins", other=winner) if winner else say("import.off"))
    else:
        taker.take("max_train_epochs", given, "epoch", say("import.now", flag="max_train_epochs"))


def _metadata_file(taker: Taker, settings: Settings, given: Any, key: str, wanted: str) -> None:
    """One of two files in train_dir; `use_latent_files` says which."""
    if not is_off(given) and settings.get("use_latent_files", "Yes") != wanted:
        taker.unused(key, given, say("import.other_file"))
    else:
        _take_file(taker, settings, given, key, "in_json")


def _take_file(taker: Taker, settings: Settings, given: Any, key: str, flag: str) -> None:
    folder = str(settings.get("train_dir") or "")
    if is_off(given):
        taker.unused(key, given, say("import.empty"))
    elif not folder:
        taker.leave(key, given, say("import.no_folder"))
    else:
        taker.take(flag, f"{folder.rstrip('/')}/{given}", key, say("import.joined"), given)


def _part_of_in_json(taker: Taker, settings: Settings, given: Any, key: str) -> None:
    taker.unused(key, given, say("import.part", flag="in_json") if given else say("import.empty"))


def _prompts(taker: Taker, settings: Settings, given: Any) -> None:
    """kohya_ss keeps the prompts themselves; here they stand in a file."""
    text = str(given or "").strip()
    if text and (len(text.splitlines()) > 1 or Path(text).suffix.lower() not in (".txt", ".toml", ".json")):
        taker.leave("sample_prompts", given, say("import.prompts"))
    else:
        taker.take("sample_prompts", text)


def _noise(taker: Taker, settings: Settings, given: Any, key: str, kind: str) -> None:
    """LoRA files say which of two kinds of noise is meant; what they keep of the other is not used."""
    chosen = settings.get("noise_offset_type", kind)
    if chosen != kind and "LoRA_type" in settings:
        taker.unused(key, given, say("import.other_noise", kind=chosen))
    else:
        taker.take(key, given)


def _noise_kind(taker: Taker, settings: Settings, given: Any) -> None:
    taker.unused("noise_offset_type", given, say("import.group.page"))


def _without_sdxl(settings: Settings) -> bool:
    return all(is_off(settings.get(switch)) for switch in ("sdxl", "sdxl_checkbox"))


def _of_sdxl(taker: Taker, settings: Settings, given: Any, key: str) -> None:
    """An option that has a name of its own there for SDXL."""
    if is_off(given) or _without_sdxl(settings):
        taker.unused(key, given, say("import.family_off", family=say("import.name.sdxl")))
    else:
        taker.take(key.removeprefix("sdxl_"), given, key)


def _is_sdxl(taker: Taker, settings: Settings, given: Any, key: str) -> None:
    if is_off(given) or STAGES[taker.report.stage].family == "sdxl":
        taker.unused(key, given, say("import.off" if is_off(given) else "import.chose_training"))
    else:
        taker.leave(key, given, belongs_to("sdxl"))


def _stopped_text_encoder(taker: Taker, settings: Settings, given: Any) -> None:
    """Percent of all steps; here a number of steps."""
    key, steps = "stop_text_encoder_training", str(settings.get("max_train_steps") or "")
    if is_off(given) or taker.spec(key) is None:
        taker.take(key, "" if is_off(given) else given)
    elif steps.isdecimal() and int(steps) and str(given).isdecimal():
        taker.take(key, -(-int(steps) * int(given) // 100), key, say("import.percent_of_steps"), given)
    else:
        taker.leave(key, given, say("import.share_of_steps"))


def _template(taker: Taker, settings: Settings, given: Any) -> None:
    """The template by its name; here each is a switch."""
    flag = {"object template": "use_object_template", "style template": "use_style_template"}.get(str(given))
    if flag is None:
        taker.unused("template", given, say("import.off"))
    else:
        taker.take(flag, True, "template", say("import.named_switch", flag=flag), given)


def _additional(taker: Taker, settings: Settings, given: Any) -> None:
    """Words of a command line."""
    if is_off(given):
        taker.unused("additional_parameters", "", say("import.empty"))
        return
    command_line.take_words(taker, command_line.words_of(str(given)), "additional_parameters ")


_RULES: dict[str, Callable[[Taker, Settings, Any], None]] = {
    "xformers": _attention,
    "use_8bit_adam": _adam_8bit,
    "use_wandb": _wandb,
    "lr_warmup": _warmup,
    "epoch": _epochs,
    "caption_metadata_filename": functools.partial(_metadata_file, key="caption_metadata_filename", wanted="No"),
    "latent_metadata_filename": functools.partial(_metadata_file, key="latent_metadata_filename", wanted="Yes"),
    "train_dir": functools.partial(_part_of_in_json, key="train_dir"),
    "use_latent_files": functools.partial(_part_of_in_json, key="use_latent_files"),
    "sample_prompts": _prompts,
    "noise_offset": functools.partial(_noise, key="noise_offset", kind="Original"),
    "noise_offset_random_strength": functools.partial(_noise, key="noise_offset_random_strength", kind="Original"),
    "adaptive_noise_scale": functools.partial(_noise, key="adaptive_noise_scale", kind="Original"),
    "multires_noise_iterations": functools.partial(_noise, key="multires_noise_iterations", kind="Multires"),
    "multires_noise_discount": functools.partial(_noise, key="multires_noise_discount", kind="Multires"),
    "noise_offset_type": _noise_kind,
    **{key: functools.partial(_of_sdxl, key=key) for key in table("kohya_ss")["of_sdxl"]},
    **{key: functools.partial(_is_sdxl, key=key) for key in ("sdxl", "sdxl_checkbox")},
    "LoRA_type": take_network,
    **{key: functools.partial(take_argument, key=key) for key in fields()},
    "unet_lr": functools.partial(
        take_rate, key="unet_lr", other="text_encoder_lr", alone="network_train_text_encoder_only"
    ),
    "text_encoder_lr": functools.partial(
        take_rate, key="text_encoder_lr", other="unet_lr", alone="network_train_unet_only"
    ),
    "stop_text_encoder_training": _stopped_text_encoder,
    "template": _template,
    "additional_parameters": _additional,
}
