"""Who is measured by `oryx eval`: weights on this machine, or a model behind an address."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oryx.cli import options as opt
from oryx.cli.noise import complain
from oryx.errors import ConfigError

if TYPE_CHECKING:
    from oryx.evaluation.answers import Answerer
    from oryx.evaluation.endpoint_answers import EndpointAnswerer
    from oryx.evaluation.journal import Journal

Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Measure the model behind this OpenAI-compatible address instead, as http://127.0.0.1:8000/v1.",
    ),
]
UrlModel = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What the server calls the model, where it serves more than one."),
]
ApiKeyEnv = Annotated[
    str | None, typer.Option(metavar="NAME", help="Environment variable that holds the key for --url.")
]
Requests = Annotated[int, typer.Option(min=1, help="Questions on their way to --url at once.")]


@dataclass(frozen=True)
class Opened:
    """Who answers, ready to be asked."""

    answerer: Answerer
    facts: dict[str, Any]
    """See `model_facts` and `endpoint_facts`."""
    model: Any
    """None behind an address, as the processor."""
    processor: Any


@dataclass(frozen=True)
class Subject:
    """Who is measured, before anything is loaded."""

    options: dict[str, Any]
    """How the command line that is written beside the results names it; never the key."""
    identity: str
    """See `identity_of`."""
    device: str | None
    """See `device_name`; None behind an address."""
    requests: int | None
    """How many questions may be on their way; None for weights on this machine."""
    has_dials: bool
    """Whether it can be told a ratio: not where it is behind an address that is no `oryx serve`."""
    open: Callable[[], Opened]


@dataclass(frozen=True)
class Address:
    """The options that name a model behind an address."""

    url: str | None
    url_model: str | None
    api_key_env: str | None
    requests: int

    def connect(self, local: Mapping[str, Any], dials: Mapping[str, Any]) -> EndpointAnswerer:
        """A connection to the model there.

        Args:
            local: options that are for weights on this machine -> their values; None if not given.
            dials: options that only `oryx serve` knows -> their values, likewise.

        Raises:
            ConfigError: such an option was given, the key is not there, or the endpoint does not answer.
        """
        defaults = {"--model": "nano", "--device": "auto"}
        given = [name for name, value in local.items() if value not in (None, defaults.get(name))]
        if given:
            raise ConfigError(f"{' and '.join(given)}: for weights on this machine, not for --url.")
        key = None if self.api_key_env is None else os.environ.get(self.api_key_env)
        if self.api_key_env is not None and not key:
            raise ConfigError(f"the environment variable {self.api_key_env} of --api-key-env is not set.")
        from oryx.endpoint import ChatEndpoint
        from oryx.evaluation.endpoint_answers import EndpointAnswerer, refuse_dials

        answerer = EndpointAnswerer(ChatEndpoint(str(self.url), self.url_model, key), self.requests)
        refuse_dials(answerer, dials)
        return answerer

    def check_unused(self) -> None:
        """Refuse options that go with `--url` where it was not given. Raises `ConfigError`."""
        for option, value in (("--url-model", self.url_model), ("--api-key-env", self.api_key_env)):
            if value is not None:
                raise ConfigError(f"{option} goes with --url.")

    @property
    def options(self) -> dict[str, Any]:
        """See `Subject`."""
        return {"--url": self.url, "--url-model": self.url_model, "--api-key-env": self.api_key_env}


def find_subject(
    model: str,
    vision_tower: Path | None,
    quantize: str | None,
    dtype: str,
    device: str,
    address: Address,
    dials: Mapping[str, Any],
) -> Subject:
    """Who these options name; nothing is loaded yet, but an endpoint is connected to.

    Args:
        dials: options that only `oryx serve` knows among endpoints -> their values; None if not given.

    Raises:
        ConfigError, CheckpointError: nobody.
    """
    weights = opt.weights(model, vision_tower, quantize, dtype)
    if address.url is not None:
        from oryx.evaluation.output import identity_of

        remote = address.connect({**weights, "--device": device}, dials)
        identity = identity_of(remote.facts)
        opened = Opened(remote, remote.facts, None, None)
        return Subject(address.options, identity, None, address.requests, remote.is_oryx, lambda: opened)
    address.check_unused()
    from oryx.evaluation.answers import ModelAnswerer
    from oryx.evaluation.output import device_name, hash_model, identity_of, model_facts
    from oryx.loading import load, resolve_folder

    folder = resolve_folder(model)
    hashes = hash_model(folder, vision_tower)

    def open_model() -> Opened:
        loaded, processor = load(
            folder, dtype=dtype, device=device, vision_tower=vision_tower, quantize=quantize
        )
        return Opened(ModelAnswerer(loaded, processor), model_facts(model, hashes, loaded), loaded, processor)

    return Subject(weights, identity_of(hashes), device_name(device), None, True, open_model)


@contextmanager
def telling_of_stops(kept: Journal | Path) -> Iterator[None]:
    """Ctrl-C within is answered by what becomes of the work so far.

    Args:
        kept: where that is, if anywhere. A journal is closed by whatever ends the work early, so that the
            next run, of this process too, goes on at once.
    """
    path = kept if isinstance(kept, Path) else kept.path
    try:
        yield
    except BaseException as error:
        if not isinstance(kept, Path):
            kept.close()
        if not isinstance(error, KeyboardInterrupt):
            raise
        if path is None:
            complain("stopped; with --output, answers are kept and the same command goes on.")
        elif path.exists():
            complain(f"stopped; what is done by now is in {path}, and the same command goes on.")
        else:
            complain("stopped before there was anything to keep.")
        raise


def tell_kept(number: int, what: str) -> None:
    """Say that a run goes on, if it does."""
    if number:
        typer.echo(f"{number:,} {what} of an earlier run are kept.", err=True)


def tell_written(paths: Iterable[Path]) -> None:
    """Say which files there are now, or have changed."""
    for path in paths:
        typer.echo(f"Wrote {path}.", err=True)
