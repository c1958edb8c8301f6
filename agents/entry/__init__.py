"""What people enter by hand: engagements, mended dead letters.

Enters: fields as typed. Leaves: events on the source topics.
"""
