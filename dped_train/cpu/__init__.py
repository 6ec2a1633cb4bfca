"""Speed made by hand for training on CPUs; DPED_PLAIN_TORCH=1 leaves it out.

Only `dped_train.cpu` itself is imported from outside.
"""
