"""What processes exchange and record: goods, messages, ledger entries, events. What a run is given: settings, plan, faults."""
