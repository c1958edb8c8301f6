"""What a deployment held at an earlier moment, put where the same questions can be asked of it.

Enters: the history in ClickHouse and an instant. Leaves: a lookup over what was known by then, for
any question of `queries`. No click, no aiohttp.
"""
