"""What commands run in: the installation, its Dagster instance, a job in this process, cancellation."""
