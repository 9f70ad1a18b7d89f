"""Starting the server: a socket first, so that its address is known and nothing else can take it."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable

from mmud import codes as common
from mmud.annotations.review import codes
from mmud.errors import MmudError

PACKAGES = ("starlette", "uvicorn", "jinja2")
EXTRA = "review"


def require_packages() -> None:
    """What the server needs.

    Raises:
        MmudError: MM007 when a package is missing.
    """
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            hint = f"pip install 'mmud[{EXTRA}]' -c constraints.txt"
            raise MmudError(
                common.DEPENDENCY_MISSING, f"the review server needs {package}: {error}", hint=hint
            ) from error


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on an address of this machine.

    Raises:
        MmudError: MM987 when it cannot.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError, OverflowError) as error:
        raise MmudError(codes.ADDRESS_TAKEN, f"cannot listen on {host}: {error}") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise MmudError(codes.ADDRESS_TAKEN, f"cannot listen on {host}, port {port}: {error}") from error
    return listening


def page_address(host: str, port: int, token: str) -> str:
    """The address that opens the page."""
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/{token}/"


def serve(app: object, listening: socket.socket, started: Callable[[], None] = lambda: None) -> None:
    """Serve until interrupted.

    Args:
        app: an ASGI application.
        listening: a bound socket; closed at the end.
        started: called just before the first request can be answered.
    """
    import uvicorn

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    started()
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        # Ctrl-C is how a person ends the server; every decision is on disk already.
        pass
    finally:
        listening.close()
