"""Serves the page: on this machine alone unless told otherwise, and nothing but the page and its uploads."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oryx.errors import ConfigError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from oryx.web.handlers import Handlers

LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"]
LOGIN_DELAY = 1.0  # seconds after a wrong password
MOST_PAGES = 1000
_CLOSED = ("/gradio_api/proxy=", "/proxy=", "/gradio_api/runs", "/gradio_api/info", "/gradio_api/call/")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def read_login(given: str | None, host: str, no_auth: bool) -> tuple[str, str] | None:
    """The name and password that open the page; None for a page that is open to whoever reaches it.

    Args:
        given: "NAME:FILE"; the password is the file's first line.

    Raises:
        ConfigError: another form, a file without a password, or an address beyond this machine that nothing
            protects.
    """
    if given is None:
        if not is_loopback(host) and not no_auth:
            raise ConfigError(
                f"others can reach a page at {host}: give --auth NAME:FILE (the file holds the password), "
                "or --no-auth to let them all in."
            )
        return None
    if no_auth:
        raise ConfigError("--auth and --no-auth exclude each other.")
    name, colon, file = given.partition(":")
    if not colon or not name.strip() or not file:
        raise ConfigError(f"--auth is {given!r}; it must be NAME:FILE, where the file holds the password.")
    try:
        password = Path(file).expanduser().read_text(encoding="utf-8").splitlines()[:1]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(f"the password file {file} cannot be read ({reason}).") from None
    if not password or not password[0].strip():
        raise ConfigError(f"the password file {file} is empty; its first line is the password.")
    return name.strip(), password[0].strip()


@contextmanager
def upload_folder() -> Iterator[Path]:
    """A folder that is this process's alone, for everything that the page keeps; gone when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="oryx-web-")).resolve()
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = before
        shutil.rmtree(folder, ignore_errors=True)


def build_app(
    handlers: Handlers,
    folder: Path,
    host: str = "127.0.0.1",
    login: tuple[str, str] | None = None,
    max_upload: int = 256 * 2**20,
    where: str = "",
) -> FastAPI:
    """The application that serves the page.

    Args:
        folder: of `upload_folder`.
        max_upload: bytes of one file.
        where: see `build_page`.
    """
    import gradio as gr
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from oryx.web.examples import copy_examples
    from oryx.web.page import build_page
    from oryx.web.theme import make_theme, style_sheet

    page = build_page(handlers, copy_examples(folder / "examples"), where)
    page.queue(default_concurrency_limit=8, max_size=256, api_open=False)
    page.state_session_capacity = MOST_PAGES
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Gate)
    if is_loopback(host):
        # A page elsewhere whose name is made to mean this machine does not get in.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK_NAMES, host], www_redirect=False)
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=host,
        auth=None if login is None else make_check(*login),
        auth_message=None,
        show_error=False,
        max_file_size=max_upload,
        ssr_mode=False,
        pwa=False,
        run_history=False,
        footer_links=[],
        enable_monitoring=False,
        favicon_path=str(Path(__file__).parent / "icon.svg"),
        theme=make_theme(),
        css=style_sheet(),
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )


def make_check(name: str, password: str) -> Callable[[str, str], Any]:
    """Compares names and passwords in constant time; a wrong one takes `LOGIN_DELAY` seconds."""

    async def check(given_name: str, given_password: str) -> bool:
        is_name = hmac.compare_digest(given_name.encode(), name.encode())
        is_password = hmac.compare_digest(given_password.encode(), password.encode())
        if is_name and is_password:
            return True
        await asyncio.sleep(LOGIN_DELAY)
        return False

    return check


class Gate:
    """Closes what Gradio offers and this page does not use, among it fetching addresses for clients."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or answer 404."""
        from starlette.responses import PlainTextResponse

        if scope["type"] == "http" and _is_closed(scope["path"]):
            await PlainTextResponse("Not found.", status_code=404)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _is_closed(path: str) -> bool:
    _, is_file, name = path.partition("/file=")
    return path.startswith(_CLOSED) or bool(is_file and "://" in name.replace(":/", "://"))


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        ConfigError: an address that is not this machine's, or a port in use.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(256)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot listen at {host}:{port} ({reason}); --port 0 takes a free port.") from None
    return listener


def run(app: FastAPI, listener: socket.socket, announce: Callable[[], None]) -> None:
    """Serve until Ctrl-C, when this returns, or SIGTERM, which ends the process with 0, too."""
    import uvicorn

    def end(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)  # uvicorn raises what ended it once more

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            announce()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Pages that are open keep a connection; cutting it off is no error to tell.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(sockets=sockets)

    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    # uvicorn raises Ctrl-C once more when it has ended; whether that arrives depends on what else runs.
    with suppress(KeyboardInterrupt):
        Server(config).run(sockets=[listener])
