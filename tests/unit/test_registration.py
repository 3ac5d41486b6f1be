"""`import oryx` is quick, and registers with the Auto classes in whichever order the imports come."""

import subprocess
import sys

import pytest
from reference_cases import REFERENCE

PUBLISHED = REFERENCE / "oryx-tiny-qwen"


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_alone_loads_neither_torch_nor_transformers():
    out = run("import sys, oryx; print(sorted({'torch', 'transformers', 'PIL', 'av'} & set(sys.modules)))")
    assert out.strip() == "[]"


CHECK = f"""
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
assert type(AutoConfig.for_model("oryx")).__name__ == "OryxConfig"
assert type(AutoConfig.for_model("oryx_llama")).__name__ == "OryxLlamaConfig"
config = AutoConfig.from_pretrained({str(PUBLISHED)!r})
assert type(config).__name__ == "OryxQwenConfig", config
assert type(AutoProcessor.from_pretrained({str(PUBLISHED)!r})).__name__ == "OryxProcessor"
names = [cls.__name__ for cls in AutoModelForImageTextToText._model_mapping._extra_content]
assert set(names) == {{"OryxConfig", "OryxQwenConfig", "OryxLlamaConfig"}}, names
print("registered")
"""
ORDERS = {"models before configs": "import oryx; from transformers import AutoModel"}
# Each is a fresh interpreter of several seconds.
MORE_ORDERS = {
    "a processor in use": "import transformers; transformers.AutoProcessor; import oryx",
    "oryx first": "import oryx",
    "transformers first": "import transformers, oryx",
    "a config in use": "import transformers; transformers.AutoConfig; import oryx",
    "a tokenizer first": "import oryx; from transformers import AutoTokenizer",
    "a language model first": "import oryx; from transformers import LlamaConfig, Qwen2ForCausalLM",
    "our config first": "import oryx.config",
    "our processor first": "import oryx.processing.processor",
    "our model first": "from oryx import OryxForConditionalGeneration",
}


@pytest.mark.parametrize(
    "imports",
    [
        *(pytest.param(imports, id=name) for name, imports in ORDERS.items()),
        *(pytest.param(imports, id=name, marks=pytest.mark.slow) for name, imports in MORE_ORDERS.items()),
    ],
)
def test_registration_in_any_order(imports):
    assert run(f"{imports}\n{CHECK}").strip().endswith("registered")


def test_public_names():
    import oryx

    for name in oryx.__all__:
        assert getattr(oryx, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        oryx.lod  # noqa: B018


def test_one_exception_tree():
    import oryx
    from oryx import errors

    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    assert all(issubclass(kind, oryx.OryxError) for kind in kinds)
    assert {kind.__name__ for kind in kinds} == {
        "OryxError",
        "ConfigError",
        "MediaError",
        "AlignmentError",
        "CheckpointError",
        "CaptionError",
    }
