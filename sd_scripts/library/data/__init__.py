"""Pictures, texts, buckets, cached latents, and the batches made of them."""
