"""The notifier: warnings to people, by routes, digests, quiet hours and budgets, each once.

Enters: the warnings topic. Leaves: deliveries, and an outbox that survives kills.
"""
