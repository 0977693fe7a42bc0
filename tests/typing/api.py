"""Never run, always type-checked: the public API as a user would write it."""
