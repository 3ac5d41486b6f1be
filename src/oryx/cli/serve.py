"""`oryx serve`: a model behind OpenAI's HTTP interface."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oryx.cli import options as opt
from oryx.cli.byte_sizes import parse_bytes
from oryx.errors import ConfigError

if TYPE_CHECKING:
    from oryx.serving.http.settings import Access, Limits
    from oryx.serving.http.wiring import Choice

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "h11")
# A blue square, small enough for a line.
_PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAADAAAAAwAQMAAABtzGvEAAAABlBMVEX///8AAP94wDzzAA"
    "AAGElEQVR42mNgoAXg////BwMThD3oKaoCAA1SAzbQUqwSAAAAAElFTkSuQmCC"
)


def serve_command(
    context: typer.Context,
    model: opt.Model = "nano",
    host: Annotated[
        str, typer.Option(help="Address to listen at. Beyond loopback a key is needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    engine: Annotated[
        str, typer.Option(metavar="auto|vllm|transformers", help="auto is vLLM where it is installed.")
    ] = "auto",
    max_requests: Annotated[int, typer.Option(min=1, help="Answered at a time.")] = 16,
    workers: opt.NumWorkers = None,
    served_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What clients call the model; by default its own name.")
    ] = None,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="Clients need it. Others on this machine may see it: rather a file."
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keys, one a line; any of them opens the server.")
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Anybody who reaches the server may use it.")
    ] = False,
    media_root: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Requests may name files below it. Without it: none."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Requests may name http(s) addresses there; may be repeated."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN", help='Web pages that may ask, as https://example.org, or "*"; repeatable.'
        ),
    ] = None,
    server_name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name that clients know this server by; may be repeated."),
    ] = None,
    max_body: Annotated[
        str, typer.Option(metavar="SIZE", help="Of one request, uploads included.")
    ] = "64MiB",
    max_images: Annotated[int, typer.Option(min=0, help="In one request, views included.")] = 64,
    max_videos: Annotated[int, typer.Option(min=0, help="In one request.")] = 8,
    max_media_pixels: Annotated[
        int | None,
        typer.Option(min=1, help="Of a picture or frame as it is stored; larger ones are refused."),
    ] = None,
    max_media_frames: Annotated[
        int | None, typer.Option(min=1, help="Read for one request, over all its videos.")
    ] = None,
    decode_seconds: Annotated[
        float | None, typer.Option(min=0.1, help="For one request's media to be decoded and encoded.")
    ] = None,
    decode_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="That decoding one request may take.")
    ] = None,
    max_prompt_tokens: Annotated[int | None, typer.Option(min=1, help="By default the model's.")] = None,
    max_output_tokens: Annotated[
        int | None, typer.Option(min=1, help="By default what there is room for.")
    ] = None,
    max_queue: Annotated[int, typer.Option(min=0, help="Requests that wait; more are sent away (429).")] = 64,
    queue_seconds: Annotated[float, typer.Option(help="How long they wait (503).")] = 60.0,
    body_seconds: Annotated[
        float, typer.Option(help="For a body to come in; a second more per 64 KiB.")
    ] = 20.0,
    drain_seconds: Annotated[float, typer.Option(help="To finish answers when the server ends.")] = 30.0,
    device: opt.EngineDevice = None,
    dtype: opt.Dtype = "auto",
    vision_dtype: opt.EngineVisionDtype = None,
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
) -> None:
    """Answer OpenAI's API over HTTP, on this machine alone unless told otherwise.

    Further options go to vLLM: oryx serve --engine vllm --tensor-parallel-size 2
    """
    check_installed()
    from oryx.serving.http.settings import Limits, access_for
    from oryx.serving.http.wiring import Choice

    num_workers = workers or max(1, min(8, (os.cpu_count() or 2) - 1))
    limits = Limits(
        max_body=parse_bytes(max_body, "--max-body"),
        max_images=max_images,
        max_videos=max_videos,
        max_prompt_tokens=max_prompt_tokens,
        max_output_tokens=max_output_tokens,
        # While the engine answers, the workers encode ahead.
        max_places=max_requests + 2 * num_workers,
        max_queue=max_queue,
        queue_seconds=queue_seconds,
        body_seconds=body_seconds,
        drain_seconds=drain_seconds,
    )
    keys = [*(api_key or []), *(read_keys(api_key_file) if api_key_file else [])]
    access = access_for(host, keys, no_auth, server_name or [], allow_origin or [])
    choice = Choice(
        model=model,
        model_name=served_name,
        engine=engine,
        dtype=dtype,
        max_requests=max_requests,
        num_workers=num_workers,
        engine_options={
            "device": device,
            "vision_dtype": vision_dtype,
            "vision_tower": vision_tower,
            "quantize": quantize,
        },
        decoding={
            "max_pixels": max_media_pixels,
            "max_frames": max_media_frames,
            "max_seconds": decode_seconds,
            "max_memory": decode_memory and parse_bytes(decode_memory, "--decode-memory"),
        },
        further=tuple(context.args),
        media_root=media_root,
        allowed_hosts=allow_host or [],
        known=[name for parameter in context.command.params for name in parameter.opts],
    )
    code = _run(choice, limits, access, host, port, api_key_file)
    if code:
        raise typer.Exit(code)


def _run(choice: Choice, limits: Limits, access: Access, host: str, port: int, key_file: Path | None) -> int:
    """Serve until the end; the exit code."""
    import asyncio

    from oryx.cli.display import stderr
    from oryx.cli.noise import quiet_transformers
    from oryx.serving.http.server import INTERRUPTED, bind, run_server
    from oryx.serving.http.wiring import build_parts

    with bind(host, port) as listener:
        parts = build_parts(choice, limits)
        quiet_transformers()
        address = base_url(host, listener.getsockname()[1])
        log_to_stderr()
        console = stderr()
        waiting = console.status(f"loading {parts.model_name} ({parts.engine.name})")
        if console.is_terminal:
            waiting.start()
        else:
            console.print(f"oryx: loading {parts.model_name} ({parts.engine.name})", markup=False)

        is_loaded = False

        def announce() -> None:
            nonlocal is_loaded
            is_loaded = True
            waiting.stop()
            print(
                f"{parts.model_name} answers at {address}/v1 ({parts.engine.name}); Ctrl-C ends it. Try:\n\n"
                f"{example(address, bool(access.api_keys), key_file)}\n",
                flush=True,
            )

        async def serve() -> int:
            code = await run_server(parts, limits, access, listener, announce)
            if code == INTERRUPTED or not is_loaded:
                # asyncio would wait for threads that still load or compute.
                waiting.stop()
                sys.stdout.flush()
                os._exit(code)
            return code

        try:
            return asyncio.run(serve())
        finally:
            waiting.stop()


def check_installed() -> None:
    """Raises ConfigError with the line to type if the extra `serve` is missing."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f'oryx serve needs {", ".join(missing)}, which pip install "oryx-mllm[serve]" brings.'
        )


def read_keys(file: Path) -> list[str]:
    """API keys of a file: a line each; empty lines and those that begin with # are none.

    Raises:
        ConfigError: the file cannot be read or holds no key.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"--api-key-file {file} cannot be read ({getattr(error, 'strerror', None) or 'no UTF-8 text'})."
        ) from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ConfigError(f"--api-key-file {file} holds no key; write one on a line.")
    return keys


def base_url(host: str, port: int) -> str:
    """The address for clients on this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def example(address: str, needs_key: bool, key_file: Path | None) -> str:
    """A line for a shell that asks about a picture. It shows no key."""
    key = f'$(grep -v "^#" "{key_file}" | head -n 1)' if key_file else "YOUR_KEY"
    header = f' -H "Authorization: Bearer {key}"' if needs_key else ""
    return (
        f"curl {address}/v1/chat/completions -H 'Content-Type: application/json'{header} -d "
        '\'{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": '
        f'"{_PICTURE}"}}}}, {{"type": "text", "text": "What color is the square?"}}]}}]}}\''
    )


def log_to_stderr() -> None:
    """A line for each request, with the time of day."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log = logging.getLogger("oryx.serving.requests")
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
