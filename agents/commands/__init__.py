"""The command line: parse, ask, print. Nothing else imports it.

Enters: arguments. Leaves: tables or JSON, and an exit code.
"""
