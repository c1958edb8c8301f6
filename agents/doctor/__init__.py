"""What goes wrong first, and how to mend it.

Enters: settings and whatever answers. Leaves: findings with a mend each.
"""
