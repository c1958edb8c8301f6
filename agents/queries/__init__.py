"""What is known of a customer, a warning, the worklist; commands and console ask the same.

Enters: a lookup over the history. Leaves: values ready to be shown. No click, no aiohttp.
"""
