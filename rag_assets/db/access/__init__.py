"""Who a transaction reads for, declared to the database, whose policies show that viewer's rows alone."""
