"""Reads an Airflow Connection of type Kaleyra, and describes its form."""
