"""Networks: LoRA and DoRA, their files, and their training."""
