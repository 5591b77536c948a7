"""The bazaar: its messages, its rules, its transport, and the control of a run. `peers/` holds the participants."""

import os

__version__ = "0.5.0"

# Pyro4 reads the environment when it is imported, in this process and in every process that we start. Our configuration of
# Pyro4 is in transport.py alone: a PYRO_NATHOST or PYRO_SSL that is meant for another program would end the name server.
for name in [name for name in os.environ if name.startswith("PYRO_")]:
    del os.environ[name]
