"""Publishing weights on the Hugging Face Hub, with a model card."""
