"""May this small model replace that large one?"""
