"""The reference's checkpoints as published, as native, and converted back."""

import pytest
from reference_cases import NAMES, REFERENCE
from safetensors.torch import load_file

import oryx


@pytest.fixture(scope="session", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="session", params=["published", "native", "back"])
def layout(request):
    return request.param


@pytest.fixture(scope="session")
def tensors(name):
    return load_file(REFERENCE / name / "cases.safetensors")


@pytest.fixture(scope="session")
def folder(name, layout, tmp_path_factory):
    """The checkpoint as published, converted to native, and converted back."""
    if layout == "published":
        return REFERENCE / name
    native = oryx.convert(REFERENCE / name, tmp_path_factory.mktemp(name) / "native")
    return native if layout == "native" else oryx.convert(native, native.parent / "back")


@pytest.fixture(scope="session")
def loaded(folder):
    return oryx.load(folder, dtype="float32", device="cpu")
