"""Train and use the DPED photo enhancer: patch shards in, models and enhanced photos out."""

from dped_train.enhancer_file import load_enhancer, save_enhancer

__all__ = ["load_enhancer", "save_enhancer"]
