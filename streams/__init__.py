"""What a stream of receivable events means: pure values in, decisions out; no I/O, no clock."""
