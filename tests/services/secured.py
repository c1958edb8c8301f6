"""A broker that asks who comes: certificates and passwords made for the test, rights by ACL.

Its plain listener belongs to the administrator (the anonymous super user), who makes topics' rights
and looks after the storage; every other listener knows its callers by password or certificate.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Mapping
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tocsin.agents.embedded.broker import (
    HOST,
    QUICK_START,
    EmbeddedKafka,
    KafkaOptions,
    find_java,
    free_port,
)
from tocsin.agents.kafka.acls import ROLES, Need

# A login for each role, and one without any right; where one of these shows, a secret leaked.
PASSWORDS = {role: f"canary-of-{role}" for role in (*ROLES, "nobody")}
DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority over a folder; files are named by whom they vouch for."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cafile = folder / f"{name}.pem"
        own = self._builder(self._name, self._key, days=30).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self._write(self.cafile, own)

    def issue(self, name: str, *, host: str = HOST, days: int = 30) -> tuple[Path, Path]:
        """Certificate and key; `days` below 0 is how long it has been expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            place: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            place = x509.DNSName(host)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key, days).add_extension(
            x509.SubjectAlternativeName([place]), critical=False
        )
        certfile, keyfile = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        self._write(certfile, builder)
        keyfile.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certfile, keyfile

    def keystore(self, name: str, *, host: str = HOST, days: int = 30) -> Path:
        """Key and certificate in one file, as the broker wants them."""
        certfile, keyfile = self.issue(name, host=host, days=days)
        both = self._folder / f"{name}.keystore"
        both.write_text(keyfile.read_text() + certfile.read_text() + self.cafile.read_text())
        return both

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 60 * DAY)
            .not_valid_after(now + days * DAY)
        )

    def _write(self, path: Path, builder: x509.CertificateBuilder) -> None:
        certificate = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


class SecuredKafka(EmbeddedKafka):
    """The embedded broker with listeners for each way to log in, and rights."""

    def __init__(
        self, folder: Path, jars: list[Path], environ: Mapping[str, str], users: Mapping[str, str]
    ) -> None:
        self.authority = Authority(folder / "certificates")
        names = ("SASL_SSL", "SSL", "SASL_PLAINTEXT", "EXPIRED", "MISNAMED")
        self.ports = {name: free_port() for name in names}
        options = KafkaOptions(
            java_flags=QUICK_START,
            listeners=self.ports,
            more=self._more(users),
            format_arguments=[
                f"--add-scram={mechanism}=[name={name},password={password},iterations=4096]"
                for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                for name, password in users.items()
            ],
        )
        super().__init__(
            folder / "kafka",
            jars=jars,
            java=find_java(environ),
            log_path=folder / "logs" / "kafka.log",
            options=options,
        )

    def address(self, listener: str) -> str:
        """Where clients find a listener."""
        return f"{HOST}:{self.ports[listener]}"

    def _more(self, users: Mapping[str, str]) -> dict[str, str]:
        keystore = self.authority.keystore("broker")
        expired = self.authority.keystore("expired", days=-1)
        misnamed = self.authority.keystore("misnamed", host="elsewhere.example")
        plain = " ".join(f'user_{name}="{password}"' for name, password in users.items())
        module = "org.apache.kafka.common.security"
        logins = {
            "plain": f"{module}.plain.PlainLoginModule required {plain};",
            "scram-sha-256": f"{module}.scram.ScramLoginModule required;",
            "scram-sha-512": f"{module}.scram.ScramLoginModule required;",
        }
        return {
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
            "SASL_SSL:SASL_SSL,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,EXPIRED:SSL,MISNAMED:SSL",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            **{
                f"listener.name.{listener}.{mechanism}.sasl.jaas.config": login
                for listener in ("sasl_ssl", "sasl_plaintext")
                for mechanism, login in logins.items()
            },
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.cafile),
            "listener.name.ssl.ssl.client.auth": "required",
            "listener.name.expired.ssl.keystore.location": str(expired),
            "listener.name.misnamed.ssl.keystore.location": str(misnamed),
            "ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/",
        }


def grant(kafka: SecuredKafka, user: str, needs: Iterable[Need]) -> None:
    """Make access control lists of exactly these needs."""
    bindings = [
        AclBinding(
            ResourceType[need.resource.name],
            need.name,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[operation.name],
            AclPermissionType.ALLOW,
        )
        for need in needs
        for operation in need.operations
    ]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for done in admin.create_acls(list(dict.fromkeys(bindings))).values():
        done.result(30)
