"""Files for other programs, reread and compared before they stand."""
