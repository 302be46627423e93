"""Classifiers: loading them, asking them for probabilities, fine-tuning them."""
