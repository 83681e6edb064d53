"""The web application: see and hear clips, train, evaluate and correct labels in the browser. `dcasekit app` starts it (extra ``app``).

A view is one file in `views`, found by its stem: ``TITLE``, ``ORDER``, ``layout(site, query)`` and ``register(app, site)``. `_site` says
what a server shows, `_safety` who may ask, `_routes` sends sound, `_player` draws it, `_parts` are pieces of pages. Nothing of a browser's
session is kept here: it lies in the page's address, its stores, and for files that were sent, in a folder of the session's own.
"""

import importlib
import os
import secrets
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dcasekit.app._locks import hold, is_held
from dcasekit.core.units import PathLike
from dcasekit.errors import DcasekitError, MissingExtraError, StorageError

if TYPE_CHECKING:
    from dash import Dash
    from werkzeug.serving import BaseWSGIServer

    from dcasekit.app._uploads import Limits

_VIEWS = Path(__file__).parent / "views"
_READ_AHEAD = 1.0  # seconds that the start waits for the first source; of a large one the rest is read meanwhile


def find_views() -> dict[str, ModuleType]:
    """Import the views: name -> module, in the order of the navigation."""
    found = {path.stem: importlib.import_module(f"{__name__}.views.{path.stem}") for path in _VIEWS.glob("[!_]*.py")}
    return dict(sorted(found.items(), key=lambda item: (item[1].ORDER, item[0])))


def create_app(  # noqa: PLR0913 - settings, by name
    folders: Sequence[str],
    scratch: PathLike,
    *,
    runs: PathLike = "runs",
    host: str = "127.0.0.1",
    token: str = "",
    secret: bytes = b"",
    limits: "Limits | None" = None,
) -> "Dash":
    """Make the application, without a server.

    Parameters
    ----------
    folders : the data to show: folders of recordings, or ``NAME=FOLDER`` for a dataset. If it is empty, the sounds that the runs made.
    scratch : an empty folder for uploaded files and for what is computed from recordings.
    runs : folder that holds all runs; new runs are stored there.
    host : host name that the server will listen on; requests to others are refused.
    token : token that browsers must send with the first page; empty: none is needed.
    secret : key that signs the cookies of sessions; empty: a new random one.
    limits : limits of uploads; ``None``: the defaults of `Limits`.

    Returns
    -------
    dash.Dash : the application; its attribute ``server`` is a Flask application for any WSGI server.

    Raises
    ------
    MissingExtraError : Dash is not installed.
    DatasetError, NameNotFoundError : a folder or a dataset does not exist.
    """
    try:
        import dash
    except ModuleNotFoundError as error:
        raise MissingExtraError("dash", "app") from error
    from dcasekit.app import _page, _routes
    from dcasekit.app._safety import Guard
    from dcasekit.app._site import Site, find_sources
    from dcasekit.app._uploads import Limits

    site, found = Site(find_sources(folders, runs), runs, scratch), find_views()
    app = dash.Dash(
        __name__,
        title="dcasekit",
        update_title="",
        suppress_callback_exceptions=True,
        enable_mcp=False,
        index_string=_page.INDEX,
        assets_ignore="worklet",
        on_error=_page.explain(site),
    )
    _page.install(app, site, found)
    _routes.install(app.server, site, limits or Limits())
    for view in found.values():
        view.register(app, site)
    app.server.extensions["dcasekit"] = site
    Guard(secret or secrets.token_bytes(32), host, token).install(app.server, app.csp_hashes)
    return app


def serve(folders: Sequence[str], *, runs: PathLike = "runs", host: str = "127.0.0.1", port: int = 8050, token: str = "") -> "Server":
    """Make the application and a server that listens for it; call `Server.run` to answer requests.

    Parameters
    ----------
    folders, runs : as for `create_app`.
    host, port : host name and port to listen on; port 0: any free port.
    token : as for `create_app`. If it is empty and other machines can reach `host`, a random token is made.

    Returns
    -------
    Server : the server; its attribute ``address`` is the URL to open, with the token.

    Raises
    ------
    StorageError : the port is taken, or the folder of runs cannot be written.
    """
    return Server(folders, runs=runs, host=host, port=port, token=token)


class Server:
    """A server that listens for the application; `serve` makes it.

    Attributes
    ----------
    address : URL to open in a browser, with the token if one is needed.
    """

    def __init__(self, folders: Sequence[str], *, runs: PathLike, host: str, port: int, token: str) -> None:
        local = host in ("127.0.0.1", "localhost", "::1")
        token = token or ("" if local else secrets.token_urlsafe(24))
        secret, self._scratch = _secret(Path(runs)), _scratch(Path(runs))
        app = create_app(folders, self._scratch.name, runs=runs, host=host, token=token, secret=secret)
        self._site = app.server.extensions["dcasekit"]
        self._server = _listen(host, port, app.server)
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self._server.server_port}/" + (f"?token={token}" if token else "")
        reading = threading.Thread(target=self._read_ahead, daemon=True)
        reading.start()
        reading.join(timeout=_READ_AHEAD)

    def run(self) -> None:
        """Answer requests until interrupted. Uploaded files are deleted at the end, or earlier when their session has ended."""
        done = threading.Event()
        threading.Thread(target=self._work_aside, args=(done,), daemon=True).start()
        try:
            self._server.serve_forever()
        finally:
            done.set()
            self._server.server_close()
            self._scratch.cleanup()

    def _work_aside(self, done: threading.Event) -> None:
        from dcasekit.app._uploads import sweep

        while not done.wait(60):
            sweep(self._site)

    def _read_ahead(self) -> None:
        """Read the first source, and draw its first clip, before they are asked for, with all that this imports."""
        from dcasekit.app import _sound

        with suppress(DcasekitError, OSError):  # the page will say it
            source = self._site.source(None)
            _ = source.balance, _sound.describe(source.clips[0])

    def stop(self) -> None:
        """Stop `run`, from another thread."""
        self._server.shutdown()


def _listen(host: str, port: int, server: Any) -> "BaseWSGIServer":
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # one connection for the many small parts of a page
        timeout = 60  # of a connection on which nothing comes

        def log_request(self, *_: Any) -> None:
            """Say nothing of what went well."""

    try:
        return make_server(host, port, server, threaded=True, request_handler=Handler)
    except (OSError, SystemExit) as error:
        raise StorageError(f"cannot listen to port {port} of {host} ({error}); choose another with --port, 0 for any") from error


def _scratch(runs: Path) -> "TemporaryDirectory[str]":
    """Make a folder for what browsers send; delete those of servers that were killed."""
    for old in (runs / ".app").glob("sent-*"):
        if not is_held(old / "lock"):
            shutil.rmtree(old, ignore_errors=True)
    made = TemporaryDirectory(prefix="sent-", dir=runs / ".app")
    hold(Path(made.name, "lock"))
    return made


def _secret(runs: Path) -> bytes:
    """Return the key of this folder's sessions, so that pages that are open outlive a server."""
    path = runs / ".app" / "secret"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
    except FileExistsError:
        pass
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error.strerror}); give a folder of your own: --runs") from error
    return path.read_bytes()
