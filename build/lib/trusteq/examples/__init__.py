"""Examples of the Hub, of files and of generators in one table: id, text_a, text_b, label."""
