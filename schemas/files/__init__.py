"""Text and YAML as people write them: bounded, decoded, told with line and near names.

Enters: files. Leaves: text and documents, or problems by line.
"""
