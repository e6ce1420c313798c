"""A training of a network beside a tiny model."""

from pathlib import Path

from safetensors.torch import load_file

from sd_scripts.options.sdxl_train_network import SdxlTrainNetworkOptions
from sd_scripts.options.spec import from_values
from sd_scripts.options.train_network import TrainNetworkOptions
from tests.train.tiny import Recorder, brief, shown_as_asked, tiny_data, tiny_family


def network_options(folder, script=TrainNetworkOptions, **values):
    """Options of train_network.py, or of the other script, with the paths filled in."""
    given = {
        "pretrained_model_name_or_path": "base.safetensors",
        "network_module": "networks.lora",
        **brief(folder),
    }
    return from_values(script, given | values)


def make_network_trainer(folder, family=None, data=None, as_asked=True, **values):
    from sd_scripts.library.train.network_method import NetworkMethod
    from sd_scripts.library.train.trainer import Trainer

    recorder = Recorder()
    family = family or tiny_family()
    script = SdxlTrainNetworkOptions if family.name == "sdxl" else TrainNetworkOptions
    given = network_options(folder, script, **values)
    data = shown_as_asked(data or tiny_data(), given) if as_asked else data
    method = NetworkMethod(given, recorder.report)
    return Trainer(family, method, data, given, recorder.report, given.start), recorder


def train_network(folder, family=None, data=None, as_asked=True, **values):
    """Trains to the end; (trainer, recorder)."""
    trainer, recorder = make_network_trainer(folder, family, data, as_asked, **values)
    trainer.run()
    return trainer, recorder


def saved(folder, name="X.safetensors"):
    """The tensors of a file that was written."""
    return load_file(Path(folder) / "out" / name)
