"""What has a name here, how a mistyped name is answered, and how weights of others come from a server."""

from __future__ import annotations

import hashlib
import shlex
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from make_shards import make_dataset

import cli
from dped_data.common.files import atomic_write_bytes
from dped_data.errors import InputError
from dped_data.photos.writing import write_photo
from dped_train.networks import weights as weights_module
from dped_train.networks.compared import Srcnn
from dped_train.networks.file import find_model, save_enhancer
from dped_train.networks.weights import VGG19, fetched

Run = Callable[[str], str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with models/iphone, runs/sony and a dataset, and an empty cache of torch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    for file in ("models/iphone.safetensors", "runs/sony/enhancer.safetensors"):
        Path(file).parent.mkdir(parents=True)
        save_enhancer(Srcnn(), Path(file), {"recipe": "released", "phone": "sony", "step": "7"})
    make_dataset(tmp_path / "dataset" / "sony", train=2, val=0, test=2, size=24)
    write_photo(tmp_path / "cut.png", np.full((20, 30, 3), 90, np.uint8))
    return tmp_path


@pytest.fixture
def dped(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(arguments: str) -> str:
        cli.dped.main(shlex.split(arguments), standalone_mode=False)
        return capsys.readouterr().out

    return run


@pytest.mark.usefixtures("place")
def test_a_model_is_found_by_name_folder_and_file() -> None:
    sony = Path("runs/sony/enhancer.safetensors")
    assert find_model("sony") == find_model("runs/sony") == find_model(sony) == sony
    assert find_model("iphone") == Path("models/iphone.safetensors")
    save_enhancer(Srcnn(), Path("models/sony.safetensors"))
    assert find_model("sony") == Path("models/sony.safetensors")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("typed", "meant"), [("sonny", "sony"), ("iphnoe", "iphone"), ("runs/sonny", "runs/sony"), ("nothing", "")]
)
def test_a_mistyped_name_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(InputError, match=rf"^{typed}: neither a model .*\(there: iphone, sony\);") as told:
        find_model(typed)
    assert (f"did you mean '{meant}'?" in str(told.value)) == bool(meant)
    with pytest.raises(InputError, match=r"no such model file; did you mean 'models/iphone.safetensors'\?"):
        find_model("models/ipone.safetensors")
    with pytest.raises(InputError, match=r"no such model file; `dped train`"):
        find_model("models/none.safetensors")


@pytest.mark.usefixtures("place")
def test_names_work_in_every_command(dped: Run) -> None:
    assert "runs/sony/enhancer.safetensors on test of" in dped("evaluate --model sony --device cpu")
    assert "models/iphone.safetensors on test of" in dped("evaluate --model iphone --data dataset --device cpu")
    atomic_write_bytes(Path("sony.pt2"), b"an earlier export")
    assert "sony.pt2: pt2" in dped("export-onnx sony --out sony.pt2 --size 8x8 --overwrite")
    assert "1 enhanced" in dped("enhance sony cut.png --out out --device cpu")
    text = dped("models")
    for words in ("sony    runs/sony/enhancer.safetensors", "srcnn-enhancer, none normalisation, released, phone sony"):
        assert words in text
    assert "not there: dped models --fetch vgg19" in text
    assert '"name": "iphone"' in dped("models --json")


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Address of a server on this machine, and what it serves."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("place")
def test_weights_are_fetched_once_and_their_hash_is_checked(
    served: tuple[str, dict[str, bytes]], dped: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, files = served
    files["/w.pth"] = bytes(range(256)) * 50
    sha256 = hashlib.sha256(files["/w.pth"]).hexdigest()
    ours = replace(VGG19, url=f"{address}/w.pth", sha256=sha256[:8])
    with pytest.raises(InputError, match=r"vgg19 cannot be downloaded \(.*404.*\); put http://.*/none.pth there"):
        fetched(replace(ours, url=f"{address}/none.pth"))
    with pytest.raises(InputError, match=r"vgg19 cannot be downloaded \(invalid hash value"):
        fetched(replace(ours, sha256="0" * 64))
    assert not ours.path.exists()
    monkeypatch.setattr(weights_module, "VGG19", ours)
    assert f"{ours.path}: vgg19" in dped("models --fetch vgg19")
    assert ours.path.read_bytes() == files.pop("/w.pth")
    assert fetched(ours) == ours.path  # the server has it no more
    assert f"  vgg19  content loss of dped train\n         {ours.path}" in dped("models")
    ours.path.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"sha256 starts with .*must be .*delete the file"):
        fetched(ours)


@pytest.mark.usefixtures("place")
def test_what_else_has_the_name_of_weights_is_left_alone(served: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    address, files = served
    files["/w.pth"] = b"weights"
    ours = replace(VGG19, url=f"{address}/w.pth", sha256=hashlib.sha256(b"weights").hexdigest())
    ours.path.mkdir(parents=True)
    (ours.path / "mine").touch()
    with pytest.raises(InputError, match=r"pth: is no file; move it away"):
        fetched(ours)
    assert [path.name for path in ours.path.iterdir()] == ["mine"]
    linked = replace(ours, file="linked.pth")
    linked.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"pth: is no file; move it away"):
        fetched(linked)
    assert linked.path.is_symlink() and not (tmp_path / "elsewhere").exists()
