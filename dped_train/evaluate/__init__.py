"""How good a model is: metrics on held-out captures with intervals over captures, and pictures of it.

It stands on `networks`; `run`, `reproduction` and the command line may enter.
"""
