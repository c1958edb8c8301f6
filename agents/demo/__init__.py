"""The main job, whole, as `make demo` shows it.

Enters: a wish (size, seed, language). Leaves: a running deployment and its summary.
"""
