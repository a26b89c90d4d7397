"""Alembic runs this: the versions are applied on the connection, and in the transaction, that `migrate` has opened."""

from alembic import context

from app.feedback.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
