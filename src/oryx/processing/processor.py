"""`OryxProcessor`: conversations, prompts and chat messages with visuals in, model inputs out."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AddedToken, AutoProcessor, BatchFeature, PreTrainedTokenizerBase, ProcessorMixin

from oryx.config import OryxConfig, OryxLlamaConfig, OryxQwenConfig
from oryx.errors import AlignmentError, ConfigError, MediaError
from oryx.processing import chat
from oryx.processing.budget import Planner
from oryx.processing.chat import ChatEncoder, EncodedChat, PromptStyle, Supervise, Turn
from oryx.processing.collate import EncodedSample, PaddingSide, pad_batch
from oryx.processing.geometry import IMAGE, ResizeRule, image_views, num_visual_tokens, token_offset
from oryx.processing.visuals import DIALS, EncodedVisual, encode_visual, visual_type, with_dials

# Other programs pass these to every processor. They change nothing here as long as they have these values.
_IGNORED: dict[str, tuple[Any, ...]] = {
    "load_audio_from_video": (True, False, None),
    "return_mm_token_type_ids": (False, None),
    "return_assistant_tokens_mask": (False, None),
    "add_special_tokens": (True, False, None),
    "truncation": (False, None),
    "max_length": (None,),
    "tools": (None, []),
    "documents": (None, []),
    "chat_template": (None,),
    "sanitize_control_tokens": (True, False, None),
    "timeout": (None,),
}


class OryxProcessor(ProcessorMixin):
    """Text and visuals to model inputs.

    Args:
        tokenizer: a ChatML tokenizer. It is given the placeholder token if it lacks it, and left padding,
            which generation in batches needs.
        resize_rule: settings of `ResizeRule` that differ from the published ones; unknown keys are errors.
        prompt_style: "train" puts a newline token of its own behind each visual (as training and the
            published 7B inference do), "eval" does not.
        system_prompt: opens every conversation that does not begin with a system turn; "" for none.
        image_token: the token that stands at every position of a visual.
        chat_template: Jinja text for other engines. This class writes ChatML itself and does not read it.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        resize_rule: Mapping[str, int] | None = None,
        prompt_style: PromptStyle = "train",
        system_prompt: str = chat.DEFAULT_SYSTEM_PROMPT,
        image_token: str = "<|image_pad|>",
        chat_template: str | None = None,
    ) -> None:
        self.rule = ResizeRule.from_dict(resize_rule or {})
        self.resize_rule = self.rule.to_dict()
        self.prompt_style = chat.check_prompt_style(prompt_style)
        self.system_prompt = system_prompt
        self.image_token = image_token
        if image_token not in tokenizer.get_vocab():
            tokenizer.add_tokens(
                [AddedToken(image_token, special=True, normalized=False)], special_tokens=True
            )
        self.image_token_id = tokenizer.get_vocab()[image_token]
        tokenizer.padding_side = "left"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        super().__init__(tokenizer, chat_template=chat_template or chat.jinja_template(system_prompt))
        self.planner = Planner(self.rule)
        """Spends budgets; `oryx.load` gives it the model's numbers."""
        self._encoders: dict[str, ChatEncoder] = {}

    # -- training and evaluation -------------------------------------------------------------------

    def encode_conversation(
        self,
        conversations: Sequence[Any],
        visuals: Sequence[Any] | None = None,
        supervise: Supervise | None = "assistant",
        padding_side: PaddingSide | None = None,
        prompt_style: PromptStyle | None = None,
        budget: Any = None,
        **dials: Any,
    ) -> BatchFeature:
        """Model inputs of one conversation, or of a batch of them.

        Args:
            conversations: `[{"from": "human", "value": "<image>\\n..."}, {"from": "gpt", "value": ...}]`,
                or a list of such lists. A last value of None leaves the assistant's turn open.
            visuals: one dict per `<image>`, in order; for a batch, a list of such lists.
            supervise: "assistant" labels the assistant's words and its end marker, "published" what the
                reference's training code labels, None makes no labels.
            padding_side: by default left if a turn is open, else right.
            prompt_style: overrides the processor's own.
            budget: what the visuals of each conversation may cost together: 4096 (visual tokens), "2GB",
                "5s" (see `Budget.parse`). What a visual sets itself stays as set.
            dials: `compression`, `detail`, `max_pixels`, `max_frames`, `fps`, ... for visuals that set none.

        Returns:
            `input_ids`, `attention_mask`, `labels`: (B, T) int64, every visual position in place; and, packed
            over the batch, `patches` (P, 3 * p * p) uint8, `grids` (G, 2), `compressions` (G,),
            `visual_lengths` (N,), `visual_kinds` (N,) int64, which are absent without visuals.

        Raises:
            AlignmentError: more or fewer `<image>` than visuals.
            ConfigError, MediaError: a dial or a source that cannot be.
        """
        dials = self.check_dials(dials)
        if not conversations:
            raise ConfigError("a conversation needs at least one turn.")
        if isinstance(conversations[0], Mapping):
            conversations, visuals = [conversations], [visuals or []]
        visuals = visuals if visuals is not None else [[]] * len(conversations)
        if len(visuals) != len(conversations):
            raise AlignmentError(
                f"{len(conversations)} conversations came with {len(visuals)} lists of visuals; "
                "give one list each."
            )
        samples = [
            self.encode_sample(
                turns, [with_dials(visual, dials) for visual in own or []], supervise, prompt_style, budget
            )
            for turns, own in zip(conversations, visuals)
        ]
        if padding_side is None:
            is_open = any(turns[-1]["value"] is None for turns in conversations)
            padding_side = "left" if is_open else "right"
        return BatchFeature(pad_batch(samples, self._pad_id, padding_side))

    def encode_sample(
        self,
        conversation: Sequence[Mapping[str, Any]],
        visuals: Sequence[Any] = (),
        supervise: Supervise | None = "assistant",
        prompt_style: PromptStyle | None = None,
        budget: Any = None,
    ) -> EncodedSample:
        """One conversation as numpy arrays, for packing.

        Arguments and errors are those of `encode_conversation`. A visual may also be an `EncodedVisual`.
        """
        turns = chat.read_conversation(conversation, len(visuals))
        return self._encode_turns(turns, visuals, supervise, prompt_style, budget)

    def count_text(
        self,
        conversation: Sequence[Mapping[str, Any]],
        num_visuals: int,
        prompt_style: PromptStyle | None = None,
    ) -> int:
        """Positions of a conversation besides those of its visuals and their notes."""
        turns = chat.read_conversation(conversation, num_visuals)
        return self._count_text(turns, num_visuals, self.chat_encoder(prompt_style))

    def count_note(self, note: str) -> int:
        """Positions of a visual's note, on lines of its own."""
        return len(self.chat_encoder().text_ids("\n" + note))

    # -- prompts -----------------------------------------------------------------------------------

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        images: Any = None,
        videos: Any = None,
        return_tensors: str | None = "pt",
        padding: bool | str = True,
        padding_side: PaddingSide | None = None,
        prompt_style: PromptStyle | None = None,
        budget: Any = None,
        **dials: Any,
    ) -> BatchFeature:
        """Model inputs of prompts that are already written out, such as a chat template's.

        Args:
            text: one prompt or several. `<image>` takes the next of `images`, `<video>` the next of `videos`.
            images: a picture or path, a list of them, or a list per prompt. An item may be a visual dict.
            videos: a path, a list of paths, or of lists of frames. An item may be a visual dict, views too.
            return_tensors: "pt" or "np"; None gives ids and mask as lists.
            padding: True or "longest" pads to the longest prompt.
            padding_side: the tokenizer's by default.
            prompt_style: overrides the processor's own.
            budget: what the visuals of each prompt may cost together, as in `encode_conversation`.
            dials: apply to every visual that does not set them itself.

        Returns: what `encode_conversation` does, without labels.
        """
        dials = self.check_dials(dials)
        if text is None:
            raise ConfigError(f"text is missing: a prompt with one {chat.IMAGE_MARKER} for each picture.")
        texts = [text] if isinstance(text, str) else list(text)
        queues = {
            chat.IMAGE_MARKER: _as_visuals(images, "image"),
            chat.VIDEO_MARKER: _as_visuals(videos, "video"),
        }
        prompts = [chat.read_rendered(prompt, self.image_token) for prompt in texts]
        for marker, queue in queues.items():
            chat.check_count(marker, sum(markers.count(marker) for _, markers in prompts), len(queue))
        sources = {marker: iter(queue) for marker, queue in queues.items()}
        samples = []
        for turns, markers in prompts:
            visuals = [with_dials(next(sources[marker]), dials) for marker in markers]
            samples.append(
                self._encode_turns(turns, visuals, None, prompt_style, budget, add_system_prompt=False)
            )
        return self._collate(samples, return_tensors, padding, padding_side)

    def apply_chat_template(  # type: ignore[override]
        self,
        conversation: Sequence[Any],
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        return_tensors: str | None = "pt",
        padding: bool | str = True,
        padding_side: PaddingSide | None = None,
        prompt_style: PromptStyle | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        budget: Any = None,
        **dials: Any,
    ) -> Any:
        """Model inputs of chat messages, or of a batch of conversations.

        Args:
            conversation: messages `{"role": "user", "content": text | [part, ...]}`. A part is
                `{"type": "text", "text": ...}` or a visual dict of `encode_conversation`, dials included. The
                ids are those of `encode_conversation` for the same text with `<image>` in the same places.
            add_generation_prompt: opens an assistant's turn.
            continue_final_message: leaves the last message open instead.
            tokenize: False gives the ChatML string, with `<image>` and `<video>` markers.
            return_dict: False gives the ids alone.
            return_tensors, padding, padding_side, prompt_style, budget, dials: as in a call.
            processor_kwargs: more of the same, as pipelines pass them.
        """
        arguments = {**dials, **(processor_kwargs or {})}
        return_tensors = arguments.pop("return_tensors", return_tensors)
        padding, padding_side = arguments.pop("padding", padding), arguments.pop("padding_side", padding_side)
        prompt_style = arguments.pop("prompt_style", prompt_style)
        budget = arguments.pop("budget", budget)
        dials = self.check_dials(arguments)
        if not conversation:
            raise ConfigError("a conversation needs at least one message.")
        is_batch = not isinstance(conversation[0], Mapping)
        opening = (add_generation_prompt, continue_final_message)
        strings, samples = [], []
        for messages in conversation if is_batch else [conversation]:
            if tokenize:
                samples.append(self.encode_messages(messages, *opening, prompt_style, budget, **dials))
            else:
                turns, visuals = chat.read_messages(messages, *opening)
                kinds = [visual_type(visual) for visual in visuals]
                markers = [chat.IMAGE_MARKER if kind == "image" else chat.VIDEO_MARKER for kind in kinds]
                strings.append(chat.render(chat.with_system_prompt(turns, self.system_prompt), markers))
        if not tokenize:
            return strings if is_batch else strings[0]
        batch = self._collate(samples, return_tensors, padding, padding_side)
        if return_dict:
            return batch
        return batch["input_ids"] if is_batch or return_tensors is not None else batch["input_ids"][0]

    def encode_messages(
        self,
        messages: Sequence[Any],
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        prompt_style: PromptStyle | None = None,
        budget: Any = None,
        **dials: Any,
    ) -> EncodedSample:
        """One conversation of chat messages as numpy arrays, for engines that batch by themselves.

        Arguments and errors are those of `apply_chat_template`, whose ids and patches these are.
        """
        dials = self.check_dials(dials)
        turns, visuals = chat.read_messages(messages, add_generation_prompt, continue_final_message)
        visuals = [with_dials(visual, dials) for visual in visuals]
        return self._encode_turns(turns, visuals, None, prompt_style, budget)

    # -- for engines that go from messages to ids by steps of their own --------------------------------

    def chat_encoder(self, prompt_style: PromptStyle | None = None) -> ChatEncoder:
        """Turns to ids, in a style of prompts; None for the processor's own.

        Raises:
            ConfigError: another style than there is.
        """
        style = self.prompt_style if prompt_style is None else chat.check_prompt_style(prompt_style)
        if style not in self._encoders:
            self._encoders[style] = ChatEncoder(self.tokenizer, self.image_token_id, style)
        return self._encoders[style]

    def encode_visual(self, visual: Any) -> EncodedVisual:
        """Patches of a visual dict, its own budget and focus spent; one that is encoded already is itself.

        Raises:
            ConfigError, MediaError: a dial or a source that cannot be.
        """
        return encode_visual(self.planner.spend([visual])[0], self.rule)

    def check_dials(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The dials among keyword arguments, those that are None left out.

        Raises:
            ConfigError: an argument that means something to nobody here.
        """
        dials: dict[str, Any] = {}
        for name, value in arguments.items():
            if name == "num_frames":  # transformers' word for it
                dials.setdefault("max_frames", value)
            elif name in DIALS:
                dials[name] = value
            elif name not in _IGNORED:
                close = get_close_matches(name, DIALS, n=1)
                hint = f"did you mean {close[0]!r}" if close else f"the dials are {', '.join(DIALS)}"
                raise ConfigError(f"the processor takes no argument {name!r}; {hint}.")
            elif value not in _IGNORED[name]:
                raise ConfigError(f"the processor does not support {name}={value!r}.")
        return {name: value for name, value in dials.items() if value is not None}

    # -- what transformers asks of a processor -----------------------------------------------------

    @property
    def model_input_names(self) -> list[str]:
        """Names of everything a batch may hold."""
        visual = ["patches", "grids", "compressions", "visual_lengths", "visual_kinds"]
        return ["input_ids", "attention_mask", *visual]

    def to_dict(self) -> dict[str, Any]:
        """The settings that `processor_config.json` holds."""
        return {
            "processor_class": type(self).__name__,
            "resize_rule": dict(self.resize_rule),
            "prompt_style": self.prompt_style,
            "system_prompt": self.system_prompt,
            "image_token": self.image_token,
        }

    def _get_num_multimodal_tokens(self, image_sizes: Any = None, **dials: Any) -> Any:
        """Tokens and patches of images of the given (height, width), for engines that plan ahead."""
        from transformers.processing_utils import MultiModalData

        names = ("compression", "detail", "max_pixels")
        dials = {name: dials[name] for name in names if dials.get(name) is not None}
        views = [image_views(height, width, self.rule, **dials) for height, width in image_sizes or []]
        return MultiModalData(
            num_image_tokens=[num_visual_tokens(IMAGE, own) for own in views],
            num_image_patches=[sum(view.num_patches for view in own) for own in views],
        )

    # -- the one way from turns to ids -------------------------------------------------------------

    def _encode_turns(
        self,
        turns: list[Turn],
        visuals: Sequence[Any],
        supervise: Supervise | None,
        prompt_style: PromptStyle | None,
        budget: Any = None,
        add_system_prompt: bool = True,
    ) -> EncodedSample:
        chat.check_supervise(supervise)
        encoder = self.chat_encoder(prompt_style)
        if budget is not None:
            num_text = self._count_text(turns, len(visuals), encoder, add_system_prompt)
            visuals = self.planner.spend(visuals, budget, num_text, count_note=self.count_note)
        encoded = [self._encode_visual(visual, index, len(visuals)) for index, visual in enumerate(visuals)]
        num_tokens = [visual.num_tokens for visual in encoded]
        turns = chat.with_notes(turns, [visual.note for visual in encoded])
        if add_system_prompt:
            turns = chat.with_system_prompt(turns, self.system_prompt)
        text = encoder.encode(turns, num_tokens, supervise)
        if supervise == "assistant":
            self._mark(encoder, text, encoded)
        return _as_sample(text, encoded)

    def _count_text(
        self, turns: list[Turn], num_visuals: int, encoder: ChatEncoder, add_system_prompt: bool = True
    ) -> int:
        if add_system_prompt:
            turns = chat.with_system_prompt(turns, self.system_prompt)
        return len(encoder.encode(turns, [0] * num_visuals).ids)

    def _encode_visual(self, visual: Any, index: int, num_visuals: int) -> EncodedVisual:
        try:
            return self.encode_visual(visual)
        except (ConfigError, MediaError) as error:
            if num_visuals == 1:
                raise
            raise type(error)(f"visual {index + 1} of {num_visuals}: {error}") from None

    def _mark(self, encoder: ChatEncoder, text: EncodedChat, visuals: Sequence[EncodedVisual]) -> None:
        """Supervises the visual tokens under marks; a token keeps its first mark."""
        for visual, (start, _) in zip(visuals, text.spans):
            for mark in visual.marks:
                ids = encoder.text_ids(mark.text)
                if not ids or text.labels is None:
                    raise ConfigError("a mark needs a text of at least one token.")
                # The loss compares position t with label t + 1, so this is the target of the token itself.
                target = start + token_offset(visual.kind, visual.views, mark.view, mark.y, mark.x) + 1
                if text.labels[target] == chat.IGNORED:
                    text.labels[target] = ids[0]

    def _collate(
        self,
        samples: list[EncodedSample],
        return_tensors: str | None,
        padding: bool | str,
        padding_side: PaddingSide | None,
    ) -> BatchFeature:
        if return_tensors not in ("pt", "np", None):
            raise ConfigError(f'return_tensors must be "pt", "np" or None, not {return_tensors!r}.')
        if padding not in (True, False, "longest", "do_not_pad", None):
            raise ConfigError(f'padding must be True, False or "longest", not {padding!r}.')
        batch: dict[str, Any] = pad_batch(samples, self._pad_id, padding_side or self.tokenizer.padding_side)
        pads = padding in (True, "longest")
        if not pads and return_tensors and len({len(sample) for sample in samples}) > 1:
            raise ConfigError("prompts of unlike lengths make one tensor only with padding=True.")
        if return_tensors != "pt":
            batch = {name: tensor.numpy() for name, tensor in batch.items()}
        if return_tensors is None:
            lists = {name: batch[name].tolist() for name in ("input_ids", "attention_mask")}
            if not pads:
                lists["input_ids"] = [sample.ids.tolist() for sample in samples]
                lists["attention_mask"] = [[1] * len(sample) for sample in samples]
            batch |= lists
        return BatchFeature(batch)

    @property
    def _pad_id(self) -> int:
        return self.tokenizer.pad_token_id


def _as_sample(text: EncodedChat, visuals: Sequence[EncodedVisual]) -> EncodedSample:
    views = [view for visual in visuals for view in visual.views]
    patches = [visual.patches for visual in visuals if visual.patches is not None]
    if patches and len(patches) != len(visuals):
        raise AlignmentError(
            "a conversation takes either patches or embeddings for all of its visuals, not both."
        )
    return EncodedSample(
        ids=np.array(text.ids, dtype=np.int64),
        labels=None if text.labels is None else np.array(text.labels, dtype=np.int64),
        patches=np.concatenate(patches) if len(patches) > 1 else (patches[0] if patches else None),
        grids=np.array([view.grid for view in views], dtype=np.int64).reshape(-1, 2),
        compressions=np.array([view.compression for view in views], dtype=np.int64),
        visual_lengths=np.array([len(visual.views) for visual in visuals], dtype=np.int64),
        visual_kinds=np.array([visual.kind for visual in visuals], dtype=np.int64),
        spans=text.spans,
    )


def _as_visuals(items: Any, kind: str) -> list[Any]:
    """Visual dicts of a call's `images` or `videos`: one thing, a list, or a list per prompt."""
    if items is None:
        return []
    if not isinstance(items, list | tuple):
        items = [items]
    if kind == "image":
        items = [item for group in items for item in (group if isinstance(group, list | tuple) else [group])]
    elif items and not isinstance(
        items[0], str | Path | bytes | Mapping | EncodedVisual | list | tuple | np.ndarray
    ):
        items = [items]  # pictures alone are the frames of one video
    return [
        item if isinstance(item, Mapping | EncodedVisual) else {"type": kind, kind: item} for item in items
    ]


for _config in (OryxConfig, OryxQwenConfig, OryxLlamaConfig):
    AutoProcessor.register(_config, OryxProcessor, exist_ok=True)
