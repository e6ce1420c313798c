"""Writes the options of a command line into a TOML file: `--output_config`."""

from typing import Any, cast

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.atomic import write_text
from sd_scripts.library.report import Report
from sd_scripts.options.config_file import ON_COMMAND_LINE_ONLY, config_path
from sd_scripts.options.spec import flat_values, option_groups, option_specs
from sd_scripts.options.values import changed_values


def write_config(options: Any, report: Report) -> None:
    """Writes what differs from the defaults to the file that config_file names. Errors: BadOption, BadFile."""
    name = flat_values(options)["config_file"]
    if not name:
        raise BadOption("output_config", "--output_config needs --config_file: the file to write.")
    path = config_path(name)
    if path.exists():
        sentence = f"--config_file {path} is there already, and --output_config replaces nothing. Choose another name."
        raise BadOption("config_file", sentence)
    write_text(path, config_text(options))
    specs = option_specs(cast(type, type(options)))
    secret = [name for name in _changed(options) if specs[name].secret]
    left_out = f" Secrets are not written: {', '.join(secret)}." if secret else ""
    report.summary(f"Wrote {path}.{left_out} Nothing else was done; leave out --output_config to start.")


def config_text(options: Any) -> str:
    """The options that differ from their defaults as TOML: a section for each group, each option with its help."""
    import tomlkit

    document = tomlkit.document()
    changed = _changed(options)
    for group in option_groups(type(options)):
        table = tomlkit.table()
        for spec in group.specs:
            if spec.name in changed and not spec.secret and spec.name not in ON_COMMAND_LINE_ONLY:
                for line in spec.help.splitlines():
                    table.add(tomlkit.comment(line))
                table.add(spec.name, changed[spec.name])
        if table:
            document.add(group.name, table)
    return tomlkit.dumps(document)


def _changed(options: Any) -> dict[str, Any]:
    return changed_values(type(options), flat_values(options))
