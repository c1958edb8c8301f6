"""A deployment's parts made from its settings: codec, connections, topics, policies, control.

Enters: settings. Leaves: topics applied, policies published, events produced.
"""
