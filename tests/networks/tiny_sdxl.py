"""A training of a network beside a tiny SDXL model."""

from sd_scripts.options.sdxl_train_network import SdxlTrainNetworkOptions
from tests.networks.tiny import network_options, train_network
from tests.train.tiny_sdxl import tiny_sdxl


def sdxl_network_options(folder, **values):
    """Options of sdxl_train_network.py with the paths filled in."""
    return network_options(folder, SdxlTrainNetworkOptions, **values)


def train_sdxl_network(folder, family=None, data=None, **values):
    """Trains to the end; (trainer, recorder)."""
    return train_network(folder, family or tiny_sdxl(), data, **values)
