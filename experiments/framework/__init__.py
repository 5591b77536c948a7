"""What all experiments share: their command line, the sweep over their cells, their rows, pictures and pages."""
