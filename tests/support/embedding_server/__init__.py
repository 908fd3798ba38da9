"""An embedding server on this machine that behaves, or misbehaves, as told."""
