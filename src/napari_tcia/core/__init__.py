"""Types that cross rooms, geometry, tasks, settings, and safe files."""
