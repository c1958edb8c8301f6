"""Documents made of the code: `make docs`; tests compare.

Enters: the code. Leaves: files in docs/.
"""
