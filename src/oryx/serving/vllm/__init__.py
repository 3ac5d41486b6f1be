"""The vLLM plugin: published and native checkpoints as a native model of vLLM.

Entry point `vllm.general_plugins`; vLLM calls `register` in each of its processes, perhaps several times.
Nothing here imports vLLM before it does.
"""

from __future__ import annotations

VIDEO_READER = "OryxVideoReader"
ARCHITECTURES = ("OryxForConditionalGeneration", "OryxQwenForCausalLM", "OryxLlamaForCausalLM")


def register() -> None:
    """Tells vLLM of the model, and that its videos are read by the dial of each request."""
    from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING_NAMES
    from vllm import ModelRegistry

    import oryx.config  # registers the configurations
    from oryx.serving.vllm.video import register_video_reader

    for architecture in ARCHITECTURES:
        if architecture not in ModelRegistry.get_supported_archs():
            ModelRegistry.register_model(architecture, "oryx.serving.vllm.model:OryxForVllm")
    for config in (oryx.config.OryxConfig, oryx.config.OryxQwenConfig, oryx.config.OryxLlamaConfig):
        VIDEO_PROCESSOR_MAPPING_NAMES.setdefault(config.model_type, {"torchvision": VIDEO_READER})
    register_video_reader()
