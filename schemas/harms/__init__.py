"""Files that say what counts as harm: the packaged ones, and the reader for those of users."""
