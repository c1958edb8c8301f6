"""Files that say what counts as harm: the packaged ones, and the reader for those of users.

Enters: a file or the name of a packaged one. Leaves: harms, or problems by line.
"""
