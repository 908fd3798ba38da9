"""The tables of the application: users, conversations, memories and specializations."""
