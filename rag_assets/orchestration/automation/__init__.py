"""Jobs, schedules, sensors, and the notices of failed runs."""
