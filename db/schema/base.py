"""What all tables are made of: one metadata, and column types that mean the same on SQLite, PostgreSQL and
MariaDB."""

from datetime import UTC, datetime, timedelta
from typing import Any, overload

import orjson
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import BigInteger, Column, DateTime, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects.mysql import DATETIME, MEDIUMBLOB, MEDIUMTEXT
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Names differ when their case does, on MariaDB too, as they do on the others.
MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

Id = String(36)
Name = String(255)
# A counter: the primary key of tables whose rows have a number in the order of their creation.
Number = BigInteger().with_variant(Integer(), "sqlite")
Time = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
Bytes = LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb")
LongText = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")


class Json(TypeDecorator[Any]):
    """A JSON value in a text column."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """MariaDB's TEXT ends at 64 KiB."""
        return dialect.type_descriptor(MEDIUMTEXT() if dialect.name in ("mysql", "mariadb") else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To text."""
        return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """From text."""
        return None if value is None else orjson.loads(value)


def table(name: str, *items: SchemaItem) -> Table:
    """A table on `metadata`, made alike on every database."""
    return Table(name, metadata, *items, **MYSQL)


def generation() -> Column[int]:
    """The column that counts the writes to a record, from 1."""
    return Column("generation", BigInteger, nullable=False, default=1)


def now() -> datetime:
    """This moment as the database keeps it: UTC without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


_EPOCH = datetime(1970, 1, 1)


@overload
def timestamp(moment: datetime) -> Timestamp: ...
@overload
def timestamp(moment: None) -> None: ...
@overload
def timestamp(moment: datetime | None) -> Timestamp | None: ...
def timestamp(moment: datetime | None) -> Timestamp | None:
    """A stored time as contracts carry it; None stays None, which leaves a field of a message unset."""
    if moment is None:
        return None
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)


def moment(stamp: Timestamp) -> datetime:
    """A time of a contract as the database keeps it."""
    return datetime.fromtimestamp(stamp.seconds, UTC).replace(tzinfo=None, microsecond=stamp.nanos // 1000)


def microseconds(moment: datetime) -> int:
    """A stored time as microseconds since 1970, for columns that are subtracted in SQL."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
