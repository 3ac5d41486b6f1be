"""One request at one dial has one length: for the processor, at the server, and as `oryx plan` says."""

import json

import openai
from mixed_requests import EXAMPLES
from served import Server, data_url
from typer.testing import CliRunner

from oryx.cli.main import app
from oryx.loading import load_processor, resolve_folder

QUESTION = "What comes first?"
VIDEO, PICTURE, ROOM = EXAMPLES / "order.mp4", EXAMPLES / "scene.png", EXAMPLES / "room"
CASES = [
    *((VIDEO, {"compression": ratio}) for ratio in (1, 2, 4, 8, 16)),
    *((PICTURE, {"compression": ratio}) for ratio in (1, 2, 4, 8, 16)),
    *((ROOM, {"compression": ratio}) for ratio in (1, 4, 16)),
    (PICTURE, {"detail": "low"}),
    (PICTURE, {"max_pixels": 2048}),
    (VIDEO, {"max_frames": 5}),
    (VIDEO, {"fps": 2.0}),
    (VIDEO, {"max_pixels": 2048, "prompt_style": "eval"}),
    (VIDEO, {"timestamps": True}),
    (VIDEO, {"budget": 300}),
    (VIDEO, {"budget": 300, "focus": "0-1"}),
    (VIDEO, {"budget": 150, "focus": "auto"}),
    (ROOM, {"budget": 200}),
    (PICTURE, {"budget": 60}),
]


def check_dials(server: Server) -> None:
    """Every case has the same number of prompt tokens everywhere."""
    processor = load_processor(resolve_folder("nano"))
    client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=120)
    lengths = set()
    for path, dials in CASES:
        of_processor = len(_encode(processor, path, dials))
        of_server = _ask(client, path, dials)
        of_plan = _plan(path, dials)
        assert of_processor == of_server == of_plan, (path.name, dials, of_processor, of_server, of_plan)
        lengths.add(of_processor)
    assert len(lengths) > 15


def _pictures(path):
    return sorted(path.glob("*.png"))


def _encode(processor, path, dials):
    kind = {VIDEO: "video", PICTURE: "image", ROOM: "views"}[path]
    visual = {"type": kind, kind: str(path)}
    parts = [visual, {"type": "text", "text": f"\n{QUESTION}"}]
    return processor.encode_messages([{"role": "user", "content": parts}], **dials)


def _ask(client, path, dials):
    if path == VIDEO:
        parts = [{"type": "video_url", "video_url": {"url": data_url("video/mp4", path.read_bytes())}}]
    else:
        pictures = _pictures(path) if path == ROOM else [path]
        urls = [data_url("image/png", picture.read_bytes()) for picture in pictures]
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    answer = client.chat.completions.create(
        model="nano",
        messages=[{"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}],
        max_tokens=1,
        extra_body={"mm_processor_kwargs": {**dials, **({"views": True} if path == ROOM else {})}},
    )
    return answer.usage.prompt_tokens


def _plan(path, dials):
    options = [str(path), "--question", QUESTION, "--json"]
    for name, value in dials.items():
        options += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    result = CliRunner().invoke(app, ["plan", *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["prompt_tokens"]
