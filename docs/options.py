"""options.md and options-ja.md: every option of every script, with the words of the page."""

from kohya_gui.i18n import t, words
from kohya_gui.layout import GROUPED, LAYOUTS, LISTED
from kohya_gui.stages import STAGES, Stage
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import OptionSpec, option_specs

_WORDS = {
    "en": {
        "title": "# All options",
        "intro": "Every option of every script, in the order in which the page shows them. In a terminal, `--help` of a"
        " script lists the same. What sd-scripts has besides, and why it is refused, stands in"
        " [compatibility.md](compatibility.md).",
        "made": "Written by docs/make_docs.py from the declarations in sd_scripts/options; do not edit.",
        "other": "[日本語](options-ja.md)",
        "heads": ("Option", "On the page", "What it does", "Values", "Default"),
        "names": "Names that `--{flag}` takes",
        "required": "needed",
        "on": "on",
        "off": "off",
        "bool": "switch",
        "int": "whole number",
        "float": "number",
        "number": "number",
        "str": "text",
        "many": "several: {kind}",
        "low": "{low} or more",
        "high": "{high} or less",
        "between": "{low} to {high}",
        "or_zero": "or 0",
        "former": "formerly {names}",
        "secret": "secret: never stored or shown",
    },
    "ja": {
        "title": "# すべてのオプション",
        "intro": "すべてのスクリプトのすべてのオプションを、画面に表示される順に並べたものです。"
        "ターミナルではスクリプトの `--help` で同じ一覧が出ます。sd-scripts にあってここにないオプションとその理由は"
        " [compatibility.md](compatibility.md) (英語) にあります。",
        "made": "docs/make_docs.py が sd_scripts/options の宣言から書き出したものです。直接編集しないでください。",
        "other": "[English](options.md)",
        "heads": ("オプション", "画面での名前", "説明", "値", "既定値"),
        "names": "`--{flag}` に書ける名前",
        "required": "必須",
        "on": "オン",
        "off": "オフ",
        "bool": "スイッチ",
        "int": "整数",
        "float": "数値",
        "number": "数値",
        "str": "文字列",
        "many": "複数の{kind}",
        "low": "{low} 以上",
        "high": "{high} 以下",
        "between": "{low} から {high}",
        "or_zero": "または 0",
        "former": "旧名 {names}",
        "secret": "秘密の値。保存も表示もしません",
    },
}


_OFF_THE_PAGE: dict[str, dict[str, tuple[str, str]]] = {
    "networks/merge_lora_old.py": {
        "en": ("Merge LoRAs, as before", "merge_lora.py under its older name, with the options that it had."),
        "ja": ("LoRA をマージ（旧）", "merge_lora.py の古い名前です。当時のオプションだけがあります。"),
    },
}
"""The title of each script that is no stage of the page, and what it is for."""

_LIKE = {"networks/merge_lora_old.py": "merge_lora"}
"""The stage whose words such a script takes, where it is not the training."""


def options(lang: str) -> str:
    """The document in a language, as Markdown."""
    say = _WORDS[lang]
    head = [str(say["title"]), "", str(say["other"]), "", str(say["intro"]), "", f"<!-- {say['made']} -->"]
    contents = [f"- [{_title(stage, lang)}: `{stage.script}`](#{stage.id})" for stage in STAGES.values()]
    contents += [f"- [{words[lang][0]}: `{script}`](#{_anchor(script)})" for script, words in _OFF_THE_PAGE.items()]
    chapters = [line for stage in STAGES.values() for line in _chapter(stage, lang)]
    chapters += [line for script in _OFF_THE_PAGE for line in _chapter_off_the_page(script, lang)]
    names = [line for flag in GROUPED for line in _names(flag, lang)]
    return "\n".join([*head, "", *contents, *chapters, *names]) + "\n"


def _names(flag: str, lang: str) -> list[str]:
    """The names that the page suggests for an option, under their headings."""
    lines = ["", f"## {str(_WORDS[lang]['names']).format(flag=flag)}", ""]
    for heading, names in GROUPED[flag].items():
        lines.append(f"- {t(f'names.{heading}', lang)}: {', '.join(f'`{name}`' for name in names)}")
    return lines


def _title(stage: Stage, lang: str) -> str:
    return t(f"stage.{stage.id}", lang)


def _chapter(stage: Stage, lang: str) -> list[str]:
    specs, layout = option_specs(stage.options), LAYOUTS[stage.id]
    about = t(f"about.{stage.id}", lang)
    lines = ["", f'<a id="{stage.id}"></a>', "", f"## {_title(stage, lang)}: `{stage.script}`", "", about]
    heads = _WORDS[lang]["heads"]
    for name, flags in (*layout.groups.items(), *layout.sections.items()):
        lines += ["", f"### {t(f'section.{name}', lang)}", "", _row(*heads), _row(*["---"] * len(heads))]
        lines += [_option(stage, specs[flag], lang) for flag in flags.split()]
    return lines


def _anchor(script: str) -> str:
    return script.removesuffix(".py")


def _chapter_off_the_page(script: str, lang: str) -> list[str]:
    """In the order of declaration. What the page has words for, since training has it too, has them here."""
    title, about = _OFF_THE_PAGE[script][lang]
    lines = ["", f'<a id="{_anchor(script)}"></a>', "", f"## {title}: `{script}`", "", about, ""]
    lines += [_row(*_WORDS[lang]["heads"]), _row(*["---"] * len(_WORDS[lang]["heads"]))]
    stage = STAGES[_LIKE.get(script, "train")]
    for spec in option_specs(SCRIPTS[script]).values():
        label, help_ = _page(stage, spec, "label", lang), _page(stage, spec, "help", lang)
        help_ = help_ or spec.help
        lines.append(_row(f"`--{spec.name}`", label, help_, _values(spec, lang), _default(stage, spec, lang)))
    return lines


def _option(stage: Stage, spec: OptionSpec, lang: str) -> str:
    name = f"`{spec.name}`" if spec.positional else f"`--{spec.name}`"
    return _row(
        name, _page(stage, spec, "label", lang), _page(stage, spec, "help", lang), _values(spec, lang),
        _default(stage, spec, lang),
    )  # fmt: skip


def _page(stage: Stage, spec: OptionSpec, part: str, lang: str) -> str:
    """What the page says of an option: of this stage, or of all; nothing where it says nothing."""
    known = words(lang)
    own = [f"stage_option.{whose}.{spec.name}.{part}" for whose in (stage.id, stage.family, stage.tab)]
    return next((known[key] for key in (*own, f"option.{spec.name}.{part}") if key in known), "")


def _values(spec: OptionSpec, lang: str) -> str:
    say = _WORDS[lang]
    choices = spec.choices or LISTED.get(spec.name, ())
    kind = ", ".join(f"`{choice}`" for choice in choices) or str(say[spec.kind])
    facts = [str(say["many"]).format(kind=kind) if spec.many else kind, _range(spec, lang)]
    if spec.unit:
        facts.append(t(f"unit.{spec.unit}", lang))
    if spec.secret:
        facts.append(str(say["secret"]))
    if spec.former:
        facts.append(str(say["former"]).format(names=", ".join(f"`--{name}`" for name in spec.former)))
    return "; ".join(fact for fact in facts if fact)


def _range(spec: OptionSpec, lang: str) -> str:
    say, low, high = _WORDS[lang], spec.range.low, spec.range.high
    kind = "between" if low is not None and high is not None else "low" if low is not None else "high"
    if low is None and high is None:
        return ""
    text = str(say[kind]).format(low=_number(low), high=_number(high))
    zero_outside = spec.range.zero is not None and low is not None and low > 0
    return f"{text} {say['or_zero']}" if zero_outside else text


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _default(stage: Stage, spec: OptionSpec, lang: str) -> str:
    if spec.required:
        return str(_WORDS[lang]["required"])
    if isinstance(spec.default, bool):
        return str(_WORDS[lang]["on" if spec.default else "off"])
    return _page(stage, spec, "empty", lang) if spec.default is None else f"`{spec.default}`"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
