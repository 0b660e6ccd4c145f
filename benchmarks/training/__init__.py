"""How the stages train: what it took, what it costs, what was tried."""
