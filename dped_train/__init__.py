"""Train and use the DPED photo enhancer: patch shards in, models and enhanced photos out."""
