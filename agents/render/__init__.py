"""How warnings, events and amounts read to people, in English and Chinese, and the terminal.

Enters: values of the domain. Leaves: texts and tables.
"""
