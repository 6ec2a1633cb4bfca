"""The networks: the enhancer, the discriminator, VGG, those they are compared with, and their files.

It stands on `devices` and `cpu`; every room of the trainer to its right may enter.
"""
