"""What network modules (LoRA and its kin) are made of; the modules themselves, by the names of their users, stand in
sd_scripts/networks."""
