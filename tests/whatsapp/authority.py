"""What makes clients believe this is WhatsApp: a TLS authority and a Noise certificate chain.

One rule: only the two roots last (the TLS authority in its files, the Noise root key in the state); leaves
are made anew at every start and never leave this process except through a temporary file of mode 0600.
"""

from __future__ import annotations

import datetime as dt
import os
import ssl
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.whatsapp import xeddsa
from tests.whatsapp.protobufs import CertChain

HOSTS = ("web.whatsapp.com", "*.whatsapp.com", "*.whatsapp.net", "whatsapp.net")
_DAY = dt.timedelta(days=1)
_INTERMEDIATE_SERIAL = 1
_LEAF_SERIAL = 2


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 atomically."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    fresh.replace(path)


class TlsAuthority:
    """The certificate authority in `directory`, made there when it is missing."""

    def __init__(self, directory: Path) -> None:
        self._certificate_file = directory / "ca.pem"
        self._key_file = directory / "ca.key"
        if not (self._certificate_file.exists() and self._key_file.exists()):
            self._create()
        key = serialization.load_pem_private_key(self._key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self._key_file} holds no elliptic curve key")
        self._key = key
        self._certificate = x509.load_pem_x509_certificate(self._certificate_file.read_bytes())

    @property
    def certificate_file(self) -> Path:
        return self._certificate_file

    def server_context(self) -> ssl.SSLContext:
        """Return a context that answers for every WhatsApp host, with a fresh leaf."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = (
            _builder(_name("web.whatsapp.com"), key.public_key(), issuer=self._certificate.subject, days=365)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # The ssl module only loads certificates from files.
        chain = self._key_file.with_name("leaf.pem")
        write_private(chain, _key_pem(key) + leaf.public_bytes(serialization.Encoding.PEM))
        try:
            context.load_cert_chain(chain)
        finally:
            chain.unlink()
        return context

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("WhatsApp simulator authority, for tests only")
        certificate = (
            _builder(name, key.public_key(), issuer=name, days=3650)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=True,
                    crl_sign=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(key, hashes.SHA256())
        )
        write_private(self._key_file, _key_pem(key))
        write_private(self._certificate_file, certificate.public_bytes(serialization.Encoding.PEM))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, *, issuer: x509.Name, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + days * _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class NoiseAuthority:
    """The key a client pins, and the certificate of the static key the server shows in the handshake."""

    def __init__(self, root_private: bytes) -> None:
        root = X25519PrivateKey.from_private_bytes(root_private)
        intermediate = X25519PrivateKey.generate()
        self.root_public = root.public_key().public_bytes_raw()
        self.static = X25519PrivateKey.generate()
        self.chain: bytes = CertChain(
            # WhatsApp's root has serial 0: clients refuse an intermediate that names another issuer.
            intermediate=_noise_certificate(
                intermediate, serial=_INTERMEDIATE_SERIAL, issuer_serial=0, signed_by=root
            ),
            leaf=_noise_certificate(
                self.static, serial=_LEAF_SERIAL, issuer_serial=_INTERMEDIATE_SERIAL, signed_by=intermediate
            ),
        ).SerializeToString()


def _noise_certificate(
    key: X25519PrivateKey, *, serial: int, issuer_serial: int, signed_by: X25519PrivateKey
) -> CertChain.NoiseCertificate:
    now = int(time.time())
    details = CertChain.NoiseCertificate.Details(
        serial=serial,
        issuerSerial=issuer_serial,
        key=key.public_key().public_bytes_raw(),
        notBefore=now - 86400,
        notAfter=now + 365 * 86400,
    ).SerializeToString()
    return CertChain.NoiseCertificate(
        details=details, signature=xeddsa.sign(signed_by.private_bytes_raw(), details)
    )
