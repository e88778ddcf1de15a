"""A local stand-in for Kaleyra, for demos, tests and DAG authors: ``python -m airflow_provider_kaleyra.sandbox``.

Written from Kaleyra's documentation alone. It imports nothing of the client, so that the two can disagree.
"""
