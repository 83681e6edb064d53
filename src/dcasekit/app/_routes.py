"""What the page fetches besides Dash's own: rows of clips, audio with ranges, waveforms, spectra, and the way in for files.

Every route names a clip by its source and id; which file that is, and whether it may be read, is the site's to say.
"""

from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask, Response, abort, g, jsonify, request, send_file

from dcasekit.annotations import Clip
from dcasekit.app import _sound, _table
from dcasekit.app._parts import without_paths
from dcasekit.app._site import Site
from dcasekit.app._uploads import Inbox, Limits, TooLargeError, keep
from dcasekit.errors import AudioError, DcasekitError, NameNotFoundError


def install(server: Flask, site: Site, limits: Limits) -> None:
    """Add the routes to a server."""
    _install_clips(server, site)
    _install_sound(server, site)
    _install_uploads(server, site, Inbox(site, limits))


def _install_clips(server: Flask, site: Site) -> None:
    @server.get("/clips")
    def clips() -> tuple[Response, int]:
        """Send a page of the rows that an address asks for, or all rows."""
        query = request.args.to_dict()
        try:
            source = site.source(query.get("source"))
            return jsonify(_table.all_rows(source) if "all" in query else _table.page(source, query)), 200
        except DcasekitError as error:
            return jsonify({"problem": without_paths(error, site)}), 404


def _install_sound(server: Flask, site: Site) -> None:

    def clip() -> Clip:
        return site.clip(request.args.get("source", ""), request.args.get("clip", ""), g.session)

    @server.get("/sound/audio")
    def audio() -> Response:
        """Send what a browser can play, whole or a range of it."""
        path, kind = _answer(lambda: _sound.playable(clip(), site.scratch / "audio"))
        response = send_file(path, mimetype=kind, conditional=True, etag=True, max_age=0)
        response.headers["Accept-Ranges"] = "bytes"
        if hasattr(response.response, "close"):  # else there is nothing to send
            response.call_on_close(response.response.close)
            response.response = _close_after(response.response)
        return response

    @server.get("/sound/about")
    def about() -> Response:
        return jsonify(_answer(lambda: _sound.describe(clip())))

    @server.get("/sound/tile")
    def tile() -> Response:
        """Send a piece of the spectrum as bytes."""
        number = request.args.get("n", type=int, default=-1)
        if not 0 <= number < 10_000:
            abort(400)
        response = Response(_answer(lambda: _sound.tile(clip(), number)).tobytes(), mimetype="application/octet-stream")
        response.headers["Cache-Control"] = "private, max-age=3600"
        return response


def _close_after(chunks: Any) -> Iterator[bytes]:
    """Pass a file on, and close it, also where the server drops it because the browser has left."""
    try:
        yield from chunks
    finally:
        chunks.close()


def _install_uploads(server: Flask, site: Site, inbox: Inbox) -> None:
    @server.post("/upload")
    def upload() -> tuple[Response, int]:
        """Take a file while it comes; the answer names its clip, or says what is wrong with it."""
        try:
            return jsonify({"clip": inbox.receive(g.session, request.stream, request.args.get("name", ""))}), 200
        except TooLargeError as error:
            return jsonify({"problem": str(error)}), 413
        except AudioError as error:
            return jsonify({"problem": str(error)}), 415

    @server.delete("/upload")
    def delete() -> tuple[str, int]:
        inbox.delete(g.session, request.args.get("clip", ""))
        return "", 204

    @server.post("/alive")
    def alive() -> tuple[str, int]:
        keep(site, g.session)
        return "", 204


def _answer(ask: Callable[[], Any]) -> Any:
    """Answer, or say that there is none without naming a path."""
    try:
        return ask()
    except NameNotFoundError:
        abort(404, "there is no such clip")
    except (DcasekitError, OSError, ValueError):
        abort(415, "this recording cannot be read")
