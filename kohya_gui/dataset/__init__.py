"""The pictures of a folder with the texts beside them: read, shown small, filtered, edited, saved with a backup."""
