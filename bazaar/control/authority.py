"""The certificate authority of one run: it signs a certificate for each process, and is gone (requirement J5).

Its private key is never written down, so nobody can sign further certificates of this run. Each process has one for all of its
lives, with its key, in a file that only its owner can read.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bazaar.protocol.settings import UsageError
from bazaar.runtime.key import AUTHORITY

if TYPE_CHECKING:
    from cryptography import x509

VALID = datetime.timedelta(days=30)  # longer than any run
EARLIER = datetime.timedelta(days=1)  # clocks of machines may differ
NEEDED = "--tls needs the packages of requirements-tls.txt; `bash run.sh ... --tls` installs them"


def write_papers(folder: Path, names: Iterable[str], addresses: Iterable[str]) -> None:
    """Makes the folder, with the authority's certificate, and one of each name with its key.

    `addresses`: those under which the processes are reached, for Pyro4's own clients, which compare them. Raises `UsageError`
    if the library is missing.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise UsageError(NEEDED) from None

    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(
        subject: str, key: Any, issuer: str, issuer_key: Any, *extensions: tuple[Any, bool]
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - EARLIER)
            .not_valid_after(now + VALID)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, hashes.SHA256())

    def in_pem(one: x509.Certificate) -> bytes:
        return one.public_bytes(serialization.Encoding.PEM)

    authority_key, authority = ec.generate_private_key(ec.SECP256R1()), f"the bazaar in {folder.parent.name}"[:60]
    folder.mkdir(mode=0o700)
    may_sign = x509.BasicConstraints(ca=True, path_length=0), True
    own = certificate(authority, authority_key, authority, authority_key, may_sign)
    (folder / AUTHORITY).write_bytes(in_pem(own))
    where = x509.SubjectAlternativeName([_general_name(x509, address) for address in dict.fromkeys(addresses)])
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = (x509.BasicConstraints(ca=False, path_length=None), True), (where, False)
        signed = certificate(name, key, authority, authority_key, *leaf)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        descriptor = os.open(folder / f"{name}.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(private + in_pem(signed))


def _general_name(x509: Any, address: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)
