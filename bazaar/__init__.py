"""The bazaar: what is said, by which rules, and over which wire. `peers/` holds those who take part."""
