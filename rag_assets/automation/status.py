"""Whether schedules and sensors are on from the start."""

import dagster as dg

from rag_assets.settings import load_settings

_ON = load_settings().automation
SCHEDULE_STATUS = dg.DefaultScheduleStatus.RUNNING if _ON else dg.DefaultScheduleStatus.STOPPED
SENSOR_STATUS = dg.DefaultSensorStatus.RUNNING if _ON else dg.DefaultSensorStatus.STOPPED
