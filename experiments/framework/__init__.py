"""The common code of all experiments: command line, sweep over the cells, rows, pictures and pages."""
