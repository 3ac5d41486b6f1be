"""The endpoints, and the parts that every request passes on its way to them."""

from __future__ import annotations

import time

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from oryx.errors import OryxError
from oryx.serving.errors import RequestError
from oryx.serving.http.answering import Answer
from oryx.serving.http.answers import model_card
from oryx.serving.http.body_limit import BodyLimit
from oryx.serving.http.chat_request import check_request
from oryx.serving.http.conversation import lay_out
from oryx.serving.http.errors import as_request_error, error_response
from oryx.serving.http.guards import Guards
from oryx.serving.http.lifecycle import Lifecycle
from oryx.serving.http.metrics import Metrics
from oryx.serving.http.reading import read_request
from oryx.serving.http.record import record_of
from oryx.serving.http.request_log import CHAT_PATH, CLIENT_LEFT, RequestLog
from oryx.serving.http.service import Parts, Service
from oryx.serving.http.settings import Access, Limits


def build_app(parts: Parts, limits: Limits, access: Access, lifecycle: Lifecycle) -> ASGIApp:
    """The server as an ASGI application. Starting and stopping the parts is not its business."""
    metrics = Metrics()
    service = Service(parts, limits, lifecycle, metrics)
    api = _endpoints(service)
    guarded: ASGIApp = Guards(api, access, lifecycle)
    if access.origins:
        guarded = CORSMiddleware(
            guarded,
            allow_origins=access.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    body_limit = BodyLimit(guarded, limits)
    metrics.watch(
        "held_bytes", "Bytes of requests' bodies, as they are announced or come.", lambda: body_limit.num_held
    )
    return RequestLog(body_limit, metrics)


def _endpoints(service: Service) -> FastAPI:
    # No pages of documentation: they would load scripts of others, and describe bodies that are read by hand.
    api = FastAPI(openapi_url=None, redirect_slashes=False)
    created = int(time.time())

    async def chat(request: Request) -> Response:
        received = await read_request(request, service.limits.max_body)
        checked = check_request(received.payload, service.limits.max_images, service.limits.max_videos)
        service.check_model(checked.body.model)
        return Answer(service, checked.body, lay_out(checked, received.attachments))

    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [card()]})

    async def model(name: str) -> Response:
        service.check_model(name)
        return JSONResponse(card())

    async def health() -> Response:
        if not service.parts.engine.is_running:
            service.lifecycle.die()
        refusal = service.lifecycle.refusal()
        if refusal is not None:
            return error_response(refusal)
        names = {"model": service.parts.model_name, "engine": service.parts.engine.name}
        return JSONResponse({"status": "ready"} | names)

    async def metrics() -> Response:
        return Response(service.metrics.render(), media_type="text/plain; version=1.0.0; charset=utf-8")

    def card() -> dict[str, object]:
        return model_card(service.parts.model_name, created, service.parts.engine.max_positions)

    async def tell(request: Request, error: Exception) -> Response:
        answer = error_response(as_request_error(error, record_of(request.scope).id))
        if isinstance(error, HTTPException) and error.headers:
            answer.headers.update(error.headers)
        return answer

    async def forget(request: Request, _: Exception) -> Response:
        record_of(request.scope).has_left = True  # in the midst of its body
        return Response(status_code=CLIENT_LEFT)

    for path, endpoint, method in (
        (CHAT_PATH, chat, "POST"),
        ("/v1/models", models, "GET"),
        ("/v1/models/{name:path}", model, "GET"),
        ("/health", health, "GET"),
        ("/metrics", metrics, "GET"),
    ):
        methods = [method, "HEAD"] if method == "GET" else [method]
        api.add_api_route(path, endpoint, methods=methods, response_class=Response, response_model=None)
    for kind in (RequestError, OryxError, HTTPException, Exception):
        api.add_exception_handler(kind, tell)
    api.add_exception_handler(ClientDisconnect, forget)
    return api
