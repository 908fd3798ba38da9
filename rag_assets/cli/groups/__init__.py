"""Commands with subcommands: db, projects, spaces."""
