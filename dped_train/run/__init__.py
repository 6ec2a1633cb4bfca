"""A training as a folder: state, checkpoints, log, validation, several processes, the cards of models.

It stands on `losses` and `evaluate`; only `train` and what is above it may enter.
"""
