"""What the bazaar teaches: one question a file, every number measured on real processes and judged by the audit."""
