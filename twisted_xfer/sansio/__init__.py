"""Sansio."""
