from .data import PatchPairs as PatchPairs
from .enhancing.photos import enhance as enhance
from .enhancing.settings import EnhanceSettings as EnhanceSettings
from .export import export_enhancer as export_enhancer
from .networks.file import load_enhancer as load_enhancer
from .networks.file import push_enhancer as push_enhancer
from .networks.file import save_enhancer as save_enhancer
from .patch_dataset import PatchDataset as PatchDataset
