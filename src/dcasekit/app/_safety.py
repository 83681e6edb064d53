"""Who may ask the application for what: sessions, the token, hosts, origins, and the headers of every answer.

A browser holds a session by a cookie, which it is given with the first page. Where the server listens to more than its own machine, that
page must be asked for with the token. Nothing else is answered without a session, and nothing that changes something without the page's own
origin. A cookie is signed, so that it is still good after the server was started again.
"""

import hmac
import ipaddress
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from flask import Flask, Response, g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

_READS = ("GET", "HEAD", "OPTIONS")
_LOCAL = ("localhost", "127.0.0.1", "::1")
_REFUSED = {
    "host": (400, "This address is not one of the server's. Open the address that dcasekit printed when it started."),
    "session": (403, "This browser holds no session. Open the address that dcasekit printed when it started."),
    "origin": (403, "This did not come from a page of the application, so it was refused."),
}
# Dash writes styles into elements; regl, which draws Plotly's WebGL charts, compiles functions.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


@dataclass(frozen=True)
class Guard:
    """Checks every request.

    Parameters
    ----------
    secret : key that signs the cookies of sessions.
    host : host name that the server listens on.
    token : token that the request for the first page must contain; empty: none, for a server that only its own machine can reach.
    """

    secret: bytes
    host: str = "127.0.0.1"
    token: str = ""

    def install(self, server: Flask, hashes: Callable[[], Sequence[str]]) -> None:
        """Check every request to a server, and add security headers to every response.

        Parameters
        ----------
        server : the server.
        hashes : function that returns the hashes of the scripts inside the page.
        """
        server.before_request(self._check)
        server.after_request(lambda response: self._mark(response, hashes()))

    def sign(self, name: str) -> str:
        """Return the signed cookie of a session."""
        return f"{name}.{hmac.new(self.secret, name.encode(), 'sha256').hexdigest()}"

    def read(self, cookie: str) -> str:
        """Return the session that a cookie belongs to; empty if its signature is wrong."""
        name, _, _ = cookie.partition(".")
        return name if name and hmac.compare_digest(self.sign(name).encode(), cookie.encode(errors="replace")) else ""

    def _check(self) -> AnyResponse | None:
        if not self._is_ours(request.host):
            return _refuse("host")
        g.session = self.read(request.cookies.get(_cookie(), ""))
        if self.token and request.method == "GET" and "token" in request.args:
            if not hmac.compare_digest(self.token.encode(), request.args["token"].encode(errors="replace")):
                time.sleep(0.2)  # guessing is slow, too
                return _refuse("session")
            rest = {name: values for name, values in request.args.lists() if name != "token"}
            # Of "//host" a browser would make another server's address.
            return self._begin(redirect("/" + request.path.lstrip("/\\") + ("?" + urlencode(rest, doseq=True)) * bool(rest)))
        if not g.session:
            is_page = request.method == "GET" and not request.path.startswith(("/_", "/assets", "/clips", "/sound", "/upload"))
            if self.token or not is_page:
                return _refuse("session")
            g.session = secrets.token_urlsafe(24)
            g.new_session = True
        if request.method not in _READS and not self._same_origin():
            return _refuse("origin")
        return None

    def _begin(self, response: AnyResponse) -> AnyResponse:
        g.session = g.session or secrets.token_urlsafe(24)
        g.new_session = True
        return response

    def _mark(self, response: Response, hashes: Sequence[str]) -> Response:
        if g.get("new_session"):
            response.set_cookie(_cookie(), self.sign(g.session), httponly=True, samesite="Lax", path="/")
        response.headers["Content-Security-Policy"] = _POLICY.format(hashes=" ".join(hashes))
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response

    def _is_ours(self, host: str) -> bool:
        """Tell whether a request names this server: by an address, which no foreign name can stand for, or by a name of this machine."""
        name = urlsplit(f"//{host}").hostname or ""
        known = (*_LOCAL, self.host, socket.gethostname()) if self.token else _LOCAL
        if name.lower() in {each.lower() for each in known}:
            return True
        try:
            return bool(self.token and ipaddress.ip_address(name))
        except ValueError:
            return False

    def _same_origin(self) -> bool:
        origin = urlsplit(request.headers.get("Origin", ""))
        return origin.scheme in ("http", "https") and hmac.compare_digest(origin.netloc.encode(), request.host.encode())


def _cookie() -> str:
    """Name the cookie: browsers do not tell ports apart, and there may be several servers."""
    return f"dcasekit_{urlsplit(f'//{request.host}').port or 80}"


def _refuse(why: str) -> Response:
    status, text = _REFUSED[why]
    return Response(text, status=status, mimetype="text/plain")
