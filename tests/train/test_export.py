"""Exported files give what the enhancer gives in torch, at any size, and say where they come from."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from authors_reference import released_enhancer
from numpy.typing import NDArray

from dped_data.common.files import atomic_write_bytes
from dped_data.common.work_folder import ForeignFileError
from dped_data.errors import InputError, UsageError
from dped_data.photos.reading import read_photo
from dped_train import export as export_module
from dped_train import load_enhancer, save_enhancer
from dped_train.export import INPUT, ExportReport, SplitMeanNorm, export_enhancer, parse_size, write_onnx
from dped_train.networks.dped import Enhancer, InstanceNorm, Normalisation, initialise


def make_model(folder: Path, normalisation: Normalisation = "instance") -> Path:
    """A model with random weights and statistics, large enough to leave [0, 1]."""
    enhancer = Enhancer(normalisation)
    initialise(enhancer, 0)
    with torch.no_grad():
        for name, value in enhancer.state_dict().items():
            if value.ndim == 4:
                value.mul_(3)
            elif "norm" in name and value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=torch.Generator().manual_seed(1)) + 0.5)
    path = folder / f"{normalisation}.safetensors"
    save_enhancer(enhancer, path, {"recipe": "released", "phone": "sony", "step": "20"})
    return path


def photo(count: int, height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(height).random((count, 3, height, width), np.float32)


def run_onnx(path: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {INPUT: x})[0])


def wanted(model: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        return load_enhancer(model)(torch.from_numpy(x)).numpy()


@pytest.fixture(scope="module", params=["instance", "batch"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportReport]:
    folder = tmp_path_factory.mktemp("export")
    model = make_model(folder, request.param)
    return model, export_enhancer(model, folder / "new" / "enhancer.onnx")


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (1, 33, 47), (3, 17, 5), (2, 64, 96)])
def test_onnx_of_any_size_is_the_enhancer(exported: tuple[Path, ExportReport], shape: tuple[int, int, int]) -> None:
    model, report = exported
    x = photo(*shape)
    exact = wanted(model, x)
    assert np.ptp(exact) > 0.1 or shape[1] == 1
    np.testing.assert_allclose(run_onnx(report.file, x), exact, atol=2e-5)


def test_onnx_says_what_it_is_and_nothing_of_this_machine(exported: tuple[Path, ExportReport]) -> None:
    model, report = exported
    assert report.difference is not None and report.difference < 2e-5
    assert report.bytes == report.file.stat().st_size < 2_500_000
    loaded = onnx.load(report.file)
    onnx.checker.check_model(loaded, full_check=True)
    facts = {entry.key: entry.value for entry in loaded.metadata_props}
    assert (facts["dped.recipe"], facts["dped.phone"]) == ("released", "sony")
    assert facts["dped.normalisation"] == model.stem and len(facts["dped.sha256"]) == 64
    assert "0 to 1" in facts["dped.input"] and "-0.08 to 1.08" in facts["dped.output"]
    assert [entry.version for entry in loaded.opset_import if not entry.domain] == [18]
    content = report.file.read_bytes()
    assert b"networks.py" not in content and b"site-packages" not in content
    again = export_enhancer(model, report.file.with_name("again.onnx"))
    assert again.file.read_bytes() == content


def test_fixed_size_takes_that_size_only(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    report = export_enhancer(model, tmp_path / "fixed.onnx", (47, 33))
    assert report.size_wh == (47, 33)
    x = photo(1, 33, 47)
    np.testing.assert_allclose(run_onnx(report.file, x), wanted(model, x), atol=2e-5)
    shape = onnx.load(report.file).graph.input[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim] == [1, 3, 33, 47]


@pytest.mark.parametrize("size_wh", [None, (16, 12)])
def test_torch_export_program(tmp_path: Path, size_wh: tuple[int, int] | None) -> None:
    model = make_model(tmp_path)
    report = export_enhancer(model, tmp_path / "enhancer.pt2", size_wh)
    assert report.format == "pt2" and report.difference is not None and report.difference < 2e-5
    stored = torch.export.load(report.file)
    if size_wh is not None:  # phones' converters take core operations and conv2d
        called = [node.target for node in stored.run_decompositions({}).graph.nodes if node.op == "call_function"]
        assert {str(call) for call in called if torch.Tag.core not in call.tags} == {"aten.conv2d.default"}
    assert report.bytes < 2_000_000
    program = stored.module()
    for shape in [(1, 1, 1), (2, 33, 47)] if size_wh is None else [(1, 12, 16)]:
        x = photo(*shape)
        np.testing.assert_allclose(program(torch.from_numpy(x)).detach(), wanted(model, x), atol=2e-5)


def test_normalisation_stays_precise_over_large_photos(tmp_path: Path) -> None:
    """Sums of six million values in float32, as onnxruntime's own InstanceNormalization takes them, miss by 1e-3."""
    norm = InstanceNorm(3)
    write_onnx(SplitMeanNorm(norm).eval(), tmp_path / "norm.onnx", None, {})
    x = np.random.default_rng(0).normal(20, 0.5, (1, 3, 2000, 3000)).astype(np.float32)
    wide = x.astype(np.float64)
    centred = wide - wide.mean((2, 3), keepdims=True)
    exact = centred / np.sqrt((centred**2).mean((2, 3), keepdims=True) + 1e-3)
    assert np.abs(run_onnx(tmp_path / "norm.onnx", x) - exact).max() < 3e-5


def test_a_missing_package_is_one_line_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(tmp_path)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else found(name))
    with pytest.raises(InputError, match=r"^onnxscript: not installed.*pip install 'dped\[onnx\]'.*\.pt2"):
        export_enhancer(model, tmp_path / "a.onnx")
    assert export_enhancer(model, tmp_path / "a.pt2", (8, 8)).format == "pt2"


def test_a_wrong_export_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(tmp_path)
    monkeypatch.setattr(export_module, "portable_form", _brighter)
    with pytest.raises(InputError, match="differs from the model by"):
        export_enhancer(model, tmp_path / "wrong.onnx")
    assert [path.name for path in tmp_path.glob("[!.]*")] == [model.name]


def _brighter(enhancer: Enhancer) -> Enhancer:
    changed = Enhancer()
    changed.load_state_dict(enhancer.state_dict())
    with torch.no_grad():
        changed.tail.bias.add_(0.1)
    return changed


def test_sizes_and_models_that_cannot_be(tmp_path: Path) -> None:
    assert parse_size("2048x1536") == (2048, 1536)
    with pytest.raises(UsageError, match="--size 2048: not a size; give width and height"):
        parse_size("2048")
    with pytest.raises(UsageError, match="size 0x8: width and height must be 1 or more"):
        export_enhancer(make_model(tmp_path), tmp_path / "a.onnx", (0, 8))
    with pytest.raises(InputError, match="no such model file"):
        export_enhancer(tmp_path / "none.safetensors", tmp_path / "a.onnx")
    for name in ("a.onxx", "a"):
        with pytest.raises(UsageError, match=r"its suffix names no format; end it in .onnx \(ONNX\) or .pt2"):
            export_enhancer(make_model(tmp_path), tmp_path / name)


def test_an_existing_file_is_replaced_only_when_asked_to(tmp_path: Path) -> None:
    model, out = make_model(tmp_path), tmp_path / "a.pt2"
    atomic_write_bytes(out, b"an earlier export")
    with pytest.raises(InputError, match=r"a.pt2: is there already; --overwrite replaces it, or choose another --out"):
        export_enhancer(model, out, (8, 8))
    assert out.read_bytes() == b"an earlier export"
    out.write_bytes(b"a person's own")
    with pytest.raises(ForeignFileError, match="changed since dped wrote it"):
        export_enhancer(model, out, (8, 8), overwrite=True)


@pytest.mark.realdata
def test_a_released_generator_in_onnx_gives_what_the_authors_code_gives(shared_data: Path, tmp_path: Path) -> None:
    save_enhancer(released_enhancer(shared_data, "iphone"), tmp_path / "iphone.safetensors")
    report = export_enhancer(tmp_path / "iphone.safetensors", tmp_path / "iphone.onnx")
    reference = shared_data / "reference"
    for name in ("astronaut_odd_257x131", "rocket_tiny_1x1", "white_40x24"):
        x = read_photo(reference / "inputs" / f"{name}.png")[None].transpose(0, 3, 1, 2) / np.float32(255)
        (exact,) = np.load(reference / "outputs" / f"iphone__{name}.npz").values()
        found = run_onnx(report.file, x)[0].transpose(1, 2, 0)
        np.testing.assert_allclose(found, exact.reshape(found.shape), rtol=0, atol=2e-4)
