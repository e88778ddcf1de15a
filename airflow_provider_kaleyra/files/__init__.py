"""Files and folders, wherever Airflow can open them: reading, uploading, waiting for videos."""
