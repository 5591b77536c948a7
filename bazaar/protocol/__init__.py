"""What is said: goods and orders, messages, ledger entries, events; and what a run is told: its settings, plan, faults."""
