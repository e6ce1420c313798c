"""The memory that the page expects of a training against what real steps of it take, over many settings.

The ratio is that of the larger to the smaller; the goal is a tenth. On a CPU models are of reduced size, and the figure
is the most that tensors take at once; with --device cuda they are of true size, and it is
torch.cuda.max_memory_allocated. Each setting is a training of its own, by the script's own code.
"""

import json
import shlex
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks.models import Size, model_in
from benchmarks.photographs import noise_pictures
from benchmarks.processes import cost_of, run
from benchmarks.rows import Given, Row, stage, within
from benchmarks.stopping import REPOSITORY
from sd_scripts.library.data.buckets import parse_resolution
from sd_scripts.library.footprint.model import model_of
from sd_scripts.library.train.expected_memory import PROCESS_BYTES, expected
from sd_scripts.options.cli import parse
from sd_scripts.options.scripts import SCRIPTS

GB = 1e9
AT_ONCE = 2
"""Trainings on a CPU, of up to 4 GB each."""

SETTINGS = """
fine_tune.py sd1
fine_tune.py sd1 --train_batch_size 4
fine_tune.py sd1 --gradient_checkpointing --train_text_encoder
fine_tune.py sd1 --mixed_precision bf16 --train_batch_size 2
fine_tune.py sd1 --mixed_precision bf16 --full_bf16 --optimizer_type AdaFactor --fused_backward_pass
fine_tune.py sd1 --optimizer_type Lion --gradient_accumulation_steps 2
fine_tune.py sd1 --use_8bit_adam --ema_decay 0.99
train_network.py sd1 --network_module networks.lora --network_dim 8
train_network.py sd1 --network_module networks.lora --network_dim 64 --gradient_checkpointing --train_batch_size 2
train_db.py sd1 --train_batch_size 2
train_textual_inversion.py sd1 --token_string a-new-word --init_word dog --use_object_template
train_textual_inversion.py sd1 --token_string a-new-word --init_word dog --use_object_template --mixed_precision bf16
sdxl_train_textual_inversion.py sdxl --token_string a-new-word --init_word dog --use_object_template
train_hypernetwork.py sd1
sdxl_train.py sdxl --gradient_checkpointing --mixed_precision bf16 --optimizer_type AdaFactor
train_network.py sd1 --network_module networks.lora --network_dim 8 --train_batch_size 4 \
--gradient_checkpointing --gradient_checkpointing_levels 1
train_network.py sd1 --network_module networks.lora --network_dim 8 --train_batch_size 4 \
--gradient_checkpointing --gradient_checkpointing_levels 2
fine_tune.py sd1 --mixed_precision bf16 --train_batch_size 4 --train_text_encoder \
--gradient_checkpointing --gradient_checkpointing_levels 2
sdxl_train.py sdxl --mixed_precision bf16 --train_batch_size 2 --optimizer_type AdaFactor --fused_backward_pass \
--gradient_checkpointing --gradient_checkpointing_levels 1
sdxl_train_network.py sdxl --network_module networks.lora --network_dim 16 --network_train_unet_only \
--train_batch_size 2 --gradient_checkpointing --gradient_checkpointing_levels 1
fine_tune.py sd1 --mixed_precision bf16 --full_bf16 --stochastic_rounding
fine_tune.py sd1 --mixed_precision bf16 --full_bf16 --stochastic_rounding \
--optimizer_type AdaFactor --fused_backward_pass
sdxl_train.py sdxl --mixed_precision bf16 --full_bf16 --stochastic_rounding
train_network.py sd1 --network_module networks.lora --network_dim 64 --mixed_precision bf16 \
--full_bf16 --stochastic_rounding
sdxl_train_network.py sdxl --network_module networks.lora --network_dim 16 --mixed_precision bf16 \
--full_bf16 --stochastic_rounding
sdxl_train_network.py sdxl --network_module networks.lora --network_dim 16 --network_train_unet_only
"""
"""A script, a family, and what is asked for."""

MORE_ON_GPU = """
fine_tune.py sd1 --resolution 768
train_network.py sd1 --network_module networks.lora --network_dim 8 --mixed_precision bf16 --resolution 768
train_network.py sd1 --network_module networks.lora --mixed_precision fp16 --fp8_base --gradient_checkpointing
sdxl_train.py sdxl --full_bf16 --mixed_precision bf16 --optimizer_type AdaFactor --fused_backward_pass --resolution 1024
sdxl_train_network.py sdxl --network_module networks.lora --mixed_precision bf16 --resolution 1024 --train_batch_size 4
"""
QUICK = "train_network.py sd1 --network_module networks.lora --network_dim 8\n"


def measure(given: Given) -> list[Row]:
    """A row for each setting: what was expected, what was measured, and their ratio."""
    size: Size = "true" if given.device == "cuda" else "tiny" if given.quick else "reduced"
    usual_px = 512 if given.device == "cuda" else 64 if given.quick else 256
    lines = (QUICK if given.quick else SETTINGS + (MORE_ON_GPU if given.device == "cuda" else "")).strip().splitlines()
    room = Room(given.room, size, usual_px, given.device)
    for family in {shlex.split(line)[1] for line in lines}:
        room.model(family)
    # Memory is the same beside others that work on the CPU.
    with ThreadPoolExecutor(AT_ONCE if given.device == "cpu" else 1) as threads:
        measured = list(threads.map(room.measured, lines))
    rows = [room.row(line, most) for line, most in zip(lines, measured, strict=True)]
    return rows if given.device == "cuda" else [*rows, room.besides(lines[-1], rows[-1])]


class Room:
    """Models, pictures, and the trainings on them."""

    def __init__(
        self, folder: Path, size: Size, usual_px: int, device: str, dtype: torch.dtype = torch.float32
    ) -> None:
        self.folder, self.size, self.usual_px, self.device, self.dtype = folder, size, usual_px, device, dtype
        pictures = noise_pictures(folder / "5_picture", 4, 1024)
        entries = {str(picture): {"caption": "a picture of noise"} for picture in pictures}
        (folder / "meta.json").write_text(json.dumps(entries), encoding="utf-8")

    def row(self, line: str, measured: float, what: str = "") -> Row:
        """Expected, measured, and whether they agree; `what`: the row's name, in place of the line."""
        ours, side_px = self.expected(line)
        name, note = what or f"{line}, {side_px} px", f"{ours / measured - 1:+.1%}"
        return Row(name, "GB", ours / GB, measured / GB, within(1.1), note)

    def expected(self, line: str) -> tuple[float, int]:
        """(bytes that the page expects, width of the pictures in px)."""
        script, family, *asked = shlex.split(line)
        options: Any = parse(SCRIPTS[script], self._words(script, family, asked), script)
        size_px = parse_resolution(options.resolution.resolution, "resolution")
        model = model_of(self.model(family))
        assert model is not None
        on_cpu = self.device == "cpu"
        return expected(options, model, size_px, options.length.train_batch_size, on_cpu).total, size_px[0]

    def besides(self, line: str, row: Row) -> Row:
        """What the process of a setting takes besides its tensors, whose row is there, on a CPU.

        In a run of its own: the profiler, which counts tensors, holds half a gigabyte itself.
        """
        script, family, *asked = shlex.split(line)
        process = self._tried(script, self._words(script, family, asked))["peak_bytes"] / GB
        assert row.bare is not None
        return Row("besides, in the process of the last of them", "GB", PROCESS_BYTES / GB, process - row.bare)

    def _tried(self, script: str, words: list[str]) -> dict[str, float]:
        result = self._new_file()
        cost_of([REPOSITORY / "sd_scripts/tools/try_steps.py", "--result", result, script, "--", *words])
        return dict(json.loads(result.read_text(encoding="utf-8")))

    def _new_file(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder)) / "result.json"

    def measured(self, line: str) -> float:
        """The most bytes of a setting's tensors."""
        script, family, *asked = shlex.split(line)
        words = self._words(script, family, asked)
        if self.device == "cuda":
            return self._tried(script, words)["allocated_bytes"]
        result = self._new_file()
        run(["-W", "ignore", "-m", "benchmarks.tensors", script, result, *words])
        return float(json.loads(result.read_text(encoding="utf-8"))["tensors"])

    def _words(self, script: str, family: str, asked: list[str]) -> list[str]:
        """The options of a training, with what a benchmark gives all of them."""
        model, folder = str(self.model(family)), str(self.folder)
        data = ["--train_data_dir", folder]
        if script != "train_db.py":
            data += ["--in_json", str(self.folder / "meta.json")]
        usual = [] if "--resolution" in asked else ["--resolution", str(self.usual_px)]
        out = ["--output_dir", str(self.folder / "out"), "--max_data_loader_n_workers", "0", "--cache_latents"]
        return ["--pretrained_model_name_or_path", model, *data, *usual, *out, *asked]

    def model(self, family: str) -> Path:
        """The file of a model, made once."""
        return model_in(self.folder, family, self.size, self.dtype)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__, ("expected", "measured")))
