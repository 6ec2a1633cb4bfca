"""What lies on disk: names, shards, manifest, tables, card; written whole, checked before it is believed.

It stands on `align.records`; rooms to its right and the trainer may enter.
"""
