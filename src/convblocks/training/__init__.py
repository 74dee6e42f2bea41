"""One run, from the command line to a finished run directory. Light: a signal may come during the imports."""
