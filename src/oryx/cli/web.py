"""`oryx web`: a page to ask on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oryx.cli import options as opt
from oryx.errors import ConfigError

if TYPE_CHECKING:
    from oryx.web.planning import Limits, PagePlanner
    from oryx.web.remote import RemoteAsker
    from oryx.web.replies import Asker


@dataclass(frozen=True)
class _Weights:
    """What is computed with."""

    device: str
    dtype: str
    vision_dtype: str
    vision_tower: Path | None
    quantize: str | None


_NEEDED = ("gradio", "uvicorn", "httpx")


def web_command(
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="nano, a folder, or a hub id; beside --url, whose plan to show.",
            show_default="nano",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Ask an OpenAI-compatible server there, as http://127.0.0.1:8000/v1."
        ),
    ] = None,
    url_model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the server calls the model; by default the first it lists."),
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its first line is the key for --url.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at. Beyond loopback it needs --auth.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 7860,
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:FILE", help="Who may open the page; the file's first line is the password."
        ),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Anybody who reaches the page may use it.")
    ] = False,
    max_upload: Annotated[int, typer.Option(min=1, metavar="MB", help="Of one file.")] = 256,
    max_frames: Annotated[int, typer.Option(min=1, help="Of one video, at the end of the dial.")] = 256,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, help="Of one picture or frame, before it is resized.")
    ] = 64.0,
    keep: Annotated[
        float, typer.Option(min=0, metavar="GB", help="Memory for conversations that may go on.")
    ] = 1.0,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    vision_dtype: opt.VisionDtype = "auto",
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
) -> None:
    """Ask on a web page: dials, the plan before asking, the frames that will be read, streamed answers."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f'oryx web needs {", ".join(missing)}, which pip install "oryx-mllm[web]" brings.')
    from oryx.processing.weights import check_quantize
    from oryx.web.planning import Limits
    from oryx.web.server import bind, build_app, read_login, run, upload_folder

    check_quantize(quantize)
    login = read_login(auth, host, no_auth)
    limits = Limits(max_frames=max_frames, max_pixels=int(max_megapixels * 1e6))
    with bind(host, port) as listener, upload_folder() as folder:
        weights = _Weights(device, dtype, vision_dtype, vision_tower, quantize)
        asker: Asker
        plans: PagePlanner | None
        where = ""
        if url is None:
            asker, plans = _local(model or "nano", limits, int(keep * 1e9), weights)
        else:
            remote, plans = _remote(url, url_model, api_key_file, model, limits, weights)
            asker, where = remote, f" at {remote.url}"
        from oryx.web.handlers import Handlers

        handlers = Handlers(asker, plans, limits)
        app = build_app(handlers, folder, host, login, max_upload * 10**6, where)
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}"
        run(app, listener, lambda: print(f"{asker.model_name} is at {address}; Ctrl-C ends it.", flush=True))


def _local(
    model: str,
    limits: Limits,
    kept_bytes: int,
    weights: _Weights,
) -> tuple[Asker, PagePlanner]:
    """The model in this process."""
    from oryx.cli.display import waiting
    from oryx.cli.forecast import model_folder
    from oryx.cli.noise import quiet_transformers
    from oryx.loading import load
    from oryx.web.local import LocalAsker
    from oryx.web.planning import PagePlanner

    quiet_transformers()
    with waiting(f"loading {model}"):
        loaded, processor = load(
            model_folder(model),
            **asdict(weights),
        )
    plans = PagePlanner(processor.planner, processor, limits)
    return LocalAsker(loaded, processor, plans, model, kept_bytes), plans


def _remote(
    url: str,
    name: str | None,
    key_file: Path | None,
    model: str | None,
    limits: Limits,
    weights: _Weights,
) -> tuple[RemoteAsker, PagePlanner | None]:
    """A server, and the plan of the model that `model` names, or of nano if that is what the server runs."""
    from oryx.cli.forecast import make_planner, model_folder
    from oryx.cli.noise import quiet_transformers
    from oryx.web.planning import PagePlanner
    from oryx.web.remote import RemoteAsker

    asker = RemoteAsker(url, None if key_file is None else read_key(key_file), name, limits)
    planned = model or ("nano" if asker.model_name == "nano" else None)
    if planned is None:
        return asker, None
    from oryx.loading import load_processor

    quiet_transformers()
    folder = model_folder(planned)
    planner = make_planner(folder, weights.vision_tower, weights.dtype, weights.device, weights.quantize)
    return asker, PagePlanner(planner, load_processor(folder), limits)


def read_key(file: Path) -> str:
    """The API key in a file's first line that is not empty or a comment.

    Raises:
        ConfigError: a file that cannot be read, or holds none.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(f"--api-key-file {file} cannot be read ({reason}).") from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ConfigError(f"--api-key-file {file} holds no key; write it on its first line.")
    return keys[0]
