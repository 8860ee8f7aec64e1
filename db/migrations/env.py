"""Run by Alembic, with the connection that db/migrate.py opened."""

from alembic import context

from db.schema import base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=base.metadata,
    version_table="schema_version",
    transactional_ddl=connection.dialect.name != "mysql",
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
