"""Who may talk to the server: whoever knows the token, from a page of the server itself.

Every address lies under the token (``/TOKEN/…``). A request that changes something needs the token in a header besides, which no
page of another origin can send. The Host header must name this server, so that a foreign name that resolves to this machine
(DNS rebinding) gets nothing. The policy of every page allows no script, style, image or connection but the server's own.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_HEADER = b"x-mmud-token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def new_token() -> str:
    """128 random bits, safe in an address."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True)
class Hosts:
    """The names under which the server may be addressed.

    Attributes:
        host: what it is bound to.
        port: its port.
    """

    host: str
    port: int

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK

    def allow(self, header: str) -> bool:
        """Whether a Host header names this server."""
        name, colon, port = header.rpartition(":")
        if not colon or header.endswith("]"):
            # A browser leaves out the port that HTTP has by default.
            name, port = header, "80"
        if port != str(self.port):
            return False
        name = name.removeprefix("[").removesuffix("]").lower()
        if name in LOOPBACK or name == self.host.lower():
            return True
        if self.local:
            return False
        # A rebound name is a name: an address in digits is the machine's own, and so is the machine's name.
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in (socket.gethostname().lower(), socket.getfqdn().lower())
        return True


class Guard:
    """ASGI middleware that lets through what may pass, and puts the policy on every answer.

    Args:
        app: what is guarded.
        token: the token.
        hosts: the server's names.
    """

    def __init__(self, app: App, token: str, hosts: Hosts) -> None:
        self._app = app
        self._token = token.encode("ascii")
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        status, reason = self._refusal(scope)
        if status:
            await _answer(send_with_policy, status, reason)
            return
        scope["root_path"] = "/" + self._token.decode("ascii")
        await self._app(scope, receive, send_with_policy)

    def _refusal(self, scope: Scope) -> tuple[int, str]:
        """The status and reason of a refusal; 0 where the request may pass."""
        named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1 or not self._hosts.allow(named[0]):
            return 421, "This server does not go by that name."
        first = scope["path"].split("/", 2)[1] if scope["path"].startswith("/") else ""
        if not self._is_token(first.encode("utf-8", "replace")):
            return 403, "Open the address that the terminal shows: it carries the token."
        if scope["method"] in ("GET", "HEAD"):
            return 0, ""
        given = [value for name, value in scope["headers"] if name == TOKEN_HEADER]
        if len(given) != 1 or not self._is_token(given[0]):
            return 403, "The token is missing from the request."
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        if any(origin.partition("://")[2] != named[0] for origin in origins):
            return 403, "The request comes from another page."
        return 0, ""

    def _is_token(self, given: bytes) -> bool:
        return secrets.compare_digest(given, self._token)


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
