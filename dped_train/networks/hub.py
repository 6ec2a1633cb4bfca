"""Enhancers on the Hugging Face Hub, by addresses such as hf://OWNER/NAME, through huggingface_hub (the extra `hub`).

Of a repository one file is read, `enhancer.safetensors`: no code, nothing pickled, nothing larger than an enhancer can
be. What comes is checked like any other model file.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from dped_data.errors import InputError, UsageError

HUB_FILE, HUB_CARD = "enhancer.safetensors", "README.md"
MOST_BYTES = 50_000_000
"""Ours: an enhancer takes 1.6 MB."""
_ADDRESS = re.compile(r"hf://?(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
"""One slash is enough: a Path has lost the second."""
_COMMIT = re.compile("[0-9a-f]{40}")


def is_on_hub(model: Path | str) -> bool:
    """Tell whether `model` is an address on the Hub."""
    return str(model).startswith("hf:/")


def fetched_from_hub(address: str) -> Path:
    """The enhancer at `address` in the Hub's cache on this machine, downloaded where it is not there yet.

    Args:
        address: hf://OWNER/NAME, or hf://OWNER/NAME@REVISION, where a commit's hash names the same bytes for ever;
            without one it is the newest, or without a network the newest that was fetched before.

    Raises:
        InputError: huggingface_hub is not installed, or there is no such file, one that is too large, or no network.
        UsageError: not an address.
    """
    repository, revision = _parts(address)
    hub = _huggingface_hub(address)
    kept = hub.try_to_load_from_cache(repository, HUB_FILE, revision=revision)
    if isinstance(kept, str) and _COMMIT.fullmatch(revision or ""):
        return Path(kept)
    try:  # asked for once: a download by itself would try for half a minute
        found = hub.get_hf_file_metadata(hub.hf_hub_url(repository, HUB_FILE, revision=revision))
        if found.size is None or found.size > MOST_BYTES:
            raise InputError(
                f"{address}: {HUB_FILE} has {found.size or 'an unknown number of'} bytes, at most {MOST_BYTES} are "
                "fetched; it is no enhancer"
            )
        return Path(hub.hf_hub_download(repository, HUB_FILE, revision=revision))
    except (OSError, ValueError, hub.errors.HTTPError) as error:
        if isinstance(kept, str) and not isinstance(error, hub.errors.HfHubHTTPError):  # the Hub did not answer
            return Path(kept)
        raise InputError(
            f"{address}: {HUB_FILE} cannot be fetched ({_told(error)}); check owner, name and network, and where it is "
            "private sign in with `hf auth login`"
        ) from error


def pushed_to_hub(model: Path, address: str, private: bool) -> str:
    """Put a model file and the card beside it, if there is one, into a repository; return the address of that commit.

    Raises:
        InputError: huggingface_hub is not installed, or the Hub refuses; UsageError: not an address, or one that names
            a revision.
    """
    repository, revision = _parts(address)
    if revision is not None:
        raise UsageError(f"{address}: names a revision; leave it out, the new one is printed")
    hub = _huggingface_hub(address)
    files = {HUB_FILE: model} | ({HUB_CARD: card} if (card := model.parent / HUB_CARD).is_file() else {})
    try:
        api = hub.HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.create_commit(
            repository,
            [hub.CommitOperationAdd(name, file) for name, file in files.items()],
            commit_message="Enhancer of dped",
        )
    except (OSError, ValueError, hub.errors.HTTPError) as error:
        raise InputError(
            f"{address}: the Hub does not take it ({_told(error)}); sign in with `hf auth login`, as somebody who may "
            "write there"
        ) from error
    return f"hf://{repository}@{commit.oid}"


def _parts(address: str) -> tuple[str, str | None]:
    """Repository and revision of an address."""
    found = _ADDRESS.fullmatch(str(address))
    if found is None:
        raise UsageError(f"{address}: not a model on the Hub; write hf://OWNER/NAME or hf://OWNER/NAME@REVISION")
    return found["repository"], found["revision"]


def _huggingface_hub(address: str) -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise InputError(f"{address}: needs huggingface_hub; pip install 'dped[hub]'") from None
    return huggingface_hub


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
