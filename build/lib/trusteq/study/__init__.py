"""An experiment: what is computed, and written."""
