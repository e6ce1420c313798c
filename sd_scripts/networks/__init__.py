"""Network modules under the names that their users know: --network_module networks.lora."""
