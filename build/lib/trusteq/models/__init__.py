"""Classifiers: loading them, asking them for probabilities, fine-tuning and compressing them."""
