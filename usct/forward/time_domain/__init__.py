"""The time-domain engine: leap-frog finite differences whose time step leaves no trace in the results."""
