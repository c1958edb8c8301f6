"""The web console and API: parse, ask `queries`, render.

Enters: HTTP requests. Leaves: pages and JSON.
"""
