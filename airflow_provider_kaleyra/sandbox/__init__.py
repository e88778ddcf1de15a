"""A local stand-in for Kaleyra, for demos, tests and DAG authors: ``python -m airflow_provider_kaleyra.sandbox``.

It is written from Kaleyra's documentation only and imports nothing of the client, so that one cannot repeat the
other's mistakes.
"""
