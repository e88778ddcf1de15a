"""From an Airflow Connection to the account that it describes, and the form of its fields."""
