"""Where the rooms meet: the door, the archiver and the watcher as processes."""
