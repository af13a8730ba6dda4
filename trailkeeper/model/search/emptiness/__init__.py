"""An answer without rows proves that there are none only on evidence."""
