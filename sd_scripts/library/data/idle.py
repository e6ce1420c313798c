"""Options of sizes and latents that are given and change nothing: a sentence for each. Needs no torch."""

from collections.abc import Iterator, Sequence

from sd_scripts.library.data.buckets import BucketRules
from sd_scripts.library.data.dataset_options import DataSettings
from sd_scripts.library.data.subsets import Dataset
from sd_scripts.library.notice import Notice
from sd_scripts.options.data import ResolutionOptions

SIZES = ("resolution", "enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "bucket_no_upscale")


def idle_sizes(options: DataSettings, datasets: Sequence[Dataset]) -> Iterator[Notice]:
    """What can be said before pictures are read."""
    kept = options.resolution.cache_latents or options.resolution.cache_latents_to_disk
    if options.resolution.vae_batch_size != ResolutionOptions().vae_batch_size and not kept:
        sentence = "--vae_batch_size changes nothing without --cache_latents or --cache_latents_to_disk."
        yield Notice("vae_batch_size", sentence)
    for number, dataset in enumerate(datasets, 1):
        in_file = bool(dataset.subsets[0].where)
        if dataset.rules:
            yield from _about_buckets(dataset.rules, f"Dataset {number}: " if in_file else "", "" if in_file else "--")


def idle_prepared(options: DataSettings) -> Iterator[Notice]:
    """What to say where every picture of --in_json has a prepared size."""
    plain = ResolutionOptions()
    given = [name for name in SIZES if getattr(options.resolution, name) != getattr(plain, name)]
    if given:
        flags = ", ".join(f"--{name}" for name in given)
        yield Notice(given[0], f"Not used, as the metadata has a prepared size for every picture: {flags}.")


def _about_buckets(rules: BucketRules, about: str, dashes: str) -> Iterator[Notice]:
    plain = BucketRules(rules.resolution_px)
    limits = {"min_bucket_reso": rules.min_px != plain.min_px, "max_bucket_reso": rules.max_px != plain.max_px}
    if rules.one_size:
        steps = {"bucket_reso_steps": rules.step_px != plain.step_px, "bucket_no_upscale": rules.no_upscale}
        for option in (name for name, given in {**limits, **steps}.items() if given):
            yield Notice(option, f"{about}{dashes}{option} changes nothing without {dashes}enable_bucket.")
    elif rules.no_upscale:
        for option in (name for name, given in limits.items() if given):
            beside = f"{dashes}bucket_no_upscale, which has no such limit"
            yield Notice(option, f"{about}{dashes}{option} changes nothing with {beside}.")
