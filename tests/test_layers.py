"""The layers of docs/architecture.md, held by reading every import, and by looking at what the page brings along."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEAVES = (
    "sd_scripts.options",
    "sd_scripts.library.errors",
    "sd_scripts.library.events",
    "sd_scripts.library.installed",
    "sd_scripts.library.notice",
    "sd_scripts.library.ram",
    "sd_scripts.library.systems",
    "sd_scripts.library.team",
    "sd_scripts.library.telling",
    "sd_scripts.library.data.dataset_options",
    "sd_scripts.library.data.idle",
    "sd_scripts.library.data.picture_rules",
    "sd_scripts.library.data.subsets",
    "sd_scripts.library.data.captions",
    "sd_scripts.library.data.dreambooth",
    "sd_scripts.library.data.caption_rules",
    "sd_scripts.library.data.training_data",
    "sd_scripts.library.data.dataset_config",
    "sd_scripts.library.data.buckets",
    "sd_scripts.library.data.images",
    "sd_scripts.library.data.picture_folder",
    "sd_scripts.library.data.held_out",
    "sd_scripts.library.data.regularisation",
    "sd_scripts.library.data.templates",
    "sd_scripts.library.data.latents_files",
    "sd_scripts.library.data.picture_folder",
    "sd_scripts.library.footprint",
    "sd_scripts.library.footprint.model",
    "sd_scripts.library.footprint.training",
    "sd_scripts.library.io.headers",
    "sd_scripts.library.io.atomic",
    "sd_scripts.library.io.leftovers",
    "sd_scripts.library.io.twice",
    "sd_scripts.library.io.metadata",
    "sd_scripts.library.io.reach",
    "sd_scripts.library.io.reading",
    # What the program refuses before it loads a model, so that the page says it too.
    "sd_scripts.library.tagging.cleaning",
    "sd_scripts.library.generate.asked",
    "sd_scripts.library.generate.checks",
    "sd_scripts.library.generate.columns",
    "sd_scripts.library.train.about",
    "sd_scripts.library.train.boards",
    "sd_scripts.library.train.checks",
    "sd_scripts.library.train.expected_memory",
    "sd_scripts.library.train.inversion_rules",
    "sd_scripts.library.train.going_on",
    "sd_scripts.library.train.hypernetwork_rules",
    "sd_scripts.library.train.network_rules",
    "sd_scripts.library.train.notices",
    "sd_scripts.library.train.optimizers",
    "sd_scripts.library.train.optimizing",
    "sd_scripts.library.train.prompts",
    "sd_scripts.library.train.saving",
    "sd_scripts.library.train.state_files",
)
# What each part of the library may use of the others; a part may always use itself and the modules beside the parts.
MAY_USE = {
    "io": set(),
    "models": {"io"},
    # What it asks of models needs no torch.
    "footprint": {"io", "models"},
    "data": {"io"},
    "tagging": {"io", "data", "models"},
    "networks": {"io", "models"},
    "train": {"io", "data", "footprint", "models", "networks"},
    "generate": {"io", "data", "models", "networks", "train"},
}


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith(("sd_scripts", "kohya_gui"))}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("file", modules("kohya_gui"), ids=lambda f: str(f.relative_to(ROOT)))
def test_the_page_reads_only_leaves(file: Path) -> None:
    for name in imports(file):
        if name.startswith("sd_scripts"):
            assert any(name == leaf or name.startswith(leaf + ".") or leaf.startswith(name) for leaf in LEAVES), name


@pytest.mark.parametrize("file", modules("sd_scripts"), ids=lambda f: str(f.relative_to(ROOT)))
def test_the_library_points_one_way(file: Path) -> None:
    parts = file.relative_to(ROOT / "sd_scripts").parts
    for name in imports(file):
        assert not name.startswith("kohya_gui"), name
        words = name.split(".")
        if parts[0] == "options":
            leaves = ("sd_scripts.library.errors", "sd_scripts.library.io.reading")
            assert words[1:2] in ([], ["options"]) or name.startswith(leaves), name
        if parts[0] == "library" and parts[1] in MAY_USE and words[1:2] == ["library"] and words[2:3]:
            used = words[2]
            assert used not in MAY_USE or used == parts[1] or used in MAY_USE[parts[1]], name


def test_nobody_imports_a_script() -> None:
    scripts = {
        ".".join(f.relative_to(ROOT).with_suffix("").parts)
        for f in modules("sd_scripts")
        if 'if __name__ == "__main__"' in f.read_text(encoding="utf-8")
    }
    for file in [*modules("sd_scripts"), *modules("kohya_gui")]:
        assert not imports(file) & scripts, file


def test_what_the_page_imports_brings_no_torch() -> None:
    names = ", ".join(f"'{leaf}'" for leaf in LEAVES)
    code = (
        "import importlib, importlib.util, sys\n"
        f"for name in ({names}):\n"
        "    if importlib.util.find_spec(name): importlib.import_module(name)\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'onnxruntime', 'cv2'} & set(sys.modules)\n"
        "sys.exit(f'brings {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_scripts_are_short() -> None:
    for folder in (ROOT / "sd_scripts", ROOT / "sd_scripts" / "finetune"):
        for file in folder.glob("*.py"):
            assert len(file.read_text(encoding="utf-8").splitlines()) <= 60, file


def test_files_are_not_long() -> None:
    for file in [*modules("sd_scripts"), *modules("kohya_gui"), *modules("installer")]:
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 500, file
