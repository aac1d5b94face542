"""Certificates as company CAs issue them: with an intermediate, and without some extensions."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM


def make_corporate_certificates(directory: Path) -> None:
    """Write `root.pem`, `intermediate.pem`, and a server's `leaf.pem` and `leaf.key`.

    The server is at 127.0.0.1 and sends the intermediate along. No certificate has key identifiers
    or a key usage, and the constraints of the CAs are not critical, so that none passes the strict
    checks of RFC 5280.
    """
    root_key, key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = _certificate("Company Root", "Company Root", root_key, root_key, ca=True)
    intermediate = _certificate("Company Issuing", "Company Root", key, root_key, ca=True)
    leaf = _certificate("login", "Company Issuing", leaf_key, key, ca=False)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "root.pem").write_bytes(root.public_bytes(_PEM))
    (directory / "intermediate.pem").write_bytes(intermediate.public_bytes(_PEM))
    chain = leaf.public_bytes(_PEM) + intermediate.public_bytes(_PEM)
    (directory / "leaf.pem").write_bytes(chain)
    (directory / "leaf.key").write_bytes(
        leaf_key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    # `make_certificates` then leaves the directory as it is.
    (directory / "expired.pem").touch()


def _certificate(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=False)
    )
    if not ca:
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
