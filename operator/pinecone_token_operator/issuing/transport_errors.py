"""What a failure to reach the token endpoint means, in our own words.

The libraries' own texts can quote a proxy's reply, so they are not repeated.
"""

import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx

from pinecone_token_operator.config.settings import Endpoint
from pinecone_token_operator.errors import ExchangeError, ExchangeFailure

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_CERTIFICATE_PROBLEMS: Final = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed; add it to the operator's --ca-bundle to trust it",
    19: "is signed by an unknown CA; add the CA to the operator's --ca-bundle",
    20: "is signed by an unknown CA; add the CA to the operator's --ca-bundle",
    21: "is signed by an unknown CA; add the CA to the operator's --ca-bundle",
    62: "is for another host name",
    64: "is for another IP address",
}
_STATUS: Final = re.compile(r"[1-5][0-9]{2}(?= |$)")
_PROXY_AUTHENTICATION_REQUIRED: Final = 407


def exchange_error(error: Exception, endpoint: Endpoint) -> ExchangeError:
    """Return what an error of the HTTP client, or of the network below it, means."""
    # What a connection is made to first.
    peer = "the proxy" if endpoint.proxy else "the token endpoint"
    match error:
        case httpx.ConnectTimeout():
            summary = f"timed out connecting to {peer}"
        case TimeoutError() | httpx.TimeoutException():
            summary = "the token endpoint did not reply in time"
        case httpx.ProxyError():
            return _refused_by_proxy(error)
        case httpx.ConnectError() | OSError():
            summary = _connection_problem(error, endpoint, peer)
        case httpx.NetworkError():
            summary = "the connection to the token endpoint was lost"
        case httpx.RemoteProtocolError():
            summary = (
                "the connection to the token endpoint was lost, or its reply is not valid HTTP"
            )
        case _:
            return ExchangeError(
                ExchangeFailure.INVALID, "the request to the token endpoint could not be sent"
            )
    return ExchangeError(ExchangeFailure.UNAVAILABLE, summary)


def _refused_by_proxy(error: httpx.ProxyError) -> ExchangeError:
    # httpcore raises it with the status and the reason phrase of the reply to CONNECT.
    found = _STATUS.match(str(error))
    status = int(found[0]) if found else None
    summary = "the proxy did not connect to the token endpoint"
    if status == _PROXY_AUTHENTICATION_REQUIRED:
        summary = "the proxy rejected the user name and password of the operator's proxy URL"
    return ExchangeError(ExchangeFailure.UNAVAILABLE, summary, status)


def _connection_problem(error: BaseException, endpoint: Endpoint, peer: str) -> str:
    over_tls = endpoint.proxy is not None and endpoint.proxy.scheme == "https"
    tls_peer = "the proxy or the token endpoint" if over_tls else "the token endpoint"
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            problem = _CERTIFICATE_PROBLEMS.get(cause.verify_code, "cannot be verified")
            return f"the certificate of {tls_peer} {problem}"
        if isinstance(cause, ssl.SSLError):
            return f"the TLS handshake with {tls_peer} failed"
        if isinstance(cause, socket.gaierror):
            return f"the host name of {peer} could not be resolved"
    return f"could not connect to {peer}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
