"""Models on the Hugging Face Hub, for which a server on this machine stands, and through torch.hub."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from dped_command import dped
from huggingface_hub import constants

from dped_data.errors import InputError, UsageError
from dped_train import load_enhancer, push_enhancer, save_enhancer
from dped_train.networks import hub
from dped_train.networks.dped import Enhancer, initialise
from dped_train.networks.file import find_model

ROOT = Path(__file__).parents[3]


class Hub(ThreadingHTTPServer):
    """Commits of one repository, each a dict of files; the last one is `main`. `asked` counts downloads."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.commits = dict[str, dict[str, bytes]]()
        self.asked = list[str]()
        self.private: bool | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client has gone: what it missed fails its test."""

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit; its hash."""
        files = (list(self.commits.values())[-1] if self.commits else {}) | files
        name = hashlib.sha1(repr(sorted(files.items())).encode(), usedforsecurity=False).hexdigest()
        self.commits[name] = files
        return name


class _Answers(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._file(with_body=False)

    def do_GET(self) -> None:
        if "/resolve/" not in self.path:
            return self._answer(404, {})
        self.server.asked.append(self.path)
        return self._file(with_body=True)

    def _file(self, with_body: bool) -> None:
        owner, name, kind, revision, file = self.path.lstrip("/").split("/", 4)
        commit = list(self.server.commits)[-1] if revision == "main" and self.server.commits else revision
        body = self.server.commits.get(commit, {}).get(file)
        if (owner, name, kind) != ("me", "mine", "resolve") or body is None:
            return self._answer(404, {}, {"X-Error-Code": "RepoNotFound"})
        tag = hashlib.sha256(body).hexdigest()
        self._answer(200, body, {"X-Repo-Commit": commit, "ETag": f'"{tag}"'}, with_body)
        return None

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path == "/api/repos/create":
            asked = json.loads(body)  # older packages say it in another word
            self.server.private = asked.get("private", asked.get("visibility") == "private")
            self._answer(200, {"url": "http://127.0.0.1/me/mine", "id": "me/mine"})
        elif "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]
            self._answer(200, {"files": modes})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            files = {v["path"]: base64.b64decode(v["content"]) for v in (x["value"] for x in lines) if "path" in v}
            commit = self.server.commit(files)
            self._answer(200, {"commitUrl": f"http://127.0.0.1/me/mine/commit/{commit}", "commitOid": commit})
        else:
            self._answer(200, {})

    def _answer(self, status: int, body: bytes | dict[str, Any], head: Any = (), with_body: bool = True) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **dict(head)}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(data)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    served = Hub()
    address = f"http://127.0.0.1:{served.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = "{endpoint}/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template.replace("{endpoint}", address))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    thread = threading.Thread(target=served.serve_forever, args=(0.01,))
    thread.start()
    yield served
    served.shutdown()
    thread.join(10)
    served.server_close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A run's folder with an enhancer and its card."""
    enhancer = Enhancer()
    initialise(enhancer, 5)
    (tmp_path / "run").mkdir()
    save_enhancer(enhancer, tmp_path / "run" / "enhancer.safetensors")
    (tmp_path / "run" / "README.md").write_text("what it is")
    (tmp_path / "run" / "metrics.csv").write_text("not for everybody")
    return tmp_path / "run"


def test_what_is_pushed_is_loaded_by_its_address(server: Hub, model: Path) -> None:
    address = push_enhancer(model, "hf://me/mine")
    (name,) = server.commits
    assert address == f"hf://me/mine@{name}" and server.private is True
    assert sorted(server.commits[name]) == ["README.md", "enhancer.safetensors"]
    loaded, kept = load_enhancer(address), load_enhancer(model / "enhancer.safetensors")
    photo = torch.rand(1, 3, 6, 5)
    assert torch.equal(loaded(photo), kept(photo))
    other = Enhancer()
    initialise(other, 6)
    save_enhancer(other, model / "enhancer.safetensors")
    push_enhancer(model, "hf://me/mine")
    assert torch.equal(load_enhancer(address)(photo), kept(photo))
    assert not torch.equal(load_enhancer("hf://me/mine")(photo), kept(photo))


def test_a_file_is_fetched_once_and_found_without_a_network(
    server: Hub, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.commit({"enhancer.safetensors": (model / "enhancer.safetensors").read_bytes()})
    first = find_model("hf://me/mine")
    assert find_model("hf://me/mine") == first and len(server.asked) == 1
    pinned = find_model(f"hf://me/mine@{next(iter(server.commits))}")
    constants.HF_HUB_OFFLINE = True  # the fixture sets it back
    assert find_model("hf://me/mine") == first == pinned and len(server.asked) == 1
    assert capfd.readouterr().err == ""


def test_what_is_too_large_is_not_fetched(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    server.commit({"enhancer.safetensors": b"x" * 1001})
    monkeypatch.setattr(hub, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match=r"^hf://me/mine: enhancer.safetensors has 1001 bytes, at most 1000 are fetch"):
        load_enhancer("hf://me/mine")
    assert server.asked == []


def test_what_is_no_enhancer_is_refused(server: Hub, tmp_path: Path) -> None:
    torch.save({"head.weight": torch.zeros(1)}, tmp_path / "pickled")
    server.commit({"enhancer.safetensors": (tmp_path / "pickled").read_bytes()})
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_enhancer("hf://me/mine")
    with pytest.raises(InputError, match="no such model file|not a whole"):
        push_enhancer(tmp_path / "pickled", "hf://me/mine")
    assert len(server.commits) == 1


@pytest.mark.parametrize("address", ["hf://me/other", "hf://me/mine@nothing"])
def test_what_is_not_there_is_one_line(server: Hub, tmp_path: Path, address: str) -> None:
    done = dped("enhance", address, "photo.jpg", "--out", "enhanced", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"dped: {address}: enhancer.safetensors cannot be fetched (")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("address", ["hf://mine", "hf://me/mine/model.pt", "hf://me/mine@", "hf://me/../mine"])
def test_other_addresses_are_wrong_usage(address: str) -> None:
    with pytest.raises(UsageError, match="not a model on the Hub; write hf://OWNER/NAME"):
        load_enhancer(address)


def test_without_the_package_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"^hf://me/mine: needs huggingface_hub; pip install 'dped\[hub\]'$"):
        load_enhancer("hf://me/mine")


def test_torch_hub_takes_the_clone(model: Path) -> None:
    file, photo = model / "enhancer.safetensors", torch.rand(1, 3, 6, 5)
    made = torch.hub.load(str(ROOT), "enhancer", str(file), source="local")
    assert not made.training and torch.equal(made(photo), load_enhancer(file)(photo))
    untrained = torch.hub.load(str(ROOT), "enhancer", source="local", normalisation="batch")
    assert untrained(photo).shape == photo.shape and untrained.normalisation == "batch"
