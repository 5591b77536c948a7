"""The experiments: one question a file. Every number is measured on real processes, in a run that the audit judged."""
