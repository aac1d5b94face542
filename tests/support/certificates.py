"""Creates certificates for test servers, signed by a CA of their own."""

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_PEM = serialization.Encoding.PEM
_CA_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def make_certificates(directory: Path, *names: str) -> None:
    """Write a CA and two server certificates to a directory, unless they are already there.

    They are for `localhost`, 127.0.0.1 and the names, which may be addresses too. `ca.pem` is the
    CA, `leaf.pem` and `leaf.key` are a valid certificate, and `expired.pem` and `expired.key` are
    an expired one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "expired.pem").exists():
        return
    ca_key, ca_name = ec.generate_private_key(ec.SECP256R1()), _name("test CA")
    now = datetime.now(UTC)
    ca = (
        _builder(ca_name, ca_key, ca_key, now - timedelta(days=3), now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    (directory / "ca.pem").write_bytes(ca.public_bytes(_PEM))
    validity = {
        "leaf": (now - timedelta(hours=1), now + timedelta(days=30)),
        "expired": (now - timedelta(days=2), now - timedelta(days=1)),
    }
    for file, (begin, end) in validity.items():
        _write_leaf(directory, file, names, ca_key, begin, end)


def make_client_certificate(directory: Path, user: str, group: str) -> None:
    """Write a client certificate of a user of the API server, and the CA that signed it.

    `client-ca.pem` is the CA; `client.pem` and `client.key` are the certificate.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    begin = datetime.now(UTC) - timedelta(hours=1)
    end = begin + timedelta(days=30)
    ca = (
        _builder(_name("test CA"), ca_key, ca_key, begin, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)
    subject = x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, user)])
    certificate = (
        _builder(subject, key, ca_key, begin, end)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    (directory / "client-ca.pem").write_bytes(ca.public_bytes(_PEM))
    (directory / "client.pem").write_bytes(certificate.public_bytes(_PEM))
    (directory / "client.key").write_bytes(_private(key))


def make_private_key(path: Path) -> None:
    """Write a new P-256 key in PEM (RFC 5915)."""
    path.write_bytes(_private(ec.generate_private_key(ec.SECP256R1())))


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    # The API server takes the public half of a service account's key from this format only.
    format_ = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(_PEM, format_, serialization.NoEncryption())


def _write_leaf(
    directory: Path,
    file: str,
    names: Iterable[str],
    ca_key: ec.EllipticCurvePrivateKey,
    begin: datetime,
    end: datetime,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subjects = [_subject(name) for name in sorted({"localhost", "127.0.0.1", *names})]
    leaf = (
        _builder(_name("test server"), key, ca_key, begin, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    (directory / f"{file}.key").write_bytes(_private(key))
    (directory / f"{file}.pem").write_bytes(leaf.public_bytes(_PEM))


def _subject(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    ca_key: ec.EllipticCurvePrivateKey,
    begin: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_name("test CA"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority, critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
