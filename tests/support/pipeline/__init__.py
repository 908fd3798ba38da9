"""Jobs and stages run in this process or in one that is killed."""
