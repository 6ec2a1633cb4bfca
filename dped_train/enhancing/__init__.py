"""Whole photos through a trained network, in strips that fit into memory, exactly as in one piece.

It stands on `networks`; `reproduction`, the command line and users' programs may enter.
"""
