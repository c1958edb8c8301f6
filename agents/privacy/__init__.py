"""Keys of customers' personal data: encryption, erasure, master keys.

Enters: marked fields. Leaves: encrypted fields, or plain text for who has the keys.
"""
