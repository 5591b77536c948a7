"""The bazaar: what is said, by which rules, and over which wire. `peers/` holds those who take part."""

import os

__version__ = "0.5.0"

# Pyro4 takes its configuration from the environment when it is imported, and so does every process that we start. Ours is
# in transport.py alone: a PYRO_NATHOST or PYRO_SSL of somebody else's would end the name server.
for name in [name for name in os.environ if name.startswith("PYRO_")]:
    del os.environ[name]
