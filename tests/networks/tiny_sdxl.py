"""A training of a network beside a tiny SDXL model."""

from sd_scripts.options.sdxl_train_network import SdxlTrainNetworkOptions
from sd_scripts.options.spec import from_values
from tests.train.tiny import Recorder, brief, shown_as_asked, tiny_data
from tests.train.tiny_sdxl import tiny_sdxl


def sdxl_network_options(folder, **values):
    """Options of sdxl_train_network.py with the paths filled in."""
    given = {
        "pretrained_model_name_or_path": "base.safetensors",
        "network_module": "networks.lora",
        **brief(folder),
    }
    return from_values(SdxlTrainNetworkOptions, given | values)


def train_sdxl_network(folder, family=None, data=None, **values):
    """Trains to the end; (trainer, recorder)."""
    from sd_scripts.library.train.network_method import NetworkMethod
    from sd_scripts.library.train.trainer import Trainer

    recorder = Recorder()
    given = sdxl_network_options(folder, **values)
    data = shown_as_asked(data or tiny_data(), given)
    method = NetworkMethod(given, recorder.report)
    trainer = Trainer(family or tiny_sdxl(), method, data, given, recorder.report, given.start)
    trainer.run()
    return trainer, recorder
