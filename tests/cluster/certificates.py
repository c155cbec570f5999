"""Certificates of a test: an authority of its own, and servers of this machine that it vouches for."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = ipaddress.ip_address("127.0.0.1")


@dataclass(frozen=True)
class Certificates:
    """PEM files: `ca` is what `tls_ca` names, `server` a key with the certificate that goes with it."""

    ca: Path
    server: Path


def make_certificates(folder: Path) -> Certificates:
    """A new authority in a folder, which need not be there, and a server's certificate for 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {folder.name}")])
    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(HOST))])
    signed_root = _certificate(root, root, authority.public_key(), x509.BasicConstraints(ca=True, path_length=0))
    signed_own = _certificate(server, root, own.public_key(), x509.SubjectAlternativeName([x509.IPAddress(HOST)]))
    made = Certificates(folder / "ca.pem", folder / "server.pem")
    pem = serialization.Encoding.PEM
    made.ca.write_bytes(signed_root.sign(authority, hashes.SHA256()).public_bytes(pem))
    key = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    made.server.write_bytes(key + signed_own.sign(authority, hashes.SHA256()).public_bytes(pem))
    made.server.chmod(0o600)
    return made


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    return builder.add_extension(extension, critical=True)
