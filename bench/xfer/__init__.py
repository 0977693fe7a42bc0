"""The native protocol against other ways to move files between two processes of one machine."""
