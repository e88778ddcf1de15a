"""Send WhatsApp videos through Kaleyra from Apache Airflow."""

__version__ = "0.1.0"
