"""Pictures of a trained model: what gen_img.py does."""
