"""Space-time traces of a run for other tools: `bash run.sh trace` (requirement I6).

choosing.py   which points of a run, if not all of them fit
shiviz.py     a log for ShiViz, which draws who knew of what
perfetto.py   a trace for Perfetto, which shows a whole run on a time axis
command.py    the command line
"""
