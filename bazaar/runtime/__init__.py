"""One process: sockets, files, threads and clocks around a pure core."""
