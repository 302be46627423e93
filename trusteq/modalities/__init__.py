"""Kinds of input beyond text, one module each: how it is read and checked, what its features are, who classifies it."""
