"""Weights on the Hugging Face Hub: what is published of a run, the card that tells of it, and how it gets there."""
