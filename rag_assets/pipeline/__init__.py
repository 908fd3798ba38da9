"""What each asset does and each check looks at, on plain values, without Dagster."""
