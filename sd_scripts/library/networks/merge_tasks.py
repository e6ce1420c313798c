"""The tools that merge networks, from their options to the written file. What is asked is checked before torch is
loaded."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sd_scripts.library.io import asked
from sd_scripts.library.networks.block_strengths import Strengths, read_strengths
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report, counted
from sd_scripts.options.network_tools import JoinOptions, MergeFilesOptions, MergeLycorisOptions, SvdMergeLoraOptions

if TYPE_CHECKING:
    from torch import Tensor

    from sd_scripts.library.networks.into_model import Strong


class MergeTask:
    """What merge_lora.py and its kin do. `sdxl`: which models it is for; None, where a network's own names tell."""

    def __init__(
        self, files: MergeFilesOptions, sdxl: bool | None, v2: bool = False, lbws: list[str] | None = None
    ) -> None:
        self.files, self.sdxl, self.v2 = files, sdxl, v2
        self.models = [asked.input_file("--models", path) for path in files.models]
        given = asked.one_for_each("--ratios", files.ratios, len(self.models))
        self.ratios = given or [1.0] * len(self.models)
        self.blocks: list[Strengths] = read_strengths(lbws, len(self.models), sdxl)

    def check_output(self, sd_model: str | None) -> Path:
        """The file to write. Errors: BadOption, BadFile."""
        read: list[str | Path] = [*self.models, *([sd_model] if sd_model else [])]
        return asked.output_file("--save_to", self.files.save_to, read)

    def networks(self, plain: bool) -> "list[Strong]":
        """The networks with their strengths; `plain`: none of them may be a DoRA. Errors: BadFile."""
        from sd_scripts.library.networks.into_model import Strong
        from sd_scripts.library.networks.opening import check_base
        from sd_scripts.library.networks.stored import StoredNetwork, plain_network

        opened = [plain_network(path) if plain else StoredNetwork(path) for path in self.models]
        for network in opened:
            if self.sdxl is not None:
                check_base(network, "sdxl" if self.sdxl else "sd")
        return [Strong(*each) for each in zip(opened, self.ratios, self.blocks, strict=True)]

    def into_model(self, sd_model: str, with_spec: bool, report: Report) -> None:
        """Merges the networks into a model. Errors: BadOption, BadFile."""
        to = self.check_output(sd_model)
        from sd_scripts.library.models.numbers import dtype_of
        from sd_scripts.library.networks.into_model import Written, merge_into
        from sd_scripts.library.networks.opening import Wanted, opened

        networks = self.networks(plain=False)
        other = "networks/merge_lora.py" if self.sdxl else "networks/sdxl_merge_lora.py"
        model = opened(sd_model, Wanted(bool(self.sdxl), self.v2, other_tool=other))
        saved_as = dtype_of(self.files.save_precision or self.files.precision)
        written = Written(to, saved_as, with_spec, [sd_model, *map(str, self.models)])
        merge_into(model, networks, dtype_of(self.files.precision), written, report)

    def into_one(self, join: JoinOptions, with_spec: bool, report: Report) -> None:
        """Merges the networks into one. Errors: BadOption, BadFile."""
        to = self.check_output(None)
        from sd_scripts.library.models.numbers import dtype_of
        from sd_scripts.library.networks.merging import joined, merged

        networks = self.networks(plain=True)
        tensors = merged(networks, joined(join.concat, join.shuffle), dtype_of(self.files.precision), report)
        self._write(to, tensors, networks, with_spec, report)

    def approximate(self, options: SvdMergeLoraOptions, report: Report) -> None:
        """Merges the networks into one of a rank. Errors: BadOption, BadFile."""
        to = self.check_output(None)
        from sd_scripts.library.models.numbers import device_of, dtype_of
        from sd_scripts.library.networks.merging import approximated, merged

        device = device_of("device", options.svd.device)
        networks = self.networks(plain=True)
        ranks = options.ranks
        join = approximated(ranks.new_rank, ranks.new_conv_rank or ranks.new_rank)
        tensors = merged(networks, join, dtype_of(self.files.precision), report, device)
        self._write(to, tensors, networks, not options.spec.no_metadata, report)

    def _write(
        self, to: Path, tensors: "dict[str, Tensor]", networks: "Sequence[Strong]", with_spec: bool, report: Report
    ) -> None:
        from sd_scripts.library.models.numbers import dtype_of
        from sd_scripts.library.networks.merging import linear_ranks, write_merged

        dtype = dtype_of(self.files.save_precision or self.files.precision)
        patiently(report, to, partial(write_merged, to, tensors, networks, self.v2, dtype, with_spec))
        report.saved(to, "model")
        ranks = sorted(linear_ranks(tensors))
        shown = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
        report.summary(f"Merged {counted(len(networks), 'network')} into one of {shown}: {to}.")


def merge(task: MergeTask, sd_model: str | None, join: JoinOptions, with_spec: bool, report: Report) -> None:
    """Into the model where there is one, else into one network. Errors: BadOption, BadFile."""
    if not sd_model:
        task.into_one(join, with_spec, report)
        return
    for name in ("concat", "shuffle"):
        if getattr(join, name):
            report.notice(f"--{name} is not used: with --sd_model the networks are merged into the model.", "warning")
    task.into_model(sd_model, with_spec, report)


def merge_lycoris(options: MergeLycorisOptions, report: Report) -> None:
    """Merges a network of LyCORIS into a model. Errors: BadOption, BadFile, NotInstalled."""
    network = asked.input_file("lycoris_model", options.lycoris_model)
    to = asked.output_file("output_name", options.output_name, [options.base_model, network])
    from sd_scripts.library.models.numbers import device_of, dtype_of
    from sd_scripts.library.networks.into_model import Written
    from sd_scripts.library.networks.lycoris_merging import merge_lycoris as merge_network
    from sd_scripts.library.networks.opening import Wanted, opened

    device = device_of("device", options.device)
    model = opened(options.base_model, Wanted(options.is_sdxl, options.is_v2, "is_v2", "is_sdxl"))
    written = Written(to, dtype_of(options.dtype), True, [options.base_model, str(network)])
    merge_network(model, str(network), options.weight, device, written, report)
