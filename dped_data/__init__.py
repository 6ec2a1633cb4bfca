"""Photos in, shards out: the DPED dataset construction and alignment toolkit."""
