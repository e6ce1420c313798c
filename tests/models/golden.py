"""The original layout's names and shapes at true size, written down from how its networks are built."""

from pathlib import Path

Shapes = dict[str, tuple[int, ...]]
PREFIXES = {
    "unet_sd1": "model.diffusion_model.",
    "unet_sd2": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "text_sd1": "cond_stage_model.transformer.",
    "text_sd2": "cond_stage_model.model.",
}
PARTS = {"sd1": ["unet_sd1", "vae", "text_sd1"], "sd2": ["unet_sd2", "vae", "text_sd2"]}


def golden(part: str) -> Shapes:
    """{name without the part's prefix: shape}."""
    shapes: Shapes = {}
    text = (Path(__file__).parent / "golden" / f"{part}.txt").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        name, size, *mark = line.split()
        shape = () if size == "scalar" else tuple(int(side) for side in size.split("x"))
        if mark == ["="]:
            shapes[name] = shape
            continue
        shapes[f"{name}.weight"] = shape
        if mark == ["+"]:
            shapes[f"{name}.bias"] = shape[:1]
    return shapes


def golden_file(family: str) -> Shapes:
    """{name: shape} of a whole checkpoint."""
    return {PREFIXES[part] + name: shape for part in PARTS[family] for name, shape in golden(part).items()}
