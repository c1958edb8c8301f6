"""The intake agent: foreign topics, mapped, checked, keyed and ordered.

Enters: any topic. Leaves: tocsin's source topics, or dead letters.
"""
