"""What a failure is called, and what the page offers to try after it."""

import pytest

from kohya_gui.monitor import Monitor
from kohya_gui.remedies import REMEDIES, option_to_blame, remedies
from kohya_gui.runs.failures import kind_of
from kohya_gui.stages import STAGES
from kohya_gui.words import speaking
from sd_scripts.library import events
from sd_scripts.options.spec import option_specs


def defaults_of(options: type) -> dict:
    return {flag: spec.default for flag, spec in option_specs(options).items()}


HAD = defaults_of(STAGES["train"].options) | {
    "train_batch_size": 4, "mixed_precision": "fp16", "train_text_encoder": True, "learning_rate": 2e-5,
    "max_grad_norm": 0.0, "save_every_n_epochs": 1, "save_every_n_steps": 5, "save_state": True,
    "max_data_loader_n_workers": 8, "output_dir": "/work/out", "in_json": "/work/meta_lat.json",
}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "code", "tail", "kind"),
    [
        (events.Failed(sentence="x", kind="memory"), 1, "", "memory"),
        (events.Failed(sentence="x", option="resume"), 2, "No space left on device", None),
        (events.Failed(sentence="The program failed"), 1, "RuntimeError: CUDA out of memory. Tried", "memory"),
        (events.Failed(sentence="The program failed"), 1, "OSError: [Errno 28] No space left on device", "disk_full"),
        (None, -9, "", "killed"),
        (None, -11, "", None),
        (None, 1, "Traceback", None),
    ],
)
def test_the_kind_is_what_the_script_says_or_what_its_end_shows(told, code, tail, kind):
    assert kind_of(told, code, tail) == kind


def offered(kind, **had):
    return {one["name"]: one["changes"] for one in remedies(kind, HAD | had)}


def test_memory():
    assert offered("memory") == {
        "recompute": {"gradient_checkpointing": True},
        "batch_1": {"train_batch_size": 1, "gradient_accumulation_steps": 4},
        "retry_smaller": {"on_oom": "retry"},
        "adamw8bit": {"optimizer_type": "AdamW8bit"},
        "bf16": {"mixed_precision": "bf16"},
    }
    tried = offered("memory", gradient_checkpointing=True, train_batch_size=1, mixed_precision="bf16", on_oom="retry")
    assert tried == {"adamw8bit": {"optimizer_type": "AdamW8bit"}, "text_encoder_still": {"train_text_encoder": False}}
    fused = offered("memory", fused_backward_pass=True)
    assert fused["batch_1"] == {"train_batch_size": 1} and "retry_smaller" not in fused
    assert "adamw8bit" not in offered("memory", network_module="networks.lora", gradient_checkpointing=True)


def test_a_loss_that_is_no_number():
    found = offered("not_finite")
    assert found["rate_tenth"] == {"learning_rate": 2e-6} and found["bf16"] == {"mixed_precision": "bf16"}
    assert "bf16" not in offered("not_finite", mixed_precision="no")
    assert found["skip_steps"] == {"on_nonfinite": "skip"} and found["min_snr"] == {"min_snr_gamma": 5.0}
    assert "skip_steps" not in offered("not_finite", fused_backward_pass=True)


def test_a_full_disk_and_a_killed_process():
    assert offered("disk_full")["keep_one_epoch"] == {"save_last_n_epochs": 1}
    assert "keep_one_epoch" not in offered("disk_full", save_every_n_epochs=None)
    assert offered("killed")["no_readers"] == {"max_data_loader_n_workers": 0}
    assert option_to_blame("disk_full", "Full.", HAD) == "output_dir"
    assert option_to_blame("file", "There is no /work/meta_lat.json.", HAD) == "in_json"
    assert option_to_blame("memory", "There is no /work/meta_lat.json.", HAD) is None


@pytest.mark.parametrize("stage", STAGES)
def test_every_remedy_suits_every_stage_and_is_named(stage):
    defaults = defaults_of(STAGES[stage].options)
    for kind, all_ in REMEDIES.items():
        for remedy in all_:
            assert remedy.change(defaults).keys() <= defaults.keys()
        for lang in ("en", "ja"):
            with speaking(lang):
                assert all("remedy." not in one["label"] + one["help"] for one in remedies(kind, HAD))
    assert remedies(None, HAD) == []


def test_a_failed_run_says_what_to_try(lab):
    run_id = lab.queue.add(**lab.step("hungry", "--then", "starve"), values={"gradient_checkpointing": False}).id
    lab.wait(run_id, "failed")
    run = Monitor(lab.queue).run(run_id)
    assert (run["row"]["word"], run["failure"]["sentence"]) == ("Out of memory", "Memory ran out after 3 steps.")
    assert [one["changes"] for one in run["failure"]["remedies"]] == [{"gradient_checkpointing": True}]
    assert run["failure"]["tail"].endswith("torch.OutOfMemoryError: CUDA out of memory.")
