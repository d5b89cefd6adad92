"""Use cases shared by window, command line and Python: the rooms, joined."""
