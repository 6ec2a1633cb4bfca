"""Two cameras' folders of photos become captures, divided into train, val and test, before any pixel is read.

It stands on `photos`; rooms to its right may enter, the trainer through `records` and `listing` alone.
"""
