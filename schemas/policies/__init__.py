"""The packaged policies, rates and signals, and how policies extend and differ.

Enters: a policy file or name. Leaves: its canonical document.
"""
