"""A trained enhancer as one safetensors file: written whole, checked when read, never unpickled.

The convention, for everyone who stores an enhancer: tensors named as in the network's `state_dict()`, and the metadata
keys `architecture` ("dped-enhancer", "srcnn-enhancer" or "johnson-enhancer"), `format_version`, `normalisation`
("instance", "batch" or "none") and `sha256` (of names, shapes and values). A mirrored border stands among the tensors,
too, as `reflected_px`, for programs that see tensors alone.
Further metadata (recipe, dataset digest, metrics) may stand beside them.
"""

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dped_data.common.files import atomic_write_bytes
from dped_data.common.hints import hint
from dped_data.errors import InputError
from dped_train.networks.compared import Johnson, PhotoNetwork, Srcnn
from dped_train.networks.dped import Enhancer, Input, Padding
from dped_train.networks.hub import fetched_from_hub, is_on_hub, pushed_to_hub

ARCHITECTURE = "dped-enhancer"
SRCNN, JOHNSON = "srcnn-enhancer", "johnson-enhancer"
FORMAT_VERSION, PADDED_VERSION, RAW_VERSION = "1", "2", "3"
"""The second of enhancers that name their padding, without one it is zeros; the third of those that see mosaics."""
REFLECTED = "reflected_px"
MODEL_NAME = "enhancer.safetensors"
"""Of the enhancer in the folder of a training run."""
MODELS, RUNS = Path("models"), Path("runs")
"""Folders in which models are looked for by name."""
_MOST_HEAD = 2**22
"""Ours: bytes of names, shapes and metadata; a checkpoint's take a fortieth of it."""
_MOST_TOLD = 200
_RESERVED = ("architecture", "format_version", "input", "normalisation", "padding", "sha256")


def save_enhancer(enhancer: PhotoNetwork, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write `enhancer` to `path` as safetensors, whole or not at all.

    Args:
        enhancer: its weights are stored as float32, on whatever device they are.
        path: the file to write; an existing one is replaced.
        metadata: further text fields to store. The four reserved names are the convention's own.

    Raises:
        ValueError: when `metadata` uses a reserved name.
    """
    extra = dict(metadata or {})
    taken = sorted(set(extra) & set(_RESERVED))
    if taken:
        raise ValueError(f"metadata names {taken} are reserved")
    tensors = {name: value.detach().cpu().contiguous() for name, value in enhancer.state_dict().items()}
    extra["architecture"], extra["normalisation"] = kind_of(enhancer)
    extra["format_version"] = FORMAT_VERSION
    if isinstance(enhancer, Enhancer) and enhancer.padding != "zeros":
        # a version that knows zeros only must not take it for one of its own
        extra |= {"padding": enhancer.padding, "format_version": PADDED_VERSION}
        tensors[REFLECTED] = torch.tensor(enhancer.margin_px)
    if isinstance(enhancer, Enhancer) and enhancer.input == "raw":
        extra |= {"padding": enhancer.padding, "input": enhancer.input, "format_version": RAW_VERSION}
    extra["sha256"] = digest_of_tensors(tensors)
    atomic_write_bytes(path, save(tensors, extra))


def load_enhancer(path: str | Path, device: str | torch.device = "cpu") -> PhotoNetwork:
    """Read the enhancer that `save_enhancer` wrote, in evaluation mode, on `device`.

    Args:
        path: a file, or an address on the Hugging Face Hub, hf://OWNER/NAME or hf://OWNER/NAME@REVISION (with the extra
            `hub`): see `fetched_from_hub`.
        device: where to compute.

    Raises:
        InputError: the file is missing, truncated, altered, not safetensors, or holds another architecture.
    """
    path = fetched_from_hub(str(path)) if is_on_hub(path) else path
    metadata, tensors = _read(Path(path))
    enhancer = _network(Path(path), metadata)
    expected = enhancer.state_dict()
    weights = {name: value for name, value in tensors.items() if name != REFLECTED}
    problem = _first_difference(expected, weights)
    if problem is not None:
        raise InputError(f"{path}: not the weights of a {metadata['normalisation']} enhancer: {problem}")
    if digest_of_tensors(tensors) != metadata.get("sha256"):
        raise InputError(f"{path}: the weights do not match the file's own sha256; it was altered, fetch it again")
    enhancer.load_state_dict(weights)
    return enhancer.to(device).eval()


def push_enhancer(model: str | Path, address: str, *, private: bool = True) -> str:
    """Put an enhancer on the Hugging Face Hub, with the card of its run; return the address of just this state.

    Earlier files of the repository stay in its history. The extra `hub` is needed, and `hf auth login` once.

    Args:
        model: a model file, the folder of a run, or a name, as `find_model` takes it; only a sound one is put there.
        address: hf://OWNER/NAME; the repository is made where there is none.
        private: whether others may not see a repository that is made.

    Raises:
        InputError: no sound model, huggingface_hub is missing, or the Hub refuses. UsageError: not such an address.
    """
    file = find_model(model)
    load_enhancer(file)
    return pushed_to_hub(file, address, private)


def enhancer_metadata(path: str | Path) -> dict[str, str]:
    """Return the text fields stored with the enhancer at `path`; raises InputError as `load_enhancer` does."""
    metadata, _ = _read(Path(path))
    _network(Path(path), metadata)
    return metadata


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Sha256 over the names, types, shapes and values of CPU `tensors`, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_safetensors(path: Path, what: str, cure: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and the tensors of a safetensors file, which hold no more than the file does.

    Raises:
        InputError: truncated, made up, or not safetensors; the message says that it is not a whole `what`.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
        if size > _MOST_HEAD:
            raise ValueError(f"a head of {size} bytes, at most {_MOST_HEAD} are allowed")
        with safe_open(path, framework="pt", device="cpu") as whole:
            return whole.metadata() or {}, {name: whole.get_tensor(name) for name in whole.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        told = " ".join(str(error).split())[:_MOST_TOLD]
        raise InputError(f"{path}: not a whole {what} ({told}); {cure}") from error


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise InputError(f"{path}: no such model file; `{hint('train')}` and {_imports(path)} make one")
    return read_safetensors(path, "safetensors file", "fetch or write it again")


def kind_of(network: PhotoNetwork) -> tuple[str, str]:
    """Architecture and normalisation of a network, as they stand in its file."""
    if isinstance(network, Enhancer):
        return ARCHITECTURE, network.normalisation
    return (SRCNN, "none") if isinstance(network, Srcnn) else (JOHNSON, "batch")


def sees_mosaics(network: PhotoNetwork) -> bool:
    """Whether a network takes the packed mosaics of RAW files, not photos."""
    return isinstance(network, Enhancer) and network.input == "raw"


def _network(path: Path, metadata: Mapping[str, str]) -> PhotoNetwork:
    """An untrained network of the architecture that the file names; InputError where there is none such."""
    architecture = metadata.get("architecture", "none given")
    if architecture not in (ARCHITECTURE, SRCNN, JOHNSON):
        raise InputError(f"{path}: architecture {architecture!r}, needed {ARCHITECTURE!r}; give a model file of dped")
    if "sha256" not in metadata:
        raise InputError(f"{path}: has no sha256 of its weights; give a model file of dped")
    version = metadata.get("format_version", "none given")
    if version not in (FORMAT_VERSION, PADDED_VERSION, RAW_VERSION):
        known = f"{FORMAT_VERSION} to {RAW_VERSION}"
        raise InputError(f"{path}: model format version {version}, this program reads {known}; update dped")
    named = metadata.get("padding", "none given") if version != FORMAT_VERSION else "zeros"
    if named not in ("zeros", "reflect"):
        raise InputError(f"{path}: padding {named!r}, allowed are 'zeros' and 'reflect'")
    padding: Padding = "reflect" if named == "reflect" else "zeros"
    seen: Input = "raw" if version == RAW_VERSION else "rgb"
    if seen == "raw" and (metadata.get("input"), architecture) != ("raw", ARCHITECTURE):
        raise InputError(f"{path}: input {metadata.get('input')!r}, only a {ARCHITECTURE} sees 'raw'")
    match architecture, metadata.get("normalisation"):
        case "dped-enhancer", "instance":
            return Enhancer("instance", padding, seen)
        case "dped-enhancer", "batch":
            return Enhancer("batch", padding, seen)
        case "srcnn-enhancer", "none":
            return Srcnn()
        case "johnson-enhancer", "batch":
            return Johnson()
        case "dped-enhancer", other:
            raise InputError(f"{path}: normalisation {other!r}, allowed are 'instance' and 'batch'")
        case _, other:
            raise InputError(f"{path}: normalisation {other!r} does not belong to {architecture}; write the file again")


def _first_difference(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """Say in a few words where `found` departs from the `expected` names, shapes and types; None where nowhere."""
    for name in sorted(set(expected) | set(found)):
        if name not in found:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} does not belong there"
        if found[name].shape != expected[name].shape or found[name].dtype != expected[name].dtype:
            allowed = f"{tuple(expected[name].shape)} {expected[name].dtype}"
            return f"{name} is {tuple(found[name].shape)} {found[name].dtype}, needed {allowed}"
        if not torch.isfinite(found[name]).all():
            return f"{name} holds values that are not finite"
    return None


def find_model(model: Path | str, models: Path = MODELS, runs: Path = RUNS) -> Path:
    """Return the model file that `model` means: a file, the folder of a run, or a name in `models`, then in `runs`; or
    an address on the Hugging Face Hub, which is fetched.

    Raises:
        InputError: none of them; the message has the nearest name, or lists those there are.
    """
    if is_on_hub(model):
        return fetched_from_hub(str(model))
    path = Path(model)
    places = [models / f"{model}.safetensors", runs / path / MODEL_NAME]
    for file in (path / MODEL_NAME, path, *places):
        if file.is_file():
            return file
    known = known_models(models, runs)
    near = _nearest(path, known)
    meant = f"; did you mean '{near}'?" if near else ";"
    if path.suffix and not path.is_dir():
        raise InputError(f"{model}: no such model file{meant} `{hint('train')}` and {_imports(path)} make one")
    raise InputError(
        f"{model}: neither a model file nor the name of one in {models} or {runs} "
        f"(there: {', '.join(sorted(known)) or 'none yet'}){meant} "
        f"`{hint('models')}` lists them, {_imports(places[0])} puts one there"
    )


def _imports(file: Path) -> str:
    """The command that makes a model file of the authors' checkpoint PREFIX."""
    return f"`{hint('import-checkpoint', 'PREFIX', '--out', file)}`"


def known_models(models: Path = MODELS, runs: Path = RUNS) -> dict[str, Path]:
    """The models that have a name: it, and the file."""
    named = {place.parent.name: place for place in sorted(runs.glob(f"*/{MODEL_NAME}"))}
    return named | {place.stem: place for place in sorted(models.glob("*.safetensors"))}


def _nearest(path: Path, known: Iterable[str]) -> str | None:
    """The name, or the file or run beside where `path` would be, that a mistyped one most likely stands for."""
    beside = [*path.parent.glob("*.safetensors"), *(place.parent for place in path.parent.glob(f"*/{MODEL_NAME}"))]
    candidates = {name: name for name in known} | {place.stem: str(place) for place in sorted(beside)}
    near = difflib.get_close_matches(path.stem, candidates, n=1, cutoff=0.7)
    return candidates[near[0]] if near else None
