"""The vLLM plugin: published and native checkpoints as a native model of vLLM.

Entry point `vllm.general_plugins`; vLLM calls `register` in each of its processes, perhaps several times.
Nothing here imports vLLM before it does.
"""

from __future__ import annotations

import logging

OLDEST = "0.32"
"""The first release of vLLM that has what the plugin builds on."""
VIDEO_READER = "OryxVideoReader"
ARCHITECTURES = ("OryxForConditionalGeneration", "OryxQwenForCausalLM", "OryxLlamaForCausalLM")


logger = logging.getLogger(__name__)


def register() -> None:
    """Tells vLLM of the model, and that its videos are read by the dial of each request.

    With a vLLM that it does not fit it warns and does nothing: vLLM may be there for other models.
    """
    reason = too_old()
    if reason is None:
        try:
            _register()
            return
        except Exception as error:  # whatever another release has made of what is called here
            reason = f"{type(error).__name__}: {error}"
    logger.warning("Oryx models cannot be served by this vLLM (%s); all others can.", reason.rstrip("."))


def too_old() -> str | None:
    """In a few words, if the installed vLLM is older than the plugin; None if it is not."""
    from packaging.version import InvalidVersion, Version
    from vllm import __version__

    try:
        version = Version(__version__)
    except InvalidVersion:  # built from sources whose release nobody knows
        return None
    if version.is_devrelease or version >= Version(OLDEST):
        return None
    return f"it is {version}, and oryx-mllm needs vLLM {OLDEST} or later"


def _register() -> None:
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
