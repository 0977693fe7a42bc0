"""The ftp protocol."""
