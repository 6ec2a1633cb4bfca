from .build import build_dataset as build_dataset
from .dataset.store import PatchStore as PatchStore
